"""The HTTP endpoints for the kubelet and for Prometheus."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client.exposition import CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes ask; each returns an empty text, or what is wrong.

    Attributes:
        alive: For `/healthz`: is a restart the cure? Never asks ZITADEL.
        ready: For `/readyz`: is the inventory filled?
    """

    alive: Callable[[], str]
    ready: Callable[[], str]


class FaultsAlone(logging.Filter):
    """Drops what clients do: bytes that are no request, and leaving in the middle.

    aiohttp logs the bytes, with the credentials that may be among them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record tells a fault of ours."""
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


_server_log = logging.getLogger(__name__)
_server_log.addFilter(FaultsAlone())


class Endpoint:
    """One listening HTTP server; knows its port once started."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self._runner = web.AppRunner(app, access_log=None, logger=_server_log)
        self._host = host
        self._port = port

    async def start(self) -> int:
        """Listen; return the port, which is a free one when 0 was asked for.

        Raises:
            OSError: The address is taken or may not be used.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        """Close it."""
        await self._runner.cleanup()


def health_app(health: Health) -> web.Application:
    """Return the application with `/healthz` and `/readyz` (200 or 503, text)."""

    async def alive(_: web.Request) -> web.Response:
        return _answer(health.alive())

    async def ready(_: web.Request) -> web.Response:
        return _answer(health.ready())

    app = web.Application()
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    return app


def _answer(wrong: str) -> web.Response:
    return web.Response(text=wrong or "ok", status=503 if wrong else 200)


def metrics_app(parts: Callable[[], Iterator[bytes]]) -> web.Application:
    """Return the application with `/metrics` in Prometheus' text format.

    Args:
        parts: Gives the text in parts; passes go on between two of them.
    """

    async def metrics(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE_LATEST})
        await response.prepare(request)
        for part in parts():
            await response.write(part)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    return app
