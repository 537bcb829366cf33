"""Runs `znp` against a control plane, as its administrator or as somebody with less."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from chart.rendering import render
from support.running import OWN_NAMESPACE
from zitadel_notification_operator.cli.group import znp
from zitadel_notification_operator.demo.control_plane import ControlPlane

CHART_ROLES = f"{OWN_NAMESPACE}-"
"""What the names of the chart's roles for people begin with."""

EVENTS = "system:aggregate-to-view"
"""The part of Kubernetes' role view that has Events. Without a controller manager
nothing is aggregated, so people are bound to the parts."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The command line of somebody.

    Attributes:
        kubeconfig: Their kubeconfig.
    """

    kubeconfig: Path

    def run(self, command: str, *arguments: str, **environment: str) -> Result:
        """Run a command."""
        whole = [command, *arguments, f"--kubeconfig={self.kubeconfig}"]
        runner = CliRunner(env={"NO_PROXY": "*", **environment})
        return runner.invoke(znp, whole, prog_name="znp", catch_exceptions=False)

    def says(self, *arguments: str) -> str:
        """Run a command that must succeed; return its output."""
        done = self.run(*arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run a command that must succeed and print JSON; return that."""
        return json.loads(self.says(*arguments, "-o", "json"))

    def fails(self, *arguments: str, code: int = 1) -> str:
        """Run a command that must fail; return what it says about that."""
        done = self.run(*arguments)
        assert done.exit_code == code, done.output
        assert "Traceback" not in done.output
        return done.stderr


def apply_roles(plane: ControlPlane) -> None:
    """Apply the chart's roles for people."""
    roles = [
        one
        for one in render(release=OWN_NAMESPACE)
        if one["kind"] == "ClusterRole" and one["metadata"]["name"] != CHART_ROLES[:-1]
    ]
    assert roles
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(roles))


def somebody(
    plane: ControlPlane, folder: Path, namespace: str, name: str, roles: Iterable[str]
) -> CommandLine:
    """Return the command line of somebody with some roles in one namespace.

    Args:
        plane: The control plane.
        folder: Where the kubeconfig is written.
        namespace: The namespace.
        name: The name of the service account that stands for the person.
        roles: ClusterRoles. Names that begin with a hyphen are the chart's.
    """
    inside = f"--namespace={namespace}"
    plane.kubectl("create", "serviceaccount", name, inside)
    for number, role in enumerate(roles):
        whole = CHART_ROLES + role[1:] if role.startswith("-") else role
        plane.kubectl(
            *("create", "rolebinding", f"{name}-{number}", f"--clusterrole={whole}"),
            *(f"--serviceaccount={namespace}:{name}", inside),
        )
    token = plane.kubectl("create", "token", name, inside).stdout.strip()
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = folder / f"{namespace}-{name}.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return CommandLine(path)
