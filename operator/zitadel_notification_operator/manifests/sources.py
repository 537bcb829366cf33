"""Reads the texts that `-f FILE|DIR|-` names, in the order of kubectl."""

import os
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple, TextIO

from .errors import ManifestError

STDIN = "-"
"""The name that stands for standard input."""

_ENDINGS = frozenset({".yaml", ".yml", ".json"})
"""The endings of files that are read in a folder."""


class Text(NamedTuple):
    """What a file holds.

    Attributes:
        name: What messages call it.
        text: Its content.
    """

    name: str
    text: str


def texts_of(
    sources: Sequence[str], *, recursive: bool, stdin: TextIO
) -> Iterator[Text]:
    """Yield the texts of files, of the files in folders, and of standard input.

    Args:
        sources: Paths, and `-` for standard input.
        recursive: Whether folders within folders are read, too.
        stdin: Standard input.

    Raises:
        ManifestError: Something cannot be read, or a folder has nothing to read.
    """
    if list(sources).count(STDIN) > 1:
        raise ManifestError("Standard input (-) can be read only once")
    for source in sources:
        if source == STDIN:
            yield read_text(source, stdin)
            continue
        for path in _files_of(Path(source), recursive=recursive):
            yield read_text(str(path), stdin)


def read_text(source: str, stdin: TextIO) -> Text:
    """Return the text of a file, or of standard input for `-`.

    Raises:
        ManifestError: It cannot be read, or is no UTF-8.
    """
    name = "standard input" if source == STDIN else source
    try:
        if source == STDIN:
            if isinstance(stdin, TextIOWrapper):
                # A pipe carries what a file holds, whatever the locale says.
                stdin.reconfigure(encoding="utf-8", errors="strict")
            text = stdin.read()
        else:
            text = Path(source).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{name} is no text in UTF-8") from error
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise ManifestError(f"{name} cannot be read: {problem}") from error
    return Text(name, text)


def _files_of(path: Path, *, recursive: bool) -> list[Path]:
    if not path.is_dir():
        return [path]
    found: list[Path] = []
    for folder, folders, names in os.walk(path, onerror=_refuse):
        folders.sort()
        found += [
            Path(folder, name)
            for name in sorted(names)
            if Path(name).suffix.lower() in _ENDINGS
        ]
        if not recursive:
            break
    if not found:
        hint = "" if recursive else "; -R also reads the folders in it"
        raise ManifestError(
            f"{path} holds no file that ends in .yaml, .yml or .json{hint}"
        )
    return found


def _refuse(error: OSError) -> None:
    raise ManifestError(f"{error.filename} cannot be read: {error.strerror}")
