"""The commands on a cluster without the CRDs, and on one without an operator."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_line import CommandLine
from support.kube_calls import read
from support.planes import install_crds
from support.running import ZNP
from support.waiting import eventually
from zitadel_notification_operator.core.mends import MENDS, UNSEEN
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.demo.processes import Program

POLICY = {
    "apiVersion": "zitadel-notification.dev/v1alpha1",
    "kind": "NotificationPolicy",
    "spec": {
        "scope": "Organization",
        "organization": {"id": "1"},
        "passwordChange": True,
    },
}


@pytest.fixture(scope="module")
def bare_plane() -> Iterator[ControlPlane]:
    """A control plane without CRDs and without an operator."""
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="module")
def bare(bare_plane: ControlPlane) -> CommandLine:
    """The command line of its administrator."""
    return CommandLine(bare_plane.kubeconfig)


@pytest.fixture(scope="module")
def plane(bare_plane: ControlPlane) -> ControlPlane:
    """The control plane with the CRDs; the tests without them come first."""
    install_crds(bare_plane)
    lists = ("get", "znp,znps,zni", "--all-namespaces")
    # A CRD is Established a moment before its storage is ready.
    eventually(lambda: bare_plane.kubectl(*lists, check=False).returncode == 0)
    return bare_plane


def create(plane: ControlPlane, name: str) -> None:
    """Create a policy."""
    manifest = {**POLICY, "metadata": {"name": name, "namespace": "default"}}
    plane.kubectl("create", "-f", "-", stdin=json.dumps(manifest))


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "acme"),
        ("status",),
        ("status", "zni/default", "--wait", "--timeout=1s"),
        ("reconcile", "acme"),
        ("suspend", "--all"),
    ],
)
def test_without_the_crds(bare: CommandLine, arguments: tuple[str, ...]) -> None:
    """The message says what is missing and how to install it."""
    error = bare.fails(*arguments)
    assert "because their CRD is missing" in error
    assert "kubectl apply --server-side -f deploy/crds" in error


def test_without_an_operator(plane: ControlPlane, bare: CommandLine) -> None:
    """Nothing is answered: the commands end in time, and say where to look."""
    create(plane, "acme")
    said = bare.says("status", "acme")
    assert "not Ready: no operator has reported about it" in said.splitlines()[0]
    assert f"mends       {UNSEEN}" in said
    found = bare.json("status", "acme")
    assert found["object"]["mends"] == [{"reason": "", "mend": UNSEEN}]
    assert found["instance"] is None
    soon = "--timeout=500ms"
    error = bare.fails("status", "acme", "--wait", soon)
    assert "Not Ready within 0.5s" in error
    for command in ("reconcile", "suspend", "resume"):
        error = bare.fails(command, "acme", soon)
        assert "the operator has not answered within 0.5s" in error
        assert "never has reported about this object" in error
        said = bare.says(command, "acme", "--wait=false")
        assert said.startswith("znp/acme in default ")
        if command == "suspend":
            assert MENDS[Reason.SUSPENDED] in bare.says("status", "acme")


@pytest.mark.tls
def test_a_signal_ends_the_waiting(
    plane: ControlPlane, bare: CommandLine, tmp_path: Path
) -> None:
    """The request stays written; the exit code says that there was no answer."""
    create(plane, "other")
    command = [*ZNP, "reconcile", "other", f"--kubeconfig={bare.kubeconfig}"]
    started = Program("znp", command, tmp_path / "log", {**os.environ, "NO_PROXY": "*"})

    def asked() -> bool:
        found = read(plane, "znp", "other", "default") or {"metadata": {}}
        return "annotations" in found["metadata"]

    eventually(asked, 30, started.tail(10))
    os.kill(started.pid, signal.SIGINT)
    assert started.wait(30) == 130
    assert started.tail(1).strip() == "Interrupted"
