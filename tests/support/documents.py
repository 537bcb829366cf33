"""Reads the project's documents, and runs their commands exactly as written."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

from chart.rendering import HELM_4
from zitadel_notification_operator.demo.binaries import find_binaries
from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent.parent


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file, read ten times as fast as by `safe_load`.

    Each worker of pytest reads large files while it collects tests.
    """
    return yaml.load(path.read_text(), Loader=yaml.CSafeLoader)


def section(path: Path, heading: str) -> str:
    """Return the text below a heading `## …`, without the sections below it."""
    parts = re.split(r"(?m)^## (.+)$", path.read_text())
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return found[heading]


def commands(path: Path, heading: str) -> str:
    """Return the commands of all `console` blocks of a section as one script."""
    blocks = re.findall(r"(?ms)^( *)```console\n(.*?)^ *```$", section(path, heading))
    assert blocks, f"{path.name} has no commands below {heading}"
    return "\n".join(textwrap.dedent(text) for _, text in blocks)


class Shell:
    """Bash as a reader of the documentation would use it.

    It runs in the checkout, with kubectl, helm and `znp` in PATH.

    Args:
        plane: The cluster that KUBECONFIG names.
        home: The reader's home directory.
        helm: The program that is called `helm` there.
    """

    def __init__(self, plane: ControlPlane, home: Path, helm: str = HELM_4) -> None:
        binaries = find_binaries(("kubectl", helm))
        renamed = home / helm
        renamed.mkdir(exist_ok=True)
        if not (renamed / "helm").exists():
            (renamed / "helm").symlink_to(binaries / helm)
        places = (
            renamed,
            binaries,
            Path(sys.executable).parent,
            os.environ["PATH"],
        )
        self._environment = {
            "PATH": os.pathsep.join(str(place) for place in places),
            "HOME": str(home),
            "KUBECONFIG": str(plane.kubeconfig),
        }

    def start(self, text: str) -> subprocess.Popen[str]:
        """Start a script, which the first failing command ends."""
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
        """Run a script and return its output. If it fails, so does the test."""
        return finish(self.start(text), timeout)


def finish(script: "subprocess.Popen[str]", timeout: float = 100.0) -> str:
    """Wait for a script and return its output. If it fails, so does the test."""
    try:
        output, _ = script.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        script.kill()
        output, _ = script.communicate()
        raise AssertionError(f"Not within {timeout} s:\n{output}") from None
    assert script.returncode == 0, output
    return output
