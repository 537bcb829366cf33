"""The HTTP endpoints for the kubelet and for Prometheus."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterator
from functools import partial

from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client.exposition import CONTENT_TYPE_LATEST


class FaultsAlone(logging.Filter):
    """Drops log records about clients that send malformed requests or disconnect early.

    aiohttp logs the bytes that it received, and credentials may be among them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is about a fault of our own."""
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


_server_log = logging.getLogger(__name__)
_server_log.addFilter(FaultsAlone())


_NOT_HERE = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
"""The errors if the machine lacks an address family, or an address of it."""


async def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on one port, one for each address of a host.

    Args:
        host: A name or an address. Empty means every address of both families by a
            single socket, or of IPv4 only if the kernel has no IPv6.
        port: 0 picks a free port.

    Raises:
        OSError: The port is taken or not permitted, in at least one family.
    """
    if not host:
        return [_listen_everywhere(port)]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, address in dict.fromkeys((each[0], each[4]) for each in found):
        # If the first socket was given a free port, the others must use the same.
        actual = sockets[0].getsockname()[1] if sockets else port
        try:
            made = socket.create_server((address[0], actual), family=family)
        except OSError as error:
            failure = error
            if error.errno not in _NOT_HERE:
                break
        else:
            sockets.append(made)
    if failure and (not sockets or failure.errno not in _NOT_HERE):
        for each in sockets:
            each.close()
        raise failure
    return sockets


def _listen_everywhere(port: int) -> socket.socket:
    """Return one socket for both families, or for IPv4 if there is no IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True
            )
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
    return socket.create_server(("", port))


async def serve(
    app: web.Application, host: str, port: int
) -> tuple[web.AppRunner, int]:
    """Serve an application, and return its runner and the port that is used.

    Each connection is closed after one response, because kopf would take the tasks of
    open connections for its own and wait five seconds for them when it ends.

    Args:
        app: The application. The caller ends it by the runner's `cleanup`.
        host: The address; empty for every address, by IPv4 and IPv6.
        port: 0 picks a free port.

    Raises:
        OSError: The address is taken or not permitted.
    """
    sockets = await listen(host, port)
    runner = web.AppRunner(
        app, access_log=None, logger=_server_log, keepalive_timeout=0
    )
    await runner.setup()
    for each in sockets:
        await web.SockSite(runner, each).start()
    return runner, sockets[0].getsockname()[1]


def health_app(alive: Callable[[], str], ready: Callable[[], str]) -> web.Application:
    """Return the application for `/healthz` and `/readyz` (200 or 503, with a text).

    Args:
        alive: Returns what a restart would mend, or an empty text. It never depends on
            ZITADEL.
        ready: Returns what is missing, or an empty text if the inventory is filled.
    """
    app = web.Application()
    app.router.add_get("/healthz", partial(_answer, alive))
    app.router.add_get("/readyz", partial(_answer, ready))
    return app


async def _answer(check: Callable[[], str], _: web.Request) -> web.Response:
    wrong = check()
    response = web.Response(text=wrong or "ok", status=503 if wrong else 200)
    response.force_close()
    return response


def metrics_app(parts: Callable[[], Iterator[bytes]]) -> web.Application:
    """Return the application for `/metrics` in Prometheus' text format.

    Args:
        parts: Returns the text in parts. Other tasks run between two parts.
    """

    async def metrics(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE_LATEST})
        response.force_close()
        await response.prepare(request)
        for part in parts():
            await response.write(part)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    return app
