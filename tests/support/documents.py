"""Runs the commands of our documents as they stand."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from zitadel_notification_operator.demo.binaries import find_binaries
from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent.parent


def section(path: Path, heading: str) -> str:
    """Return the text below a heading `## …`, without the sections below it."""
    parts = re.split(r"(?m)^## (.+)$", path.read_text())
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return found[heading]


def commands(path: Path, heading: str) -> str:
    """Return all blocks of commands of a section, one after the other."""
    blocks = re.findall(r"(?ms)^( *)```console\n(.*?)^ *```$", section(path, heading))
    assert blocks, f"{path.name} has no commands below {heading}"
    return "\n".join(textwrap.dedent(text) for _, text in blocks)


class Shell:
    """A reader who types: bash in the checkout, with our programs in the path.

    Args:
        plane: The cluster that KUBECONFIG names.
        home: The reader's home.
    """

    def __init__(self, plane: ControlPlane, home: Path) -> None:
        places = (
            find_binaries(("kubectl", "helm")),
            Path(sys.executable).parent,
            os.environ["PATH"],
        )
        self._environment = {
            "PATH": os.pathsep.join(str(place) for place in places),
            "HOME": str(home),
            "KUBECONFIG": str(plane.kubeconfig),
        }

    def start(self, text: str) -> subprocess.Popen[str]:
        """Start to type; the first command that fails ends it."""
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, text: str, timeout: float = 100.0) -> str:
        """Type it all; return what was printed. A failure fails the test."""
        return finish(self.start(text), timeout)


def finish(typing: "subprocess.Popen[str]", timeout: float = 100.0) -> str:
    """Wait until all is typed; return what was printed. A failure fails the test."""
    try:
        said, _ = typing.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        typing.kill()
        said, _ = typing.communicate()
        raise AssertionError(f"Not within {timeout} s:\n{said}") from None
    assert typing.returncode == 0, said
    return said
