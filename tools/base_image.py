"""Print the base image of releases and of CI, or its digest alone.

    python tools/base_image.py [--digest]

It is pinned in requirements/base-image/Dockerfile, because Dependabot finds and updates
it there. The Dockerfile of the operator takes the digest as a build argument.
"""

import argparse
import re
import sys
from pathlib import Path

PIN = Path(__file__).resolve().parent.parent / "requirements/base-image/Dockerfile"
FORM = re.compile(r"^FROM (?P<name>\S+)@(?P<digest>sha256:[0-9a-f]{64})$", re.MULTILINE)


def main() -> int:
    """Print what was asked for and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--digest", action="store_true", help="print the digest alone")
    digest_only = parser.parse_args().digest
    found = FORM.findall(PIN.read_text())
    if len(found) != 1:
        print(
            f"{PIN} must have exactly one line FROM NAME@sha256:DIGEST, and has "
            f"{len(found)}",
            file=sys.stderr,
        )
        return 1
    name, digest = found[0]
    print(digest if digest_only else f"{name}@{digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
