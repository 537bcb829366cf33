"""The commands of docs/how-to/several-operators.md, exactly as written."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from install.test_many_organizations import Beginner, comparable
from support.documents import ROOT, commands, section
from support.running import EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

DOCUMENT = ROOT / "docs" / "how-to" / "several-operators.md"
QUICKSTART = ROOT / "examples" / "quickstart" / "10-instance.yaml"
HEADINGS = (
    "1. Start an operator for a class",
    "2. Give an instance to it",
    "3. Move an installation to another namespace",
    "4. Give it back",
)
ENDS = """
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
"""
"""Ends the operators that the guide has started, also when a command fails."""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Beginner]:
    """A cluster like the one that the demo leaves, with a policy of its instance."""
    with ControlPlane() as plane:
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "deploy" / "crds"))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
        plane.kubectl("create", "namespace", "zitadel-notification-operator")
        create_secret(plane, "zitadel-credentials")
        emulator = EmulatorProcess(tmp_path / "emulator")
        operator = OperatorProcess(plane, tmp_path)
        with emulator.program, operator.program:
            operator.wait_ready()
            instance = QUICKSTART.read_text()
            assert "http://127.0.0.1:8085" in instance
            instance = instance.replace("http://127.0.0.1:8085", emulator.url)
            plane.kubectl("apply", "-f-", stdin=instance)
            policy = (QUICKSTART.parent / "20-organization-policy.yaml").read_text()
            plane.kubectl("apply", "-f-", stdin=policy)
            eventually(lambda: "True" in _ready(plane), 60, "a policy that is Ready")
            yield Beginner(plane, tmp_path, emulator.url)


def _ready(plane: ControlPlane) -> str:
    path = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    return plane.kubectl("get", "znp", "-A", f"--output=jsonpath={path}").stdout


def test_the_steps_print_what_is_shown(shell: Beginner) -> None:
    """They are one session: a later step ends what an earlier one has started."""
    script = "\n".join(commands(DOCUMENT, heading) for heading in HEADINGS)
    printed = comparable(shell.run(ENDS + script, 400))
    assert printed == [line for heading in HEADINGS for line in _shown(heading)]


def _shown(heading: str) -> list[str]:
    """Return the output that the guide shows, which follows each block of commands."""
    text = section(DOCUMENT, heading)
    blocks = re.findall(r"(?s)```console\n.*?```\s+```text\n(.*?)```", text)
    return comparable("\n".join(blocks))


def test_no_step_is_left_out() -> None:
    """Every section with commands is typed."""
    headings = re.findall(r"(?m)^## (.+)$", DOCUMENT.read_text())
    typed = [h for h in headings if "```console" in section(DOCUMENT, h)]
    assert tuple(typed) == HEADINGS
