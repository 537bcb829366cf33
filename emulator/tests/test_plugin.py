"""The pytest plugin: it costs nothing, and leaves nothing behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from httpx import TransportError, get

pytestmark = pytest.mark.tls

LOADED = """
import sys
import pytest
before = set(sys.modules)
import zitadel_emulator.pytest_plugin
print(*sorted(set(sys.modules) - before))
"""

UNUSED = """
import sys
from pathlib import Path

def test_nothing_is_loaded_or_started():
    assert "zitadel_emulator.pytest_plugin" in sys.modules
    assert "zitadel_emulator.testing" not in sys.modules
    assert "aiohttp" not in sys.modules
    tasks = Path("/proc/self/task").iterdir()
    assert not [c for task in tasks for c in (task / "children").read_text().split()]
"""

ORPHAN = """
import sys, time
from zitadel_emulator.testing import start
with start() as running:
    print(running.url, flush=True)
    time.sleep(600)
"""


def test_its_import_loads_nothing() -> None:
    """pytest imports it in every run, also in those that do not use it."""
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["zitadel_emulator", "zitadel_emulator.pytest_plugin"]


def test_a_run_that_does_not_use_it_starts_nothing(tmp_path: Path) -> None:
    """The plugin is there all the same."""
    (tmp_path / "test_unused.py").write_text(UNUSED)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p"]
    command += ["no:asyncio", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_a_run_that_is_killed(number: signal.Signals) -> None:
    """Its standard input ends, whatever happens to the run."""
    command = [sys.executable, "-c", ORPHAN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        url = run.stdout.readline().strip()
        assert answers(url)
        run.send_signal(number)
        run.wait()
    deadline = time.monotonic() + 30
    while answers(url):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Tell whether an emulator answers at an address."""
    try:
        return get(url + "/debug/healthz", trust_env=False).status_code == 200
    except TransportError:
        return False
