"""SIGTERM and SIGINT work at any time, even in process 1 (design 11).

`znp run` and `znp emulator` then exit with 0. `znp release` and `znp demo`, which have
work to complete, exit with 130.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from image.jail import program
from support.running import ZNP
from support.thin_api import (
    GROUP,
    Answer,
    ThinApi,
    only_lists,
    silent,
    with_crds,
    without_crds,
    write_kubeconfig,
)
from support.waiting import eventually
from zitadel_notification_operator.demo.processes import Program, free_port

pytestmark = [pytest.mark.tls, pytest.mark.clock]

SOON = 20.0
"""Seconds within which a process must have ended."""

BOTH = (signal.SIGTERM, signal.SIGINT)
LOCAL = ("--bind-address", "127.0.0.1", "--health-port", "0", "--metrics-port", "0")
ALONE = ("--no-leader-elect", "--log-format", "text")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start commands whose output goes to a file; they are ended with the test."""
    started: list[Program] = []

    def begin(*words: str, environment: Mapping[str, str] | None = None) -> Program:
        whole = {**os.environ, "NO_PROXY": "*", **(environment or {})}
        log = tmp_path / f"{len(started)}.log"
        started.append(Program("znp", words, log, whole))
        return started[-1]

    yield begin
    for each in started:
        each.kill()


def operator(kubeconfig: Path, *options: str) -> list[str]:
    """Return the command line of an operator with free ports and no election."""
    return [*ZNP, "run", "--kubeconfig", str(kubeconfig), *LOCAL, *ALONE, *options]


def says(started: Program, words: str) -> None:
    """Wait until the output contains words."""
    eventually(
        lambda: words in started.log.read_text(),
        120,
        f"{words!r} in:\n{started.log.read_text()}",
    )


def assert_ends(
    started: Program, numbers: Sequence[int], code: int = 0, pid: int | None = None
) -> None:
    """Send signals, one right after the other, and check the exit."""
    begun = time.monotonic()
    for number in numbers:
        os.kill(pid or started.pid, number)
    assert started.wait(SOON + 15) == code, started.tail(40)
    assert time.monotonic() - begun < SOON
    assert "Traceback" not in started.log.read_text()
    assert "never retrieved" not in started.log.read_text()
    # kopf waits five seconds for each of them.
    assert "Hung tasks are" not in started.log.read_text()


def refuse(_: str) -> tuple[int, object]:
    """Answer like an API server that has just started."""
    return 503, {"kind": "Status", "code": 503, "message": "starting"}


@pytest.mark.parametrize(
    ("answer", "words", "numbers"),
    [
        (without_crds, "Waiting for the CRDs", BOTH[:1]),
        (without_crds, "Waiting for the CRDs", BOTH[1:]),
        (refuse, "Waiting: ", BOTH[:1] * 2),
        (silent, "Listening for metrics", BOTH),
        (with_crds(refuse), "starting", BOTH[:1]),
        (with_crds(refuse), "starting", BOTH[1:] * 2),
        (with_crds(silent), "Starting Kopf", BOTH[:1]),
        (with_crds(silent), "Starting Kopf", BOTH),
    ],
    ids=[
        *("no CRDs", "no CRDs, SIGINT", "503, twice", "silence, both"),
        *("LIST: 503", "LIST: 503, SIGINT twice"),
        *("LIST: silence", "LIST: silence, both"),
    ],
)
def test_run_hears_them_before_it_is_ready(
    start: Callable[..., Program],
    tmp_path: Path,
    answer: Answer,
    words: str,
    numbers: Sequence[int],
) -> None:
    """Whatever it waits for, one or two signals end it at once with 0."""
    with ThinApi(answer) as api:
        kubeconfig = write_kubeconfig(tmp_path, api.url)
        started = start(*operator(kubeconfig, "--log-level", "debug"))
        says(started, words)
        if words == "Starting Kopf":
            eventually(lambda: set(api.paths) - {GROUP}, 120, "the first LIST")
        assert_ends(started, numbers)


