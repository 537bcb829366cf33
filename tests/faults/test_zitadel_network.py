"""Names that are not found and handshakes that fail, before each call.

The connection is cut at the call. The next attempt finds no name or an untrusted
server, and the end is that of a life without faults (`support.zitadel_lives`).
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.zitadel_lives import CALLS, HISTORY, one_life
from zitadel_emulator.faults import Fault
from zitadel_emulator.server import (
    Emulator,
    Tls,
    new_emulator,
    serve,
)
from zitadel_notification_operator.demo.certificates import write_certificates
from zitadel_notification_operator.engine.instances import instance_pass
from zitadel_notification_operator.zitadel import transport

TIMES = 2
"""How many connections fail after a call was cut."""


class ConnectionFault:
    """A fault at a call, and what happens to the connections after it."""

    def __init__(self, call: str) -> None:
        self._call = call
        self._fault: Fault | None = None
        self._left = 0
        self._emulator: Emulator | None = None
        self.met = 0

    def attach(self, emulator: Emulator) -> None:
        """Set the emulator of the faults."""
        self._emulator = emulator

    def fault(self) -> Fault:
        """Return the fault of a phase."""
        self._left = TIMES
        self._fault = Fault(**CALLS[self._call], reset=True, times=1)
        return self._fault

    def matches(self) -> bool:
        """Return whether the current connection fails, and count it."""
        if self._emulator is None or self._fault in (
            None,
            *self._emulator.faults.active,
        ):
            return False
        if not self._left:
            return False
        self._left -= 1
        self.met += 1
        return True


class UnreliableEmulator(Emulator):
    """An emulator whose handshakes may fail.

    Attributes:
        trouble: Decides when they fail.
        other: The untrusted certificate that it then serves; None sends a TLS alert.
    """

    trouble: ConnectionFault
    other: ssl.SSLContext | None

    # The emulator itself never refuses a handshake, which `ssl` takes from a number.
    def note_server_name(  # type: ignore[override]
        self,
        connection: ssl.SSLObject | ssl.SSLSocket,
        name: str | None,
        context: ssl.SSLContext,
    ) -> int | None:
        """Fail, or go on."""
        if self.trouble.matches():
            if self.other is None:
                return int(ssl.ALERT_DESCRIPTION_INTERNAL_ERROR)
            connection.context = self.other
        super().note_server_name(connection, name, context)
        return None


@contextmanager
def names(troubles: dict[str, ConnectionFault]) -> Iterator[None]:
    """Resolve names of `.test` to loopback, unless there is a fault."""
    real = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if not str(name).endswith(".test"):
            return real(host, *rest, **more)
        trouble = troubles.get(str(name))
        if trouble is not None and trouble.matches():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real("127.0.0.1", *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        # Each connection resolves the name.
        connector = partial(aiohttp.TCPConnector, use_dns_cache=False)
        patch.setattr(aiohttp, "TCPConnector", connector)
        # Each call makes a new connection, because an idle one would meet no fault.
        patch.setattr(transport, "KEEP_ALIVE", 1e-6)
        # A certificate that is not trusted is checked again after a minute.
        patch.setattr(instance_pass, "SECRET_INTERVAL", 5.0)
        yield


def files(folder: Path, name: str) -> Tls:
    """Create an authority, and a certificate of it for a name."""
    folder.mkdir()
    write_certificates(folder, name)
    return Tls(folder / "serving.crt", folder / "serving.key")


async def life(kind: str, call: str, trouble: ConnectionFault, folder: Path) -> str:
    """Run a life; return what is wrong with it."""
    name = f"{kind}-{call}.test".lower()
    emulator: Emulator = new_emulator("token", domains=[name])
    tls = None
    if kind != "dns":
        emulator = UnreliableEmulator("token", emulator.zitadel)
        emulator.trouble, emulator.other = trouble, None
        tls = files(folder / name, name)
    if kind == "untrusted" and isinstance(emulator, UnreliableEmulator):
        emulator.other = files(folder / f"other-{name}", name).context()
    roots = (folder / name / "ca.crt").read_bytes() if tls else b""
    trouble.attach(emulator)
    async with serve(emulator, tls=tls) as running:
        url = running.url.replace("127.0.0.1", name)
        history = await one_life(
            running, url, trouble.fault, roots, key=call == "discovery"
        )
    if not trouble.met:
        return "nothing failed"
    return "" if history == HISTORY else repr(history)


@pytest.mark.tls
@pytest.mark.clock
@pytest.mark.timeout(900)
def test_names_and_handshakes_that_fail_change_nothing(tmp_path: Path) -> None:
    """The life ends well, wherever a fault occurs."""
    cases = [(kind, call) for kind in ("dns", "alert", "untrusted") for call in CALLS]
    troubles = {
        f"{kind}-{call}.test".lower(): ConnectionFault(call) for kind, call in cases
    }

    async def story() -> dict[str, Any]:
        found = await asyncio.gather(
            *(
                life(kind, call, troubles[f"{kind}-{call}.test".lower()], tmp_path)
                for kind, call in cases
            ),
            return_exceptions=True,
        )
        pairs = zip(cases, found, strict=True)
        return {f"{kind}: {call}": end for (kind, call), end in pairs if end != ""}

    looked_up = {n: t for n, t in troubles.items() if n.startswith("dns")}
    with names(looked_up):
        assert asyncio.run(story()) == {}
