"""Creates clients and decides what they share: each instance object has one pool."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from zitadel_notification_operator.core.credentials import Credential
from zitadel_notification_operator.core.instance_object import Endpoint

from .api_caller import ApiCaller
from .calls import Observer, unobserved
from .client import ZitadelClient
from .pool import Pool
from .retry_after import RetryAfterGate
from .tokens import token_source
from .trust import trusting

CALL_TIMEOUT = 10.0
"""Seconds that one call may take, from connecting to the last byte."""

GRACE = 15.0
"""Seconds for which a replaced pool still serves. Longer than one call may take."""


@dataclass(frozen=True, slots=True)
class _Way:
    """The present connection of one instance object.

    Attributes:
        pool: Its connections.
        roots: PEM text of the roots that the pool trusts besides the system's roots.
        credential: The credential that `client` was created with.
        client: The client of that credential, which holds its token.
    """

    pool: Pool
    roots: str | None
    credential: Credential
    client: ZitadelClient


class ZitadelConnector:
    """Creates clients. It implements the engine's protocol `Connector`.

    Args:
        call_timeout: Seconds that one call may take.
        grace: Seconds for which a replaced pool still serves the passes that use it.
        allow_local: Whether loopback and link-local addresses may be connected to.
        time_left: Returns the seconds for which this process may still write.
        observe: Called for each call that was sent.
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
        # Only once, because reading the system's roots takes tens of milliseconds.
        self._system = trusting(None)
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
        """Return a client. This makes no call.

        It must be called in the event loop. If the endpoint or the roots have changed,
        the instance gets a new pool; the old one serves until `grace` is over and then
        ends its calls. All clients of one credential share its token.

        Args:
            instance: The name of the ZitadelInstance object.
            endpoint: How the instance is reached now.
            credential: The credential of a service user.
            roots: PEM text with additional trusted roots; None for the system's roots
                only.

        Raises:
            TerminalError: `CredentialsInvalid`: no header can carry the token, or the
                key cannot sign. Also `CABundleInvalid` and `AddressNotAllowed`.
            TransientError: `Unreachable`: the proxy settings in the environment are
                unusable.
        """
        old = self._ways.get(instance)
        if old is not None and (old.pool.endpoint, old.roots) == (endpoint, roots):
            if old.credential == credential:
                return old.client
            client = _client(old.pool, credential)
            self._ways[instance] = replace(old, credential=credential, client=client)
            return client
        # The wait that the other side asked for survives new limits, but not a new url.
        stays = old is not None and old.pool.endpoint.url == endpoint.url
        pool = Pool(
            endpoint,
            self._call_timeout,
            self._system if roots is None else trusting(roots),
            old.pool.retry_gate if old is not None and stays else RetryAfterGate(),
            allow_local=self._allow_local,
            time_left=self._time_left,
            observe=self._observe,
        )
        client = _client(pool, credential)
        self._ways[instance] = _Way(pool, roots, credential, client)
        if old is not None:
            self._retire(old.pool, self._grace)
        return client

    async def disconnect(self, instance: str) -> None:
        """Close the connections of an instance object. Calls in progress may finish.

        This returns at once. Later calls of the instance's clients raise `Unreachable`.

        Args:
            instance: The name of the ZitadelInstance object. It may be unknown.
        """
        way = self._ways.pop(instance, None)
        if way is not None:
            way.pool.shut()
            self._retire(way.pool, 0)

    async def aclose(self) -> None:
        """Close everything, after at most one call's time for calls in progress."""
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
            pass  # the grace period is over
        await pool.close()


def _client(pool: Pool, credential: Credential) -> ZitadelClient:
    return ZitadelClient(ApiCaller(pool, token_source(credential, pool)))
