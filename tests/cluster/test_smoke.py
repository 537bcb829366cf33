"""`make smoke` against the emulator; the nightly workflow runs it against ZITADEL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.running import TOKEN, EmulatorProcess

TESTS = Path(__file__).parent.parent
NEXT = "280000000000000103"
"""The id of the first organization that is created in an emulator."""


def smoke(url: str, token_file: Path) -> subprocess.CompletedProcess[str]:
    """Run the walk as `make smoke` does."""
    options = ("--url", url, "--token-file", str(token_file))
    return subprocess.run(
        [sys.executable, "-m", "smoke", *options],
        env={**os.environ, "PYTHONPATH": str(TESTS), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """The file with the token of the emulator's IAM_OWNER, as an editor leaves it."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def test_the_walk_ends_well_and_leaves_nothing(
    tmp_path: Path, token_file: Path
) -> None:
    """Each step is told; the organization is gone, and all others are untouched."""
    emulator = EmulatorProcess(tmp_path)
    with emulator.program:
        before = emulator.call("GET", "/emulator/v1/organizations")
        done = smoke(emulator.url, token_file)
        assert (done.returncode, done.stderr) == (0, "")
        after = emulator.call("GET", "/emulator/v1/organizations")
        assert after == before
        touched = {organization for _, _, organization in emulator.writes()}
    assert len(touched) == 1
    assert touched.isdisjoint(organization["id"] for organization in before)
    for step in ("Connected to", "Set passwordChange", "Corrected a", "inherits again"):
        assert step in done.stdout
    assert done.stdout.endswith("Each step had the result that it must have.\n")


def test_a_step_that_fails_is_told_and_all_is_tidied_up(
    tmp_path: Path, token_file: Path
) -> None:
    """What is wrong is on the other output, and the organization is removed."""
    emulator = EmulatorProcess(tmp_path)
    with emulator.program:
        before = emulator.call("GET", "/emulator/v1/organizations")
        path = "/management/v1/policies/notification"
        made = {"method": "GET", "path": path, "organization": NEXT}
        emulator.call("POST", "/emulator/v1/faults", {**made, "status": 503})
        done = smoke(emulator.url, token_file)
        assert emulator.call("GET", "/emulator/v1/organizations") == before
    assert done.returncode == 1
    assert "Removed the organization" in done.stdout
    assert "Each step had" not in done.stdout
    assert done.stderr.startswith(f"GET {path}: HTTP 503")


def test_a_credential_that_can_too_little_creates_nothing(
    tmp_path: Path, token_file: Path
) -> None:
    """`znp check` says which role it lacks."""
    emulator = EmulatorProcess(tmp_path)
    with emulator.program:
        made = emulator.user("IAM_OWNER_VIEWER", credential="token")
        token_file.write_text(made["token"])
        before = emulator.call("GET", "/emulator/v1/organizations")
        done = smoke(emulator.url, token_file)
        assert emulator.call("GET", "/emulator/v1/organizations") == before
    assert done.returncode == 1
    assert "znp check ends with 0" in done.stderr
    assert "IAM_" in done.stderr
