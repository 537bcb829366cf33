"""CPU time and memory of a process, as the kernel counts them; what machine it is."""

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
    """What a process has used so far.

    Attributes:
        cpu: Seconds, user and system, of all its threads.
        rss: Resident memory now, MiB.
        peak: The most it ever was, MiB.
    """

    cpu: float
    rss: float
    peak: float


def usage_of(pid: int) -> Usage:
    """Read a process's usage (proc(5)).

    Raises:
        FileNotFoundError: There is no such process.
    """
    # The name in parentheses may hold blanks; user and system time follow it.
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
    """Say where and of what a run is.

    Args:
        checkout: Whose commit the operator is from.
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
