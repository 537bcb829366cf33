"""Asks a health endpoint for its answer again and again, and measures how long it took.

    python -m bench.probing URL

The longest answer is an upper limit for the longest pause of the operator's event loop
in this time, because a pause delays the answer to whoever asks meanwhile. It is a
process of its own, so that no work of the bench delays it. It begins once the endpoint
answers at all, and writes its result as JSON when it gets SIGTERM.
"""

import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from zitadel_notification_operator.demo.processes import Program

INTERVAL = 0.05
"""Seconds between two questions."""

PATIENCE = 5.0
"""Seconds after which an answer counts as wrong: the chart's probes wait as long."""

_OK = 200


@dataclass(slots=True)
class Probed:
    """What was found.

    Attributes:
        count: The number of answers.
        wrong: The number of answers that were not 200, or did not come in time.
        longest: The seconds until the slowest answer.
        slow: The seconds of the slowest answers, longest first, at most ten.
        late: The most seconds by which this process itself slept longer than it meant
            to. On a busy machine any answer may be late by as much.
    """

    count: int = 0
    wrong: int = 0
    longest: float = 0.0
    slow: list[float] = field(default_factory=list)
    late: float = 0.0


@contextmanager
def probed(url: str, folder: Path) -> Iterator[Probed]:
    """Ask while the block runs; the result is filled at its end."""
    result = Probed()
    log = folder / f"probing-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "bench.probing", url]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with Program("probing", command, log, environment) as program:
        yield result
        program.stop()
    found: dict[str, Any] = json.loads(log.read_text())
    for name, value in found.items():
        setattr(result, name, value)


class _End(Exception):
    """SIGTERM came."""


def _end(_: int, __: FrameType | None) -> None:
    raise _End


def _ask(url: str) -> Probed:
    found, times = Probed(), list[float]()
    try:
        while True:
            began = time.monotonic()
            code = _status(url)
            took = time.monotonic() - began
            if code == 0 and not times:
                time.sleep(INTERVAL)
                continue  # it does not listen yet
            times.append(took)
            found.wrong += code != _OK
            due = time.monotonic() + max(0.0, INTERVAL - took)
            time.sleep(max(0.0, due - time.monotonic()))
            found.late = max(found.late, time.monotonic() - due)
    except _End:
        pass
    found.count, found.longest = len(times), max(times, default=0.0)
    found.slow = [round(took, 3) for took in sorted(times, reverse=True)[:10]]
    return found


def _status(url: str) -> int:
    """Return the HTTP status, or 0 if there was no answer in time."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def _main() -> None:
    signal.signal(signal.SIGTERM, _end)
    found = _ask(sys.argv[1])
    names = ("count", "wrong", "longest", "slow", "late")
    sys.stdout.write(json.dumps({name: getattr(found, name) for name in names}))


if __name__ == "__main__":
    _main()
