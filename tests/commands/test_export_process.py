"""`znp export` as a process: terminals, pipes, signals, and limited credentials."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.waiting import eventually
from zitadel_emulator.faults import Fault
from zitadel_emulator.testing import EmulatedZitadel

POLICIES = "/management/v1/policies/notification"


@pytest.fixture
def command(zitadel: EmulatedZitadel, tmp_path: Path) -> list[str]:
    """The command with the emulator as its ZITADEL."""
    token = tmp_path / "token"
    token.write_text(zitadel.token)
    znp = [sys.executable, "-m", "zitadel_notification_operator.cli"]
    options = ["--url", zitadel.url, "--token-file", str(token), "--allow-local-urls"]
    return [*znp, "export", "--include-inherited", *options]


def test_progress_is_shown_on_a_terminal(
    zitadel: EmulatedZitadel, command: list[str]
) -> None:
    """And removed at the end; the output is the same as without one."""
    for number in range(40):
        zitadel.add_organization(f"Customer {number}")
    quick = subprocess.run(command, capture_output=True, text=True, check=True)
    assert quick.stderr == ""
    zitadel.cause(Fault(path=POLICIES, latency=0.5))
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        slow = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True
        )
        os.close(theirs)
        shown = terminal.read(100_000).decode()
    assert slow.stdout == quick.stdout
    assert " of 43 policies" in shown
    assert shown.endswith("\r")


def test_a_reader_that_closes_the_pipe_is_no_error(
    zitadel: EmulatedZitadel, command: list[str]
) -> None:
    """`znp export | head -1` ends in silence."""
    for number in range(300):
        zitadel.add_organization(f"Customer {number}")
    options = ["--requests-per-second", "10000"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"---\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_a_signal_ends_it_without_output(
    zitadel: EmulatedZitadel, command: list[str]
) -> None:
    """Nothing is half-written."""
    zitadel.cause(Fault(path=POLICIES, hang=True))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        eventually(lambda: zitadel.requests("GET"), what="the policies being read")
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "Interrupted\n")
        assert process.returncode == 130


def test_a_wrong_url_is_told_at_once(command: list[str]) -> None:
    """It is not taken for an outage that passes."""
    command[command.index("--url") + 1] = "http://127.0.0.1:9"
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "127.0.0.1 cannot be reached" in done.stderr


def test_what_a_credential_cannot_see_is_a_warning(
    zitadel: EmulatedZitadel, command: list[str]
) -> None:
    """A role in one organization shows that one; a set would promise too much."""
    acme = zitadel.organizations["ACME"]
    zitadel.set_policy(acme, password_change=True)
    user = zitadel.add_user("ORG_OWNER", organization=acme)
    Path(command[command.index("--token-file") + 1]).write_text(user.credential.token)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("kind: NotificationPolicy") == 1
    assert acme in done.stdout
    assert "ZITADEL has 2 more organizations, which the credential may" in done.stderr
    command.remove("--include-inherited")
    command += ["--as", "set"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the credential may not see 2 of them" in done.stderr
