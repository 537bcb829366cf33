"""etcd by its HTTP gateway: reads and creates keys in a data folder.

The API server does not run meanwhile, so this etcd has its own ports, without TLS.
"""

import asyncio
import base64
import json
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from support.waiting import eventually
from zitadel_notification_operator.demo.binaries import find_binaries
from zitadel_notification_operator.demo.processes import Program, free_port

AT_ONCE = 64


class Etcd:
    """A running etcd.

    Args:
        url: Its client URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def under(self, prefix: str) -> dict[str, bytes]:
        """Return the values of all keys that begin with a prefix."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        query = {"key": _coded(prefix.encode()), "range_end": _coded(end.encode())}
        request = urllib.request.Request(  # noqa: S310 - ours
            f"{self._url}/v3/kv/range", json.dumps(query).encode()
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            found = json.load(answer)
        return {
            base64.b64decode(kv["key"]).decode(): base64.b64decode(kv["value"])
            for kv in found.get("kvs", ())
        }

    async def create(self, items: Iterable[tuple[str, bytes]]) -> int:
        """Create keys that must not exist, and return their number.

        Each has a transaction, and so a revision, of its own, as when the API server
        creates an object.
        """
        waiting = iter(items)
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        async with aiohttp.ClientSession(self._url, connector=connector) as session:

            async def work() -> int:
                count = 0
                for key, value in waiting:
                    await _create(session, _coded(key.encode()), _coded(value))
                    count += 1
                return count

            return sum(await asyncio.gather(*(work() for _ in range(AT_ONCE))))


async def _create(session: aiohttp.ClientSession, key: str, value: str) -> None:
    absent = {"key": key, "target": "MOD", "mod_revision": "0", "result": "EQUAL"}
    body = {
        "compare": [absent],
        "success": [{"request_put": {"key": key, "value": value}}],
    }
    async with session.post("/v3/kv/txn", json=body) as answer:
        found: Any = await answer.json()
    if not found.get("succeeded"):
        raise RuntimeError(f"etcd has not created {base64.b64decode(key)!r}: {found}")


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@contextmanager
def serving(data: Path, folder: Path) -> Iterator[Etcd]:
    """Start an etcd with a data folder that another one has left, and stop it.

    Args:
        data: The data folder.
        folder: Where its log goes.
    """
    clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command = [
        str(find_binaries() / "etcd"),
        f"--data-dir={data}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]
    with Program("etcd", command, folder / "etcd-gateway.log") as program:
        eventually(lambda: _is_healthy(program, clients), 30, "etcd's gateway")
        yield Etcd(clients)


def _is_healthy(program: Program, url: str) -> bool:
    if not program.running:
        raise RuntimeError(f"etcd ended:\n{program.tail()}")
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310
            return bool(json.load(answer)["health"] == "true")
    except OSError:
        return False
