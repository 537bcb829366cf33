"""The commands that audit, with the ZitadelInstance of a cluster and its Secret."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from zitadel_emulator.testing import EmulatedZitadel
from zitadel_notification_operator.cli.group import znp
from zitadel_notification_operator.demo.control_plane import ControlPlane

NAME = "audited"
NAMESPACE = "zitadel-notification-operator"


@pytest.fixture
def plane(
    control_plane: ControlPlane, zitadel: EmulatedZitadel
) -> Iterator[ControlPlane]:
    """A cluster with a ZitadelInstance for the emulator."""
    credentials = {"personalAccessToken": {"secretRef": {"name": NAME}}}
    spec = {"url": zitadel.url, "allowInsecureHTTP": True, "credentials": credentials}
    body = {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "ZitadelInstance",
        "metadata": {"name": NAME},
        "spec": spec,
    }
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    yield control_plane
    control_plane.kubectl("delete", "zni", NAME)


@pytest.fixture
def secret(plane: ControlPlane, zitadel: EmulatedZitadel) -> Iterator[None]:
    """The Secret that it names."""
    where = ("secret", NAME, f"--namespace={NAMESPACE}")
    created = ("create", "secret", "generic", *where[1:])
    plane.kubectl(*created, f"--from-literal=token={zitadel.token}")
    yield
    plane.kubectl("delete", *where)


def run(plane: ControlPlane, *arguments: str, name: str = NAME) -> Result:
    """Run a command with the instance of this name."""
    line = [*arguments, "--instance", name, "--kubeconfig", str(plane.kubeconfig)]
    return CliRunner().invoke(
        znp, [*line, "--allow-local-urls"], catch_exceptions=False
    )


@pytest.mark.usefixtures("secret")
def test_the_credential_of_the_operator(
    plane: ControlPlane, zitadel: EmulatedZitadel
) -> None:
    """It tells which changes were the operator's own."""
    zitadel.set_policy(zitadel.organizations["ACME"], password_change=False)
    history = run(plane, "history", "-o", "json")
    assert history.exit_code == 0, history.output
    assert len(json.loads(history.stdout)["changes"]) == 2
    report = run(plane, "report", "-o", "json")
    assert json.loads(report.stdout)["zitadel"]["url"] == zitadel.url
    check = run(plane, "check", "--for", "instance")
    assert check.stdout.endswith("0 of 1 missing.\n")
    for done in (history, report, check):
        assert zitadel.token not in done.output


@pytest.mark.parametrize("command", ["history", "report", "check"])
def test_what_is_missing_is_said(plane: ControlPlane, command: str) -> None:
    done = run(plane, command)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"Secret {NAMESPACE}/{NAME}" in done.stderr
    other = run(plane, command, name="other")
    assert (other.exit_code, other.stdout) == (1, "")
    assert "There is no ZitadelInstance other" in other.stderr
