"""Draw the diagrams of the documents for the site, into docs/images/diagrams.

    PYTHONPATH=tests python tools/draw_diagrams.py [--check]

GitHub draws them by Mermaid, and so does this script, in a Chromium that must be
installed. Mermaid itself comes from npm, at the pinned version. The site needs neither.
With `--check` the script draws nothing, and fails if a picture is missing or left over.
"""

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import diagram_files

from support.browser import Tab, open_browser

VERSION = "12.3.0"
SHA512 = (
    "e35d774dd5de2c0b0caee27bf4ea452f93bcf8b4c55e142a676eb4ac5ded8149"
    "a2340b519b852e99ed3823eeb93d137ac99ebd2787fcad56165bccd193ae5463"
)
"""The checksum of Mermaid's package, which is also the one that npm states."""
PROGRAM = "package/dist/mermaid.min.js"
SETTINGS = {
    "startOnLoad": False,
    "theme": "neutral",
    "fontFamily": "Helvetica, Arial, sans-serif",
    # Labels that are HTML would not be shown in a picture.
    "htmlLabels": False,
    "flowchart": {"htmlLabels": False},
}
"""Mermaid's settings."""


def main() -> int:
    """Draw what is missing and delete what is left over; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="draw nothing")
    check = parser.parse_args().check
    wanted = find_diagrams()
    present = set((diagram_files.ROOT / diagram_files.FOLDER).glob("*.svg"))
    missing = sorted(wanted.keys() - present)
    left_over = sorted(present - wanted.keys())
    if check:
        for path in (*missing, *left_over):
            name = path.relative_to(diagram_files.ROOT)
            print(f"{name} is {'missing' if path in missing else 'left over'}")
        if missing or left_over:
            print("Run: make diagrams")
        return int(bool(missing or left_over))
    for path in left_over:
        path.unlink()
    if missing:
        asyncio.run(draw({path: wanted[path] for path in missing}))
    return 0


def find_diagrams() -> dict[Path, str]:
    """Return the text of each diagram in the documents by the path of its picture."""
    root = diagram_files.ROOT
    documents = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    return {
        root / diagram_files.picture_of(text): text
        for document in documents
        for text in diagram_files.diagrams(document.read_text())
    }


async def draw(wanted: dict[Path, str]) -> None:
    """Draw pictures in one browser."""
    with tempfile.TemporaryDirectory() as folder:
        program = fetch_mermaid(Path(folder))
        async with open_browser(Path(folder) / "profile") as tab:
            await tab.evaluate(program)
            await tab.evaluate(f"mermaid.initialize({json.dumps(SETTINGS)})")
            for path, text in wanted.items():
                path.parent.mkdir(exist_ok=True)
                path.write_text(await picture(tab, text))


async def picture(tab: Tab, text: str) -> str:
    """Return the picture of one diagram; the browser complains if it is not valid."""
    script = f"mermaid.render('diagram', {json.dumps(text)}).then(drawn => drawn.svg)"
    return f"{await tab.evaluate(script)}\n"


def fetch_mermaid(folder: Path) -> str:
    """Return the text of Mermaid's program, from npm.

    Raises:
        ValueError: The package is not the one that is pinned here.
    """
    command = ["npm", "pack", "--silent", f"mermaid@{VERSION}"]
    packed = subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    )
    archive = folder / packed.stdout.strip()
    found = hashlib.sha512(archive.read_bytes()).hexdigest()
    if found != SHA512:
        raise ValueError(f"{archive.name} has the checksum {found}, not {SHA512}")
    with tarfile.open(archive) as package:
        member = package.extractfile(PROGRAM)
        if member is None:
            raise ValueError(f"{archive.name} has no {PROGRAM}")
        return member.read().decode()


if __name__ == "__main__":
    sys.exit(main())
