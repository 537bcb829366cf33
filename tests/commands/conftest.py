"""What the tests of commands share: `znp` with an emulator, or with a whole system."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cluster.conftest import system as system  # noqa: PLC0414 - it is a fixture
from support.command_line import CommandLine, apply_roles
from support.planes import ready_plane
from zitadel_emulator.testing import EmulatedZitadel
from zitadel_notification_operator.cli.group import znp
from zitadel_notification_operator.demo.control_plane import ControlPlane

Znp = Callable[..., Result]


@pytest.fixture
def run_znp(zitadel: EmulatedZitadel, tmp_path: Path) -> Znp:
    """Run a command with the emulator as its ZITADEL."""
    token = tmp_path / "token"
    token.write_text(zitadel.token)

    def run(command: str, *arguments: str, **settings: Any) -> Result:
        options = ["--url", zitadel.url, "--token-file", str(token)]
        options += ["--allow-local-urls", "--requests-per-second", "10000"]
        return CliRunner().invoke(znp, [command, *options, *arguments], **settings)

    return run


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A control plane of its own: the operators of other folders have their own."""
    with ready_plane() as plane:
        apply_roles(plane)
        yield plane


@pytest.fixture
def admin(control_plane: ControlPlane) -> CommandLine:
    """The command line of the cluster's administrator."""
    return CommandLine(control_plane.kubeconfig)
