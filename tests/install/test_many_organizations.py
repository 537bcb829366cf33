"""The commands of docs/how-to/many-organizations.md, exactly as written."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from install.quickstart import quickstart
from support.documents import ROOT, Shell, commands, section
from support.running import TOKEN
from zitadel_notification_operator.demo.control_plane import ControlPlane

DOCUMENT = ROOT / "docs" / "how-to" / "many-organizations.md"
BEGINNING = """
export ZITADEL={url} ADMIN={token}
api() {{ curl -sS -H "Authorization: Bearer $ADMIN" -H "Content-Type: application/json" "$@"; echo; }}
"""  # noqa: E501 - as in docs/how-to/README.md
HEADINGS = (
    "1. See what would change",
    "2. Make it so",
    "3. A new organization",
    "4. An exception",
    "5. Remove organizations",
    "6. Delete the set",
)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A reader with a cluster like the demo's, and its instance."""
    folder = tmp_path_factory.mktemp("guide")
    with quickstart(folder) as system:
        yield Beginner(system.plane, folder, system.emulator.url)


class Beginner(Shell):
    """A reader who has typed what is below "Before you begin"."""

    def __init__(self, plane: ControlPlane, home: Path, url: str) -> None:
        super().__init__(plane, home)
        self._beginning = BEGINNING.format(url=url, token=TOKEN)

    def run(self, text: str, timeout: float = 100.0) -> str:
        """Run a script after the beginning."""
        return super().run(self._beginning + text, timeout)


def comparable(text: str) -> list[str]:
    """Return the lines with single blanks, and without ages."""
    lines = [" ".join(line.split()) for line in text.strip().splitlines()]
    return [re.sub(r" \d+m?\d*s$", "", line) for line in lines if line]


def shown(heading: str) -> list[str]:
    """Return all output that the guide shows in a section."""
    blocks = re.findall(r"(?s)```text\n(.*?)```", section(DOCUMENT, heading))
    return comparable("\n".join(blocks))


def test_the_beginning_is_the_guides() -> None:
    """The test types the same function as a reader."""
    (function,) = [line for line in BEGINNING.splitlines() if line.startswith("api")]
    guides = (DOCUMENT.parent / "README.md").read_text()
    assert function.replace("{{", "{").replace("}}", "}") in guides


@pytest.mark.parametrize("heading", HEADINGS)
def test_each_step_prints_what_is_shown(shell: Shell, heading: str) -> None:
    """The steps build on each other, in this order."""
    assert comparable(shell.run(commands(DOCUMENT, heading))) == shown(heading)


def test_no_step_is_left_out() -> None:
    """Every section with commands is typed."""
    headings = re.findall(r"(?m)^## (.+)$", DOCUMENT.read_text())
    typed = [h for h in headings if "```console" in section(DOCUMENT, h)]
    assert tuple(typed) == HEADINGS
