"""A served emulator and a client for each test."""

from collections.abc import AsyncIterator

import httpx
import pytest

from emulator.api import Api
from zitadel_notification_operator.emulator.server import (
    Emulator,
    new_emulator,
    serve,
)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A ZITADEL on loopback with two organizations."""
    async with serve(new_emulator("owner-token-5e1")) as running:
        yield running


@pytest.fixture
async def api(emulator: Emulator) -> AsyncIterator[Api]:
    """A client of it."""
    async with httpx.AsyncClient(base_url=emulator.url, timeout=5) as client:
        yield Api(emulator, client)
