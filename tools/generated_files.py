"""What all generators of files in the checkout share: write the files, or compare them.

Each generator is a script beside this file, `python tools/NAME.py [--check]`, that says
what its files must contain. `make generate` runs them all, and `make lint` runs them
with `--check`.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""


class CannotGenerate(Exception):
    """The sources do not say what a file must contain; the text says what to add."""


def run(
    description: str | None, derive: Callable[[], Mapping[Path, str | None]]
) -> int:
    """Write the files, or with `--check` only compare them, and return the exit code.

    Args:
        description: The docstring of the generator, whose first line is its help.
        derive: Returns the text that each file must have, by its path, or None for a
            file that must not exist. If it raises CannotGenerate, nothing is written.
    """
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args().check
    try:
        wanted = derive()
    except CannotGenerate as error:
        print(error, file=sys.stderr)
        return 1
    stale = {path: text for path, text in wanted.items() if _read(path) != text}
    for path, text in stale.items():
        if check:
            print(f"{path.relative_to(ROOT)} is out of date", file=sys.stderr)
        elif text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if check and stale:
        print("Run: make generate", file=sys.stderr)
    return int(check and bool(stale))


def _read(path: Path) -> str | None:
    return path.read_text() if path.is_file() else None
