"""Fixtures of all tests: one control plane for a session, a namespace for a test."""

import gc
import itertools
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from support.audit import AuditLog
from support.kube_calls import create_namespace
from support.loopback import loopback_only
from support.waiting import BUSY
from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent
CRDS = ROOT / "deploy" / "crds"
_NUMBERS = itertools.count(1)
LONGEST = (
    "cluster/test_two_sides.py",
    "faults/test_kubernetes_refuses.py",
    "faults/test_misfortunes_on_a_cluster.py",
    "faults/test_crd_deletion.py",
    "faults/test_kubernetes_faults.py",
    "cluster/test_sets_faults.py",
    "faults/test_zitadel_misfortunes.py",
    "cluster/test_drift.py",
    "commands/test_plan.py",
)
"""The files that take more than two minutes, from the longest to the shortest."""


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Extend time limits for a busy machine, and start with the longest files.

    If a file that takes minutes were started last, the other processes would have to
    wait for it. Of the others, those come first whose tests may take longest.
    """
    usual = float(config.getini("timeout"))
    longest: dict[Path, float] = {}
    for item in items:
        marker = item.get_closest_marker("timeout")
        limit = float(marker.args[0]) if marker else usual
        longest[item.path] = max(limit, longest.get(item.path, 0.0))
        item.add_marker(pytest.mark.timeout(BUSY * limit), append=False)
    if hasattr(config, "workerinput"):
        known = [ROOT / "tests" / name for name in LONGEST]
        assert all(path.is_file() for path in known), "LONGEST names a missing file"
        items.sort(key=lambda item: -longest[item.path])
        items.sort(key=lambda item: (*known, item.path).index(item.path))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Exempt all that is made while tests are collected from garbage collection.

    It lives as long as the process. To look through it again and again would take a
    fifth of the processor time of tests that need no other process.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Refuse connections of the test process to other machines."""
    with loopback_only():
        yield


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real etcd and kube-apiserver with the CRDs and the operator's namespace."""
    with ControlPlane() as plane:
        plane.kubectl("apply", "--server-side", "-f", str(CRDS))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
        plane.kubectl("create", "namespace", "zitadel-notification-operator")
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A namespace for one test; it lives as long as the control plane."""
    name = f"test-{next(_NUMBERS)}"
    create_namespace(control_plane, name)
    return name


@pytest.fixture
def audit(control_plane: ControlPlane) -> AuditLog:
    """The API server's audit log from the start of the test."""
    return AuditLog(control_plane)
