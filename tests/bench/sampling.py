"""Finds where the CPU time goes: py-spy samples the operator's stack.

Sampling costs time on the same cores, so it has a run of its own, from which no figure
of the table comes.
"""

import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import Processes
from zitadel_notification_operator.demo.processes import Program

RATE = 250
"""Samples a second."""
OURS = "zitadel_notification_operator"
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>[^:)]+)(?::\d+)?\)$")


@dataclass(slots=True)
class Profile:
    """Shares of the samples, 0 to 1.

    Attributes:
        packages: The time by package of the innermost frame; the operator's own by
            subpackage.
        functions: The time within each function, including its callees.
    """

    packages: dict[str, float] = field(default_factory=dict)
    functions: dict[str, float] = field(default_factory=dict)


@contextmanager
def sampled(processes: Processes, folder: Path) -> Iterator[Profile]:
    """Sample the operator while the block runs; the profile is filled at its end."""
    profile = Profile()
    raw = folder / "profile.txt"
    command = [
        *(str(Path(sys.executable).with_name("py-spy")), "record"),
        *("--pid", str(processes.operator_pid), "--rate", str(RATE)),
        *("--format", "raw", "--full-filenames", "--duration", "unlimited"),
        *("--output", str(raw)),
    ]
    with Program("py-spy", command, folder / "py-spy.log") as sampler:
        yield profile
        # py-spy writes its file only when it is interrupted.
        sampler.stop(60, signal.SIGINT)
    _fill(profile, raw.read_text())


def _fill(profile: Profile, text: str) -> None:
    packages: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_FRAME.match(frame) for frame in stack.split(";")]
        known = [(f["function"], _place(f["file"])) for f in frames if f is not None]
        if not known:
            continue
        packages[_package(known[-1][1])] += int(count)
        for function, place in set(known):
            functions[f"{function} ({place})"] += int(count)
    total = packages.total()
    profile.packages = _shares(packages, total, 15)
    profile.functions = _shares(functions, total, 60)


def _place(file: str) -> str:
    """Return a file's path without the part that differs from machine to machine."""
    parts = Path(file).parts
    for root in ("site-packages", "operator", f"python{_PYTHON}"):
        if root in parts:
            return "/".join(parts[len(parts) - parts[::-1].index(root) :])
    return file


def _package(place: str) -> str:
    first, _, rest = place.partition("/")
    if first == OURS:
        return f"ours: {rest.partition('/')[0].removesuffix('.py')}"
    return first.removesuffix(".py")


def _shares(counts: Counter[str], total: int, most: int) -> dict[str, float]:
    return {name: round(n / total, 4) for name, n in counts.most_common(most)}
