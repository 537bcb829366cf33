"""The plugin, called by the real kubectl. No cluster is needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zitadel_notification_operator.demo.binaries import find_binaries

pytestmark = pytest.mark.tls


def kubectl(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run kubectl with the installed scripts in the PATH, and without a kubeconfig."""
    places = (Path(sys.executable).parent, os.environ["PATH"])
    program = find_binaries(("kubectl",)) / "kubectl"
    return subprocess.run(
        [str(program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": os.pathsep.join(map(str, places)),
            "HOME": "/nowhere",
            "KUBECONFIG": "/nowhere/config",
        },
    )


def test_usage_texts_name_the_plugin() -> None:
    """In the help of the whole, of a command, and where something is wrong."""
    name = "kubectl zitadel-notification"
    whole = kubectl("zitadel-notification", "--help")
    assert whole.returncode == 0, whole.stderr
    assert f"Usage: {name} [OPTIONS] COMMAND" in whole.stdout
    one = kubectl("zitadel-notification", "release", "-h")
    assert f"Usage: {name} release [OPTIONS]" in one.stdout
    wrong = kubectl("zitadel-notification", "release", "--nothing")
    assert wrong.returncode == 64
    assert f"Try '{name} release --help'" in wrong.stderr


def test_kubectl_completes_the_plugin() -> None:
    """The protocol is cobra's; debug texts of kubectl go to stderr."""
    done = kubectl("__complete", "zitadel-notification", "rel")
    assert done.returncode == 0, done.stderr
    line, last = done.stdout.splitlines()
    assert line.startswith("release\tremove finalizers")
    assert last == ":4"
    assert "NoFileComp" in done.stderr


def test_kubectl_completes_options_and_files() -> None:
    """Behind an option that takes a file, the shell proposes files."""
    option = kubectl("__complete", "zitadel-notification", "release", "--dry")
    assert option.stdout.startswith("--dry-run\t")
    words = ("zitadel-notification", "release", "--kubeconfig", "")
    assert kubectl("__complete", *words).stdout.splitlines() == [":0"]
