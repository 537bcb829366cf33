"""The commands on a cluster without the CRDs, and on one without an operator."""

import json
from collections.abc import Iterator

import pytest

from support.command_line import CommandLine, install_crds
from support.waiting import eventually
from zitadel_notification_operator.core.mends import MENDS, UNSEEN
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.demo.control_plane import ControlPlane

POLICY = {
    "apiVersion": "zitadel-notification.dev/v1alpha1",
    "kind": "NotificationPolicy",
    "metadata": {"name": "acme", "namespace": "default"},
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


def test_without_an_operator(bare_plane: ControlPlane, bare: CommandLine) -> None:
    """Nothing is answered: the commands end in time, and say where to look."""
    install_crds(bare_plane)
    text = json.dumps(POLICY)
    create = ("create", "-f", "-")
    # A CRD is Established a moment before its storage is ready.
    eventually(
        lambda: bare_plane.kubectl(*create, stdin=text, check=False).returncode == 0
    )
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
