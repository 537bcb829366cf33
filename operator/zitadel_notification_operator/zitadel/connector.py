"""Makes clients; the clients of one instance object share one transport."""

import asyncio

from zitadel_notification_operator.core.objects import Endpoint
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.transport import CALL_TIMEOUT, Transport


class ZitadelConnector:
    """The engine's `Connector`."""

    def __init__(self, call_timeout: float = CALL_TIMEOUT) -> None:
        """Give each call at most `call_timeout` seconds."""
        self._call_timeout = call_timeout
        self._transports: dict[str, Transport] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def connect(self, instance: str, endpoint: Endpoint, token: str) -> ZitadelClient:
        """Return a client; a changed endpoint replaces the transport."""
        transport = self._transports.get(instance)
        if transport is None or transport.endpoint != endpoint:
            if transport is not None:
                self._close_later(transport)
            transport = Transport(endpoint, self._call_timeout)
            self._transports[instance] = transport
        return ZitadelClient(transport, token)

    async def disconnect(self, instance: str) -> None:
        """Close what belongs to an instance object."""
        transport = self._transports.pop(instance, None)
        if transport is not None:
            await transport.aclose()

    async def aclose(self) -> None:
        """Close everything."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        for instance in list(self._transports):
            await self.disconnect(instance)

    def _close_later(self, transport: Transport) -> None:
        """Close a transport once the calls that still use it must have ended."""
        task = asyncio.create_task(self._close_after_calls(transport))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_after_calls(self, transport: Transport) -> None:
        try:
            await asyncio.sleep(self._call_timeout + 1)
        finally:
            await transport.aclose()
