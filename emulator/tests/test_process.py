"""The command as a process: its options, its output, its end."""

import signal
import subprocess
import sys
import urllib.request
from time import monotonic

import pytest

from shared.processes import COMMAND, rest, running

pytestmark = pytest.mark.tls


def get(url: str, token: str) -> int:
    """Return the status of a GET of the instance's policy."""
    request = urllib.request.Request(  # noqa: S310 - our own emulator
        url + "/admin/v1/policies/notification",
        headers={"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - likewise
        status: int = answer.status
    return status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.clock
def test_first_line_is_the_url_and_signals_end_it(number: signal.Signals) -> None:
    """The exit code is 0; the output does not contain the token."""
    with running("--port", "0", "--token", "canary") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert get(url, "canary") == 200
        start = monotonic()
        process.send_signal(number)
        out, err = rest(process)
    assert process.returncode == 0
    assert monotonic() - start < 10
    assert "organization 280000000000000101 ACME" in out
    assert "canary" not in out + err
    assert not err


def test_options_by_environment() -> None:
    """Each option has its variable."""
    environment = {
        "ZITADEL_EMULATOR_PORT": "0",
        "ZITADEL_EMULATOR_HOST": "localhost",
        "ZITADEL_EMULATOR_TOKEN": "from-env",
        "ZITADEL_EMULATOR_ORGANIZATIONS": "20",
    }
    with running(environment=environment) as (process, url):
        assert url.startswith("http://localhost:")
        assert get(url, "from-env") == 200
        process.terminate()
        out, _ = rest(process)
    assert "and 11 organizations more" in out


def test_port_in_use_is_one_sentence() -> None:
    """There is no traceback, the exit code is not 0, and it says what to do."""
    with running("--port", "0") as (_, url):
        port = url.rpartition(":")[2]
        second = subprocess.run(
            [*COMMAND, "--port", port],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert second.returncode != 0
    assert not second.stdout
    assert f"Cannot listen on 127.0.0.1:{port}" in second.stderr
    assert "--port" in second.stderr
    assert len(second.stderr.splitlines()) == 1


@pytest.mark.parametrize("token", ["", "a b", "tökén"])
def test_tokens_that_no_header_can_carry(token: str) -> None:
    """They are refused at the start, by name."""
    result = subprocess.run(
        [*COMMAND, "--port", "0", "--token", token],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert "--token" in result.stderr


@pytest.mark.clock
def test_hanging_request_does_not_hold_it_back() -> None:
    """It ends at once although a client still waits."""
    with running("--port", "0") as (process, url):
        body = b'{"hang": true, "path": "/admin"}'
        request = urllib.request.Request(  # noqa: S310 - our own emulator
            url + "/emulator/v1/faults", body, method="POST"
        )
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - likewise
        command = [sys.executable, "-c", WAIT, url]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            client.stdout.readline()
            process.terminate()
            process.communicate(timeout=20)
            client.kill()
    assert process.returncode == 0


WAIT = """
import socket, sys, time
host, port = sys.argv[1].removeprefix("http://").split(":")
with socket.create_connection((host, int(port))) as s:
    s.sendall(b"GET /admin/v1/nosuch HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    time.sleep(0.2)
    print("sent", flush=True)
    s.recv(1)
"""
