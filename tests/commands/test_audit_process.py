"""The commands that audit as processes: interrupted, and with a reader that leaves."""

import signal
import subprocess
from pathlib import Path

import pytest

from support.running import ZNP
from support.waiting import eventually
from zitadel_emulator.testing import EmulatedZitadel, Fault

pytestmark = pytest.mark.tls


@pytest.fixture
def options(zitadel: EmulatedZitadel, tmp_path: Path) -> list[str]:
    file = tmp_path / "token"
    file.write_text(zitadel.token)
    return ["--url", zitadel.url, "--token-file", str(file), "--allow-local-urls"]


@pytest.mark.parametrize("command", ["history", "report", "check"])
def test_an_interrupted_command(
    zitadel: EmulatedZitadel, options: list[str], command: str
) -> None:
    zitadel.cause(Fault(path="/", hang=True))
    process = subprocess.Popen(
        [*ZNP, command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    eventually(zitadel.requests, 30, "a call that hangs")
    process.send_signal(signal.SIGINT)
    printed, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (printed, told) == (b"", b"Interrupted\n")


@pytest.mark.parametrize(
    "arguments", [["history"], ["history", "-o", "json"], ["report"]]
)
def test_a_reader_that_leaves(
    zitadel: EmulatedZitadel, options: list[str], arguments: list[str]
) -> None:
    """Such as head. That is no error."""
    for number in range(300):
        zitadel.set_policy(password_change=bool(number % 2))
    process = subprocess.Popen(
        [*ZNP, *arguments, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
