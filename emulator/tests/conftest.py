"""A running emulator and a client for each test."""

from collections.abc import AsyncIterator

import httpx
import pytest

from shared.api import Api
from shared.sides import Time
from zitadel_emulator.server import (
    Emulator,
    new_emulator,
    serve,
)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator on loopback with two organizations."""
    async with serve(new_emulator("owner-token-5e1")) as running:
        yield running


@pytest.fixture
async def api(emulator: Emulator) -> AsyncIterator[Api]:
    """A client of the emulator."""
    async with httpx.AsyncClient(base_url=emulator.url, timeout=5) as client:
        yield Api(emulator, client)


@pytest.fixture
def time() -> Time:
    """The clock of `still`."""
    return Time()


@pytest.fixture
async def still(time: Time) -> AsyncIterator[Api]:
    """A client of an emulator whose clock stands still until a test moves it."""
    async with (
        serve(new_emulator("owner-token-5e1", clock=time)) as emulator,
        httpx.AsyncClient(base_url=emulator.url, timeout=5) as client,
    ):
        yield Api(emulator, client)
