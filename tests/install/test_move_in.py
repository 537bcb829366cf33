"""The commands of docs/how-to/move-in.md for Terraform, exactly as written.

One thing is not real: Terraform is a script that gives the state of the example and
forgets what it is told to forget.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from install.quickstart import DEFAULT, quickstart
from support.documents import ROOT, Shell, commands, section
from support.running import TOKEN, EmulatorProcess
from zitadel_notification_operator.demo.control_plane import ControlPlane

DOCUMENT = ROOT / "docs" / "how-to" / "move-in.md"
STATE = ROOT / "examples" / "move-in" / "terraform-state.json"
BEGINNING = "Before the first step"
HEADINGS = (
    "1. Write the manifests",
    "2. Compare them with ZITADEL",
    "3. Observe",
    "4. Let Terraform forget",
    "5. Manage",
)
NOT_SHOWN = "Removed "
FUNCTION = (
    f"export ADMIN={TOKEN}\n"
    'api() { curl -sS -H "Authorization: Bearer $ADMIN" '
    '-H "Content-Type: application/json" "$@"; echo; }\n'
)
TERRAFORM = f"""#!/bin/sh
# Stands in for Terraform.
case "$1 $2" in
  "state pull") cat '{STATE}' ;;
  "state rm") shift 2; for one; do echo "Removed $one"; done ;;
  *) exit 1 ;;
esac
"""


class Reader(Shell):
    """A reader who has Terraform, and has typed what is in "Before you begin"."""

    def __init__(
        self, plane: ControlPlane, home: Path, emulator: EmulatorProcess
    ) -> None:
        super().__init__(plane, home)
        self.emulator = emulator
        programs = home / "bin"
        programs.mkdir()
        (programs / "terraform").write_text(TERRAFORM)
        (programs / "terraform").chmod(0o755)
        self._first = f"export PATH={programs}:$PATH ZITADEL={emulator.url}\n{FUNCTION}"

    def type(self, heading: str) -> str:
        """Type the commands of a section and return what they print."""
        return self.run(self._first + commands(DOCUMENT, heading))

    def events(self) -> list[dict[str, Any]]:
        """Return ZITADEL's event log."""
        found: list[dict[str, Any]] = self.emulator.call("GET", "/emulator/v1/events")
        return found


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader with a cluster like the demo's, and the policy that the demo leaves."""
    folder = tmp_path_factory.mktemp("guide")
    with quickstart(folder, DEFAULT) as system:
        yield Reader(system.plane, folder, system.emulator)


def comparable(text: str) -> list[str]:
    """Return the lines with single blanks, without ages and what others print."""
    lines = [" ".join(line.split()) for line in text.strip().splitlines()]
    lines = [line for line in lines if line and not line.startswith(NOT_SHOWN)]
    return [re.sub(r" \d+m?\d*s$", "", line) for line in lines]


def shown(heading: str) -> list[str]:
    """Return all output that the guide shows in a section."""
    blocks = re.findall(r"(?s)```text\n(.*?)```", section(DOCUMENT, heading))
    return comparable("\n".join(blocks))


def test_terraform_hands_over_without_one_write(reader: Reader) -> None:
    """Each step prints what is shown, and ZITADEL's event log does not grow."""
    assert comparable(reader.type(BEGINNING)) == shown(BEGINNING)
    before = reader.events()
    for heading in HEADINGS:
        assert comparable(reader.type(heading)) == shown(heading)
        assert reader.events() == before, f"{heading} has written to ZITADEL"
    assert reader.emulator.policy("280000000000000101")["passwordChange"] is True


def test_no_step_is_left_out() -> None:
    """Every section with commands is typed."""
    headings = re.findall(r"(?m)^## (.+)$", DOCUMENT.read_text())
    typed = [h for h in headings if "```console" in section(DOCUMENT, h)]
    assert tuple(typed) == (BEGINNING, *HEADINGS)


def test_the_beginning_is_the_guides() -> None:
    """The test types the same function as a reader."""
    function = FUNCTION.splitlines()[1]
    assert function in (DOCUMENT.parent / "README.md").read_text()
