"""What all tests share: one control plane a session, a namespace a test."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.audit import AuditLog
from support.loopback import loopback_only
from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent
CRDS = ROOT / "deploy" / "crds"
_NUMBERS = itertools.count(1)


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
    control_plane.kubectl("create", "namespace", name)
    return name


@pytest.fixture
def audit(control_plane: ControlPlane) -> AuditLog:
    """The API server's audit log from here on."""
    return AuditLog(control_plane)
