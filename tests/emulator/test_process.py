"""`znp emulator` as a process: its options, its output, its end."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

pytestmark = pytest.mark.tls

ZNP = (sys.executable, "-m", "zitadel_notification_operator.cli", "emulator")


@contextmanager
def running(
    *options: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the emulator; yield the process and the first line of its output."""
    with subprocess.Popen(
        [*ZNP, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return the rest of the output after its end.

    `communicate` is not possible, because it loses what `readline` has read ahead.
    """
    process.wait(timeout=20)
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdout.read(), process.stderr.read()


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
        "ZNP_PORT": "0",
        "ZNP_HOST": "localhost",
        "ZNP_TOKEN": "from-env",
        "ZNP_ORGANIZATIONS": "20",
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
            [*ZNP, "--port", port],
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
        [*ZNP, "--port", "0", "--token", token],
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
