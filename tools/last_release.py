"""Find the version that was released last, and unpack its files.

    python tools/last_release.py [FOLDER]

The script prints the newest tag such as v1.2.3 in the history of the present commit. A
tag of this commit itself does not count, so that a release is compared with the one
before it. As long as there is no such tag, the result is the commit FIRST below. With
FOLDER, the script also writes the files of that version there.

Tags need a clone with the whole history. Until the first release there is none to find,
so the files of FIRST are also in an archive: tests pass in a shallow clone, and in
sources without git. Without that archive, both are errors.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST = "98f2ace767a59ffdb6121a1ed2ddeefd31f492da"
"""What upgrades are tried from until a version is tagged."""
ARCHIVE = ROOT / "tests" / "data" / "released" / f"{FIRST[:7]}.tar.xz"
"""The files of FIRST that an upgrade needs. Remove it after the first release."""
TAG = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
NO_CLONE = (
    "git cannot read the history of {root}: {reason}\n"
    "The version that was released last comes from there, so clone the repository with "
    "git, and run this in the clone."
)
SHALLOW = (
    "This clone is shallow: it has no tag such as v1.2.3 in its history, and not the "
    "commit {first}, from which upgrades are tried. Get the whole history:\n"
    "    git fetch --unshallow --tags\n"
    "In a workflow, give actions/checkout `fetch-depth: 0`."
)
UNKNOWN = (
    "This clone has no tag such as v1.2.3 in its history, and not the commit {first}, "
    "from which upgrades are tried. If there are tags, fetch them:\n"
    "    git fetch --tags\n"
    "If the history was rewritten, set FIRST in tools/last_release.py to one of its "
    "commits."
)


class NoRelease(Exception):
    """The last release cannot be found; the text says what to do."""


def main() -> int:
    """Print the last release and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="where to unpack it")
    folder: Path | None = parser.parse_args().folder
    try:
        name = find_release()
        if folder is not None:
            unpack(name, folder)
    except NoRelease as error:
        print(error, file=sys.stderr)
        return 1
    print(name)
    return 0


def find_release() -> str:
    """Return the tag of the last release, or the commit FIRST.

    Raises:
        NoRelease: There is no tag, no archive, and that commit is not in the clone.
    """
    tags = []
    try:
        listing = git("tag", "--list", "v*", "--merged=HEAD", "--no-contains=HEAD")
        tags = [tag for tag in listing.decode().split() if TAG.fullmatch(tag)]
    except NoRelease:
        if not ARCHIVE.exists():
            raise
    if tags:
        return max(tags, key=numbers)
    if ARCHIVE.exists():
        return FIRST
    try:
        git("cat-file", "-e", f"{FIRST}^{{commit}}")
    except NoRelease:
        is_shallow = git("rev-parse", "--is-shallow-repository").strip() == b"true"
        text = SHALLOW if is_shallow else UNKNOWN
        raise NoRelease(text.format(first=FIRST)) from None
    return FIRST


def numbers(tag: str) -> tuple[int, ...]:
    """Return the numbers of a version, so that v0.10.0 is newer than v0.9.0."""
    return tuple(int(number) for number in re.findall(r"\d+", tag))


def unpack(name: str, folder: Path) -> None:
    """Write all files of a version into a folder.

    Raises:
        NoRelease: git cannot read them.
    """
    if name == FIRST and ARCHIVE.exists():
        archive = ARCHIVE.read_bytes()
    else:
        archive = git("archive", "--format=tar", name)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        # Python has this filter since 3.11.4.
        files.extraction_filter = getattr(tarfile, "data_filter", None)
        for member in files:
            files.extract(member, folder)


def git(*arguments: str) -> bytes:
    """Run git in the repository and return its output.

    Raises:
        NoRelease: git failed, or is not installed.
    """
    # In a hook, variables such as GIT_DIR may name another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    command = ["git", *arguments]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, check=False
        )
    except OSError as error:
        raise NoRelease(NO_CLONE.format(root=ROOT, reason=error)) from error
    if done.returncode:
        reason = done.stderr.decode().strip()
        raise NoRelease(NO_CLONE.format(root=ROOT, reason=reason))
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
