"""A control plane for each file, without the operators of other tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from zitadel_notification_operator.demo.control_plane import ControlPlane

CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"


def make_ready(plane: ControlPlane) -> None:
    """Install the CRDs and create the operator's namespace."""
    plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
    plane.kubectl("create", "namespace", "zitadel-notification-operator")


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """A separate one, because the session's has an operator that sees everything."""
    with ControlPlane() as plane:
        make_ready(plane)
        yield plane


@pytest.fixture
def second_plane() -> Iterator[ControlPlane]:
    """A control plane whose API server may be restarted while others work."""
    with ControlPlane() as plane:
        make_ready(plane)
        yield plane
