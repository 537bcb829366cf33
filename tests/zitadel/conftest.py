"""A connector, and a server whose responses a test chooses."""

from collections.abc import AsyncIterator

import pytest

from zitadel.servers import PAT, Server, serving
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


@pytest.fixture
async def connector() -> AsyncIterator[ZitadelConnector]:
    """A connector whose timeout suits a busy machine."""
    connector = ZitadelConnector(call_timeout=5.0, grace=1.5, allow_local=True)
    yield connector
    await connector.aclose()


@pytest.fixture
async def hasty() -> AsyncIterator[ZitadelConnector]:
    """A connector with a timeout of a second."""
    connector = ZitadelConnector(call_timeout=1.0, grace=1.5, allow_local=True)
    yield connector
    await connector.aclose()


@pytest.fixture
def client(connector: ZitadelConnector, server: Server) -> ZitadelClient:
    return connector.connect("default", Endpoint(server.url), PAT, None)
