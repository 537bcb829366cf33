"""Who shares connections and limits with whom: one pool per instance object."""

import asyncio
import math
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace

from zitadel_notification_operator.core.credentials import Credential
from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.objects import Endpoint
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.calls import Observer, unobserved
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.pause import Pause
from zitadel_notification_operator.zitadel.pool import Pool
from zitadel_notification_operator.zitadel.tokens import TokenSource, token_source

CALL_TIMEOUT = 10.0
"""Seconds that one call may take, from the connection to the last byte."""

GRACE = 15.0
"""Seconds that a replaced pool still serves: more than a call may take."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How one instance object is reached now.

    Attributes:
        pool: Its connections.
        roots: PEM text of the roots that the pool trusts beside the system's.
        credential: What `tokens` were made of.
        tokens: Shared by all clients of this credential.
    """

    pool: Pool
    roots: str | None
    credential: Credential
    tokens: TokenSource


class ZitadelConnector:
    """Makes clients; satisfies the engine's `Connector` by shape.

    Args:
        call_timeout: Seconds that one call may take.
        grace: Seconds that a replaced pool still serves the passes that use it.
        allow_local: Whether loopback and link-local addresses may be connected to.
        time_left: Seconds for which this process may write.
        observe: Is told of each call that goes out.
    """

    def __init__(
        self,
        *,
        call_timeout: float = CALL_TIMEOUT,
        grace: float = GRACE,
        allow_local: bool = False,
        time_left: Callable[[], float] = lambda: math.inf,
        observe: Observer = unobserved,
    ) -> None:
        self._call_timeout = call_timeout
        self._grace = grace
        self._allow_local = allow_local
        self._time_left = time_left
        self._observe = observe
        # Once: reading the system's roots takes tens of milliseconds.
        self._tls = ssl.create_default_context()
        self._ways: dict[str, _Way] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def connect(
        self,
        instance: str,
        endpoint: Endpoint,
        credential: Credential,
        roots: str | None,
    ) -> ZitadelClient:
        """Return a client; no traffic yet.

        Must be called in the event loop. A changed endpoint, or other roots, replace
        the pool of the instance; the old one serves until `grace` is over, then ends
        its calls. Clients of one credential share its token.

        Args:
            instance: Name of the ZitadelInstance object.
            endpoint: Where and how it is reached now.
            credential: Of a service user.
            roots: PEM text with more roots to trust; None: the system's alone.

        Raises:
            TerminalError: `CredentialsInvalid`: no header can carry the token, or the
                key cannot sign; `CABundleInvalid`; `AddressNotAllowed`.
            TransientError: `Unreachable`: the environment's proxy settings are
                unusable.
        """
        old = self._ways.get(instance)
        if old is not None and (old.pool.endpoint, old.roots) == (endpoint, roots):
            if old.credential == credential:
                return ZitadelClient(old.pool, old.tokens)
            tokens = token_source(credential, old.pool)
            self._ways[instance] = replace(old, credential=credential, tokens=tokens)
            return ZitadelClient(old.pool, tokens)
        # New limits do not end what the other side asked for; a new url does.
        stays = old is not None and old.pool.endpoint.url == endpoint.url
        pool = Pool(
            endpoint,
            self._call_timeout,
            self._trusting(roots),
            old.pool.pause if old is not None and stays else Pause(),
            allow_local=self._allow_local,
            time_left=self._time_left,
            observe=self._observe,
        )
        tokens = token_source(credential, pool)
        self._ways[instance] = _Way(pool, roots, credential, tokens)
        if old is not None:
            self._retire(old.pool, self._grace)
        return ZitadelClient(pool, tokens)

    def _trusting(self, roots: str | None) -> ssl.SSLContext:
        if roots is None:
            return self._tls
        context = ssl.create_default_context()
        try:
            context.load_verify_locations(cadata=roots)
        except (ssl.SSLError, ValueError, TypeError) as error:
            raise TerminalError(
                Reason.CA_BUNDLE_INVALID,
                "what is there cannot be read as certificates in PEM",
            ) from error
        return context

    async def disconnect(self, instance: str) -> None:
        """Close what belongs to an instance object; calls under way may end.

        Returns at once; later calls of its clients raise `Unreachable`.

        Args:
            instance: Name of the ZitadelInstance object; need not be known.
        """
        way = self._ways.pop(instance, None)
        if way is not None:
            way.pool.shut()
            self._retire(way.pool, 0)

    async def aclose(self) -> None:
        """Close everything; waits at most one call's time for calls under way."""
        self._stopping.set()
        ways, self._ways = list(self._ways.values()), {}
        await asyncio.gather(*(way.pool.close() for way in ways), *self._closing)

    def _retire(self, pool: Pool, grace: float) -> None:
        task = asyncio.create_task(
            self._close_after(pool, grace), name="zitadel-close-pool"
        )
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_after(self, pool: Pool, grace: float) -> None:
        try:
            async with asyncio.timeout(grace):
                await self._stopping.wait()
        except TimeoutError:
            pass  # the grace is over
        await pool.close()
