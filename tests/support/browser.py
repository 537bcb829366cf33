"""A real headless Chromium, driven by the DevTools protocol."""

import asyncio
import base64
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-port=0",
)
_START = 60.0
"""Seconds that Chromium may take to start; on an idle machine it takes one or two."""


class NoBrowser(Exception):
    """There is no Chromium, or it does not start; the text says what to do."""


@dataclass
class Tab:
    """One tab of the browser.

    Attributes:
        requests: The URL of each request that the tab has made.
        complaints: What the browser has written to its console: errors and warnings.
    """

    _socket: aiohttp.ClientWebSocketResponse
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _asked: int = 0
    _is_loaded: bool = False

    async def open(self, url: str) -> None:
        """Open a page and wait until all of it is loaded."""
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self.ask(f"{domain}.enable")
        self._is_loaded = False
        await self.ask("Page.navigate", url=url)
        while not self._is_loaded:
            self._note(await self._socket.receive_json())
        # A request for an icon comes after the page is complete.
        await asyncio.sleep(0.5)
        await self.evaluate("1")

    async def evaluate(self, script: str) -> Any:
        """Run a script in the page and return its value."""
        answer = await self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def pdf(self) -> bytes:
        """Print the page as its style sheet says."""
        answer = await self.ask("Page.printToPDF", preferCSSPageSize=True)
        return base64.b64decode(answer["data"])

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and take note of the events meanwhile."""
        self._asked = number = self._asked + 1
        await self._socket.send_json(
            {"id": number, "method": method, "params": parameters}
        )
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == number:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Page.loadEventFired":
                self._is_loaded = True
            case "Log.entryAdded":
                self.complaints.append(parameters["entry"]["text"])
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                self.complaints.append(str(parameters))
            case "Page.javascriptDialogOpening":
                self.complaints.append("a dialog")
            case _:
                pass


@asynccontextmanager
async def open_browser(folder: Path) -> AsyncIterator[Tab]:
    """Run a Chromium with one tab until the block ends.

    Args:
        folder: A new folder for its profile.

    Raises:
        NoBrowser: There is none, or it does not start.
    """
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise NoBrowser(
            "There is no Chromium here; on Debian: apt-get install chromium"
        )
    flags = [*_FLAGS, f"--user-data-dir={folder}"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # root has no other way
    process = await asyncio.create_subprocess_exec(
        program, *flags, "about:blank", stderr=asyncio.subprocess.PIPE
    )
    printing = None
    try:
        address = await _address(process)
        # Otherwise the browser would stop once nobody reads what it prints.
        printing = asyncio.create_task(process.communicate())
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{address}/json/list") as answer:
                tabs = await answer.json()
            (tab,) = [each for each in tabs if each["type"] == "page"]
            socket = session.ws_connect(
                tab["webSocketDebuggerUrl"], max_msg_size=1 << 28
            )
            async with socket as connected:
                yield Tab(connected)
    finally:
        process.terminate()
        if printing is None:
            await process.communicate()
        else:
            await printing


async def _address(process: asyncio.subprocess.Process) -> str:
    """Return the host and port at which the browser listens; it prints them."""
    assert process.stderr is not None
    printed = ""
    async with asyncio.timeout(_START):
        while line := (await process.stderr.readline()).decode(errors="replace"):
            printed += line
            if found := re.search(r"DevTools listening on ws://([^/]+)/", line):
                return found[1]
    raise NoBrowser(f"Chromium has ended: {printed}")
