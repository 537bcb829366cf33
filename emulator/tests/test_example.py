"""The example project, copied and tested as its README says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.tls

EXAMPLE = Path(__file__).parent.parent / "example"


def test_the_example_passes(tmp_path: Path) -> None:
    """pytest finds the fixture by itself, and all of the example's tests pass."""
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    count = (folder / "test_mails.py").read_text().count("\ndef test_")
    assert f"{count} passed" in done.stdout
