"""Fixtures of all tests: one control plane for a session, a namespace for a test."""

import gc
import itertools
import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from support.audit import AuditLog
from support.authorities import Authority
from support.kube_calls import create_namespace
from support.loopback import loopback_only
from support.planes import SHARED, ready_plane
from support.waiting import BUSY
from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent
_NUMBERS = itertools.count(1)
LONGEST = (
    "cluster/test_two_sides.py",
    "faults/test_kubernetes_refuses.py",
    "faults/test_misfortunes_on_a_cluster.py",
    "cluster/test_several_operators.py",
    "faults/test_kubernetes_faults.py",
    "cluster/test_sets_faults.py",
    "faults/test_zitadel_misfortunes.py",
    "faults/test_crd_deletion.py",
    "cluster/test_drift.py",
    "install/test_namespaced_mode.py",
    "cluster/test_losses_among_many.py",
    "install/test_cluster_mode.py",
    "commands/test_plan.py",
)
"""The files that take more than two minutes, from the longest to the shortest."""
AT_ONCE, APART = 4, 0.2
"""How many of them begin at once, and after which part of the run as many others."""
COMPUTING = ("tests/unit", "tests/zitadel", "tests/gitops", "emulator/tests")
"""The folders whose tests keep a processor busy. The others mostly wait for other
processes."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that the processes of this run share; they inherit its name."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory("-znp-planes")
        os.environ[SHARED] = folder.name
        config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Extend time limits for a busy machine, and put parallel files in a good order."""
    usual = float(config.getini("timeout"))
    limits: dict[Path, float] = {}
    for item in items:
        marker = item.get_closest_marker("timeout")
        limit = float(marker.args[0]) if marker else usual
        limits[item.path] = max(limit, limits.get(item.path, 0.0))
        item.add_marker(pytest.mark.timeout(BUSY * limit), append=False)
    if hasattr(config, "workerinput"):
        places = _places_of(limits)
        items.sort(key=lambda item: places[item.path])


def _places_of(limits: dict[Path, float]) -> dict[Path, float]:
    """Return for each file a number between 0 and 1: when it begins, among the others.

    The longest files begin early, because the other processes would have to wait for
    one that begins last, but only a few at a time: they mostly wait, and if they had
    all processes, the processors would be idle. Of the rest, those whose tests may take
    longest come first. The files that keep a processor busy are spread over the whole
    run, and so are the others.

    Args:
        limits: The seconds that the slowest test of each file may take.
    """
    known = [ROOT / "tests" / name for name in LONGEST]
    assert all(path.is_file() for path in known), "LONGEST names a missing file"
    folders = [ROOT / name for name in COMPUTING]
    rest = sorted(limits.keys() - set(known), key=lambda path: (-limits[path], path))
    places = {path: i // AT_ONCE * APART for i, path in enumerate(known)}
    for computes in (True, False):
        files = [
            path
            for path in rest
            if any(path.is_relative_to(folder) for folder in folders) == computes
        ]
        places |= {path: place / len(files) for place, path in enumerate(files)}
    return places


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


@pytest.fixture(autouse=True, scope="session")
def _few_roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let one made-up certificate authority be all those of the system.

    No test needs any of the usual ones, about 150. To read them takes 20 ms of
    processor time, for each connection to an instance and often for each process.
    """
    roots = tmp_path_factory.mktemp("roots") / "nobody.crt"
    roots.write_text(Authority("nobody").pem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(roots))
        yield


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real etcd and kube-apiserver with the CRDs and the operator's namespace."""
    with ready_plane() as plane:
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
