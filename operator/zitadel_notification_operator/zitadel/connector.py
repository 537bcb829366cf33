"""Who shares connections and limits with whom: one pool per instance object."""

import asyncio
import ssl

from zitadel_notification_operator.core.objects import Endpoint
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.pause import Pause
from zitadel_notification_operator.zitadel.pool import Pool

CALL_TIMEOUT = 10.0
"""Seconds that one call may take, from the connection to the last byte."""

GRACE = 15.0
"""Seconds that a replaced pool still serves: more than a call may take."""


class ZitadelConnector:
    """Makes clients; satisfies the engine's `Connector` by shape.

    Args:
        call_timeout: Seconds that one call may take.
        grace: Seconds that a replaced pool still serves the passes that use it.
        tls: Which roots to trust; None: the system's.
    """

    def __init__(
        self,
        *,
        call_timeout: float = CALL_TIMEOUT,
        grace: float = GRACE,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._call_timeout = call_timeout
        self._grace = grace
        # Once: reading the system's roots takes tens of milliseconds.
        self._tls = tls or ssl.create_default_context()
        self._pools: dict[str, Pool] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def connect(self, instance: str, endpoint: Endpoint, token: str) -> ZitadelClient:
        """Return a client; no traffic yet.

        Must be called in the event loop. A changed endpoint replaces the pool of the
        instance; the old one serves until `grace` is over, then ends its calls.

        Args:
            instance: Name of the ZitadelInstance object.
            endpoint: Where and how it is reached now.
            token: Of a service user.

        Raises:
            TerminalError: `CredentialsInvalid`: no header can carry the token.
            TransientError: `Unreachable`: the environment's proxy settings are
                unusable.
        """
        old = self._pools.get(instance)
        if old is not None and old.endpoint == endpoint:
            return ZitadelClient(old, token)
        # New limits do not end what the other side asked for; a new url does.
        stays = old is not None and old.endpoint.url == endpoint.url
        pause = old.pause if old is not None and stays else Pause()
        pool = Pool(endpoint, self._call_timeout, self._tls, pause)
        self._pools[instance] = pool
        if old is not None:
            self._retire(old, self._grace)
        return ZitadelClient(pool, token)

    async def disconnect(self, instance: str) -> None:
        """Close what belongs to an instance object; calls under way may end.

        Returns at once; later calls of its clients raise `Unreachable`.

        Args:
            instance: Name of the ZitadelInstance object; need not be known.
        """
        pool = self._pools.pop(instance, None)
        if pool is not None:
            pool.shut()
            self._retire(pool, 0)

    async def aclose(self) -> None:
        """Close everything; waits at most one call's time for calls under way."""
        self._stopping.set()
        pools, self._pools = list(self._pools.values()), {}
        await asyncio.gather(*(pool.close() for pool in pools), *self._closing)

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
