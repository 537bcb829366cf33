"""The commands of docs/how-to/several-operators.md, exactly as written."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from install.quickstart import POLICY, quickstart
from install.test_many_organizations import Beginner, comparable
from support.documents import ROOT, commands, section

DOCUMENT = ROOT / "docs" / "how-to" / "several-operators.md"
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
    """A reader with a cluster like the demo's, and a policy of its instance."""
    with quickstart(tmp_path, POLICY) as system:
        yield Beginner(system.plane, tmp_path, system.emulator.url)


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
