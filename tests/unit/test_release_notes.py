"""`tools/release_notes.py`: what a release says of itself, and what stops it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.documents import ROOT

CHANGELOG = """# Changelog

What is before the first section is left out.

## 1.2.0 - 2026-12-31

The second one.

### Added

- A thing.

## 1.1.0 - 2026-11-30

- The first thing.
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of version 1.2.0, which can be released."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "release_notes.py", tmp_path / "tools")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    return tmp_path


def notes(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a checkout."""
    script = checkout / "tools" / "release_notes.py"
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def change(checkout: Path, file: str, before: str, after: str) -> None:
    """Replace a text that occurs once in a file."""
    path = checkout / file
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))


def test_the_newest_section_is_the_notes(checkout: Path) -> None:
    """Without its heading, which is the release's title."""
    done = notes(checkout, "v1.2.0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "The second one.\n\n### Added\n\n- A thing.\n"


def test_the_only_section_is_the_notes(checkout: Path) -> None:
    """As in the first release."""
    text = CHANGELOG.partition("## 1.1.0")[0]
    (checkout / "CHANGELOG.md").write_text(text)
    assert notes(checkout, "v1.2.0").stdout.endswith("- A thing.\n")


@pytest.mark.parametrize(
    ("file", "before", "after", "says"),
    [
        ("pyproject.toml", "1.2.0", "1.2.1", "does not name the version in pyproject"),
        ("CHANGELOG.md", "## 1.2.0 -", "## 1.3.0 -", "about 1.3.0 and not about 1.2"),
        ("CHANGELOG.md", "2026-12-31", "not released yet", '"not released yet" of 1.2'),
        ("CHANGELOG.md", "2026-12-31", "soon, 2026-12-31", "the day of the release"),
        ("CHANGELOG.md", CHANGELOG, "# Changelog\n", "has no section"),
        (
            "CHANGELOG.md",
            "The second one.\n\n### Added\n\n- A thing.\n",
            "",
            "says nothing about 1.2.0",
        ),
    ],
    ids=["version", "section", "no date", "words", "empty", "silent"],
)
def test_what_is_not_releasable_is_named(
    checkout: Path, file: str, before: str, after: str, says: str
) -> None:
    """Nothing is printed that could become the notes."""
    change(checkout, file, before, after)
    done = notes(checkout, "v1.2.0")
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr


@pytest.mark.parametrize("tag", ["1.2.0", "v1.2", "v1.2.0rc1"])
def test_a_tag_is_the_version_with_a_v(checkout: Path, tag: str) -> None:
    """The message says which tag would do."""
    done = notes(checkout, tag)
    assert (done.returncode, done.stdout) == (1, "")
    assert "v1.2.0" in done.stderr


def test_a_rehearsal_needs_no_date(checkout: Path) -> None:
    """It shows the notes of what is not released yet."""
    change(checkout, "CHANGELOG.md", "2026-12-31", "not released yet")
    done = notes(checkout, "--rehearsal")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The second one.")


def test_one_of_tag_and_rehearsal_is_needed(checkout: Path) -> None:
    """Without either it would not be known how strict to be."""
    assert notes(checkout).returncode == 2
    assert notes(checkout, "v1.2.0", "--rehearsal").returncode == 2


def test_our_own_changelog_can_be_rehearsed() -> None:
    """Its headings have the form that the script reads."""
    done = notes(ROOT, "--rehearsal")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) > 100
    assert "\n## " not in done.stdout
