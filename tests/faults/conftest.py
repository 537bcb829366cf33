"""A control plane for each file, without the operators of other tests."""

from collections.abc import Iterator

import pytest

from support.planes import ready_plane
from zitadel_notification_operator.demo.control_plane import ControlPlane


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """A separate one, because the session's has an operator that sees everything."""
    with ready_plane() as plane:
        yield plane


@pytest.fixture
def second_plane() -> Iterator[ControlPlane]:
    """A control plane whose API server may be restarted while others work."""
    with ready_plane() as plane:
        yield plane
