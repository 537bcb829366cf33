"""The version that was released last: its chart, and its operator's code."""

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "zitadel_notification_operator"


@dataclass(frozen=True)
class Released:
    """The files of a version.

    Attributes:
        name: Its tag, or the commit if no version was tagged yet.
        folder: Where its files are.
    """

    name: str
    folder: Path

    @property
    def chart(self) -> Path:
        """Its chart."""
        return self.folder / "deploy" / "helm" / "zitadel-notification-operator"

    @property
    def source(self) -> Path:
        """The source root of its operator, for PYTHONPATH."""
        return self.folder / "operator"

    def describe(self) -> str:
        """Say which version it is, and what differs from what users ran.

        Its operator runs with the packages of the present one, because an environment
        of its own would take a minute and a package index.
        """
        old, new = (_requirements(folder) for folder in (self.folder, ROOT))
        if old == new:
            return f"The last release is {self.name}, which requires the same packages."
        return (
            f"The last release is {self.name}. It runs with the present packages, but "
            f"requires {', '.join(sorted(old - new)) or 'nothing more'} instead of "
            f"{', '.join(sorted(new - old)) or 'nothing'}."
        )

    def imported_from(self) -> Path:
        """Return the folder from which Python imports the operator with this source."""
        code = f"import {PACKAGE}; print({PACKAGE}.__path__[0])"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": str(self.source)},
            capture_output=True,
            text=True,
            check=True,
        )
        return Path(done.stdout.strip())


def unpack_released(folder: Path) -> Released:
    """Unpack the version that was released last.

    Raises:
        AssertionError: It cannot be found; the text says what to do.
    """
    script = ROOT / "tools" / "last_release.py"
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Released(done.stdout.strip(), folder)


def _requirements(folder: Path) -> set[str]:
    text = (folder / "pyproject.toml").read_text()
    return set(tomllib.loads(text)["project"]["dependencies"])
