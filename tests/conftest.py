"""What all tests share: one control plane a session, a namespace a test."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.audit import AuditLog
from support.kube_calls import create_namespace
from support.loopback import loopback_only
from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent
CRDS = ROOT / "deploy" / "crds"
_NUMBERS = itertools.count(1)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Where files are run side by side, begin with those that may take long.

    Else one that takes minutes begins last, and the other processes wait for it.
    """
    if not hasattr(config, "workerinput"):
        return
    longest: dict[Path, float] = {}
    for item in items:
        marker = item.get_closest_marker("timeout")
        limit = float(marker.args[0]) if marker else 0.0
        longest[item.path] = max(limit, longest.get(item.path, 0.0))
    items.sort(key=lambda item: longest[item.path], reverse=True)


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Refuse connections of the test process to other machines."""
    with loopback_only():
        yield


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real etcd and kube-apiserver with our CRDs and our namespace."""
    with ControlPlane() as plane:
        plane.kubectl("apply", "--server-side", "-f", str(CRDS))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
        plane.kubectl("create", "namespace", "zitadel-notification-operator")
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A namespace of the test's own; it goes with the control plane."""
    name = f"test-{next(_NUMBERS)}"
    create_namespace(control_plane, name)
    return name


@pytest.fixture
def audit(control_plane: ControlPlane) -> AuditLog:
    """The API server's audit log from here on."""
    return AuditLog(control_plane)
