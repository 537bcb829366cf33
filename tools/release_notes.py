"""Print what CHANGELOG.md says of a version, for the notes of its release.

    python tools/release_notes.py v0.1.0
    python tools/release_notes.py --rehearsal

With a tag it is strict: the tag must be the version in pyproject.toml, and the newest
section of the changelog must be about that version and have its date. A rehearsal has
no tag, takes the newest section, and accepts one without a date. It uses only the
standard library, so any Python from 3.11 on can run it.
"""

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADING = re.compile(r"^## (?P<version>\S+) - (?P<date>.+)$", re.MULTILINE)
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class NotReleasable(Exception):
    """Something must be changed before the release; the text says what, and where."""


@dataclass(frozen=True)
class Section:
    """The newest section of the changelog.

    Attributes:
        version: The version in its heading.
        date: What its heading says of the day of the release.
        text: The text below the heading, without blank lines around it.
    """

    version: str
    date: str
    text: str


def main() -> int:
    """Print the notes and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("tag", nargs="?", help="the tag that is released, such as v0.1.0")
    what.add_argument(
        "--rehearsal",
        action="store_true",
        help="there is no tag, and no date is needed",
    )
    tag = parser.parse_args().tag
    try:
        section = newest_section((ROOT / "CHANGELOG.md").read_text())
        if tag is not None:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            require_releasable(section, tag, project["version"])
    except NotReleasable as error:
        print(error, file=sys.stderr)
        return 1
    print(section.text)
    return 0


def newest_section(changelog: str) -> Section:
    """Return the first section of a changelog.

    Raises:
        NotReleasable: There is none, or it is empty.
    """
    headings = list(HEADING.finditer(changelog))
    if not headings:
        raise NotReleasable(
            "CHANGELOG.md has no section; its heading must read `## VERSION - DATE`"
        )
    first = headings[0]
    end = headings[1].start() if len(headings) > 1 else len(changelog)
    text = changelog[first.end() : end].strip()
    if not text:
        raise NotReleasable(
            f"CHANGELOG.md says nothing about {first['version']}; "
            "write what users notice"
        )
    return Section(first["version"], first["date"], text)


def require_releasable(section: Section, tag: str, version: str) -> None:
    """Compare the tag with the version and the changelog.

    Raises:
        NotReleasable: They differ, or the section has no date.
    """
    if tag != f"v{version}":
        raise NotReleasable(
            f"The tag {tag} does not name the version in pyproject.toml, {version}; "
            f"delete the tag, and set v{version} or change the version first"
        )
    if section.version != version:
        raise NotReleasable(
            f"The newest section of CHANGELOG.md is about {section.version} and not "
            f"about {version}; add a section `## {version} - YYYY-MM-DD`"
        )
    if not DATE.fullmatch(section.date):
        raise NotReleasable(
            f'CHANGELOG.md says "{section.date}" of {version}; replace it by the day '
            "of the release, YYYY-MM-DD"
        )


if __name__ == "__main__":
    sys.exit(main())
