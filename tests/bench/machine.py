"""CPU time and memory of a process, and a description of the machine."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024.0
_PACKAGES = ("kopf", "kubernetes", "aiohttp", "httpx", "pydantic", "uvloop")


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that a process has used so far.

    Attributes:
        cpu: User and system time of all its threads in seconds.
        rss: The present resident memory in MiB.
        peak: The highest resident memory so far in MiB.
    """

    cpu: float
    rss: float
    peak: float


def usage_of(pid: int) -> Usage:
    """Read a process's usage (proc(5)).

    Raises:
        FileNotFoundError: There is no such process.
    """
    # The name in parentheses may contain spaces; user and system time follow it.
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    memory = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith(("VmRSS", "VmHWM"))
    )
    return Usage(
        cpu=(int(stat[11]) + int(stat[12])) / _TICKS,
        rss=int(memory["VmRSS"].split()[0]) / _MIB,
        peak=int(memory["VmHWM"].split()[0]) / _MIB,
    )


def describe(checkout: Path, kubernetes: str) -> dict[str, Any]:
    """Return a description of the machine and the versions of a run.

    Args:
        checkout: The checkout of the operator, whose commit is named.
        kubernetes: The API server's version.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git(checkout, "rev-parse", "--short=12", "HEAD"),
        "changed": bool(_git(checkout, "status", "--porcelain", "operator")),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "kubernetes": kubernetes,
        "packages": {name: version(name) for name in _PACKAGES},
        "load": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _git(checkout: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(checkout), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