def test_run_ends_quietly_while_kopf_discovers_kinds(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    """kopf's abandoned requests cause no error or warning."""
    with ThinApi(with_crds(only_lists)) as api:
        kubeconfig = write_kubeconfig(tmp_path, api.url)
        started = start(*operator(kubeconfig))
        eventually(lambda: {"/api", "/apis"} <= set(api.paths), 120, "discovery")
        assert_ends(started, [signal.SIGTERM])
    log = started.log.read_text()
    assert "SIGTERM" in log
    assert not re.search("WARNING|ERROR", log.partition("SIGTERM")[2])


def test_run_hears_them_while_the_api_server_is_away(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    """Nobody listens at its address."""
    kubeconfig = write_kubeconfig(tmp_path, f"http://127.0.0.1:{free_port()}")
    started = start(*operator(kubeconfig))
    says(started, "Waiting: ")
    assert_ends(started, [signal.SIGTERM])


def test_run_hears_them_while_a_login_program_hangs(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    """The kubeconfig's exec plugin waits for input."""
    mark = tmp_path / "called"
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/sh",
        "args": ["-c", f"touch {mark}; exec sleep 60"],
        "interactiveMode": "Never",
    }
    kubeconfig = write_kubeconfig(tmp_path, "http://127.0.0.1:1", exec=plugin)
    started = start(*operator(kubeconfig))
    eventually(mark.exists, 120, "the plugin")
    assert_ends(started, [signal.SIGTERM])


IMPORTING = """
import importlib.abc, os, signal, sys

class Signalled(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number:d})
        return None

sys.meta_path.insert(0, Signalled())
sys.argv = ["znp", *{words!r}]
from zitadel_notification_operator.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("command", "module", "number", "code"),
    [
        ("run", "click", signal.SIGTERM, 0),
        ("run", "click", signal.SIGINT, 0),
        ("run", "kopf", signal.SIGINT, 0),
        ("run", "uvloop", signal.SIGTERM, 0),
        ("emulator", "aiohttp", signal.SIGTERM, 0),
        ("release", "click", signal.SIGTERM, 130),
        ("release", "aiohttp", signal.SIGINT, 130),
        ("demo", "rich.console", signal.SIGTERM, 130),
        ("demo", "rich.console", signal.SIGINT, 130),
    ],
)
def test_they_are_heard_while_modules_are_imported(
    start: Callable[..., Program],
    tmp_path: Path,
    command: str,
    module: str,
    number: int,
    code: int,
) -> None:
    """Python has no handler for SIGTERM, and a traceback for SIGINT."""
    kubeconfig = write_kubeconfig(tmp_path, "http://127.0.0.1:1")
    words = {
        "run": operator(kubeconfig)[len(ZNP) :],
        "emulator": ["emulator", "--port", "0"],
        "release": ["release", "--all", "--kubeconfig", str(kubeconfig)],
        "demo": ["demo"],
    }[command]
    code_text = IMPORTING.format(module=module, number=number, words=words)
    started = start(sys.executable, "-c", code_text)
    assert started.wait(SOON + 15) == code, started.tail(40)
    assert "Traceback" not in started.log.read_text()


def test_run_hears_them_to_its_last_moment(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    """Many signals until the end do not change the exit code 0."""
    with ThinApi(without_crds) as api:
        started = start(*operator(write_kubeconfig(tmp_path, api.url)))
        says(started, "Waiting for the CRDs")
        assert_survives_a_storm(started, signal.SIGTERM)


def test_emulator_hears_them_to_its_last_moment(
    start: Callable[..., Program],
) -> None:
    """Many signals until the end do not change the exit code 0."""
    started = start(*ZNP, "emulator", "--port", "0")
    says(started, "http://")
    assert_survives_a_storm(started, signal.SIGTERM)


@pytest.mark.parametrize("command", ["run", "emulator", "release"])
def test_only_the_main_thread_takes_them(
    start: Callable[..., Program], tmp_path: Path, command: str
) -> None:
    """Another thread could get one while handlers are being changed."""
    with ThinApi(silent) as api:
        url = api.url.replace("127.0.0.1", "localhost")
        kubeconfig = write_kubeconfig(tmp_path, url)
        words = {
            "run": operator(kubeconfig),
            "emulator": [*ZNP, "emulator", "--host", "localhost", "--port", "0"],
            "release": [*ZNP, "release", "--all", "--kubeconfig", str(kubeconfig)],
        }[command]
        started = start(*words)
        if command == "emulator":
            says(started, "http://")
        else:
            eventually(lambda: api.paths, 120, "a call")
        main, *others = blocked_by_threads(started.pid)
        assert not main & set(BOTH)
        assert others
        assert [each for each in others if not each >= set(BOTH)] == []


def assert_survives_a_storm(started: Program, number: int) -> None:
    """Send signals until the process ends, which must be with 0."""
    deadline = time.monotonic() + SOON
    while started.running:
        assert time.monotonic() < deadline, started.tail(40)
        try:
            os.kill(started.pid, number)
        except ProcessLookupError:
            break
        time.sleep(0.0005)
    assert started.wait(1) == 0, started.tail(40)


@pytest.mark.parametrize("number", BOTH)
def test_process_1_hears_them(
    start: Callable[..., Program], tmp_path: Path, number: int
) -> None:
    """The kernel drops each signal for which process 1 has no handler."""
    with ThinApi(without_crds) as api:
        kubeconfig = write_kubeconfig(tmp_path, api.url)
        started = start(*as_process_1(operator(kubeconfig)))
        says(started, "Waiting for the CRDs")
        inner = eventually(lambda: child_of(started.pid), 5, "process 1")
        assert_ends(started, [number], pid=inner)


def test_process_1_hears_them_while_it_imports(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    """A pod that is deleted in its first second does not hang for thirty."""
    kubeconfig = write_kubeconfig(tmp_path, "http://127.0.0.1:1")
    words = operator(kubeconfig)[len(ZNP) :]
    text = IMPORTING.format(module="kopf", number=signal.SIGTERM, words=words)
    started = start(*as_process_1([sys.executable, "-c", text]))
    assert started.wait(SOON + 15) == 0, started.tail(40)


@pytest.mark.parametrize("number", BOTH)
def test_release_ends_with_130(
    start: Callable[..., Program], tmp_path: Path, number: int
) -> None:
    """Kubernetes does not respond: no traceback, but what to do."""
    with ThinApi(silent) as api:
        kubeconfig = write_kubeconfig(tmp_path, api.url)
        started = start(*ZNP, "release", "--all", "--kubeconfig", str(kubeconfig))
        eventually(lambda: api.paths, 120, "a call")
        assert_ends(started, [number], code=130)
    assert "Interrupted" in started.log.read_text()


@pytest.mark.parametrize("numbers", [BOTH[:1], BOTH])
def test_demo_ends_with_130_and_leaves_nothing(
    start: Callable[..., Program], tmp_path: Path, numbers: Sequence[int]
) -> None:
    """This includes a second signal during cleanup, because of private keys."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    started = start(*ZNP, "demo", environment={"TMPDIR": str(folder)})
    says(started, "the operator start beside Kubernetes")
    assert list(folder.iterdir())
    assert_ends(started, numbers, code=130)
    assert list(folder.iterdir()) == []


def as_process_1(words: Sequence[str]) -> list[str]:
    """Return the command line that runs a command as process 1 of a namespace."""
    space = [program("unshare"), "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        space += ["--user", "--map-root-user"]
    return [*space, "--", *words]


def child_of(pid: int) -> int:
    """Return the child process of a process, or 0 if there is none."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return int(text.split()[0]) if text.strip() else 0


def blocked_by_threads(pid: int) -> list[set[int]]:
    """Return the blocked signals of each thread, the main thread first."""
    blocked = []
    for thread in sorted(int(it.name) for it in Path(f"/proc/{pid}/task").iterdir()):
        status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
        mask = int(status.partition("SigBlk:")[2].split()[0], 16)
        blocked.append({each for each in range(1, 65) if mask >> (each - 1) & 1})
    return blocked


def test_unshare_is_permitted() -> None:
    """Otherwise the tests above would fail because of the machine."""
    subprocess.run(as_process_1([sys.executable, "-c", "pass"]), check=True)
