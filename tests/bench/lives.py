"""The lives of the operator during a soak: its starts, its ends, and its memory."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import USER_AGENT
from bench.machine import usage_of
from bench.memory_slope import Sample
from bench.probing import Probed, probed
from bench.processes import Processes
from support.audit import WRITES
from zitadel_notification_operator.demo.processes import free_port

EVERY = 2.0
"""Seconds between two samples."""
PATIENCE = 600.0
"""Seconds that a start may take with very many policies on a busy machine."""
STOP = 30.0
"""Seconds that Kubernetes gives a pod to end after SIGTERM."""
_APART = {"events", "leases"}
_WITHIN = Path(__file__).parent / "within"
_ALLOCATED = "allocated"
_MIB = 1024.0 * 1024.0


def counting(processes: Processes) -> dict[str, str]:
    """Return the variables with which the operator counts what it has allocated."""
    places = (_WITHIN, processes.checkout / "operator")
    return {
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": os.pathsep.join(map(str, places)),
        "ZNP_SOAK_ALLOCATED": str(processes.folder / _ALLOCATED),
    }


@dataclass(slots=True)
class Traffic:
    """Counts the operator's calls to ZITADEL and its writes to Kubernetes.

    The emulator's log is emptied each time, so that neither side has to keep it. A call
    between the reading and the emptying is not counted; that is a millisecond of two
    seconds.

    Attributes:
        processes: The processes.
        calls: The number of calls to ZITADEL so far.
        writes: The number of writes to Kubernetes, without Events and Leases.
        events: The number of writes of Events.
    """

    processes: Processes
    calls: int = 0
    writes: int = 0
    events: int = 0
    _offset: int = 0

    def __post_init__(self) -> None:
        self.processes.zitadel("requests", "DELETE")
        self._offset = self.processes.plane.audit_log.stat().st_size

    def count(self) -> None:
        """Count what came since the last time."""
        made = self.processes.zitadel("requests")
        self.processes.zitadel("requests", "DELETE")
        self.calls += sum(request["user_agent"] != USER_AGENT for request in made)
        with self.processes.plane.audit_log.open("rb") as log:
            log.seek(self._offset)
            # The last line may be incomplete.
            whole, newline, _ = log.read().rpartition(b"\n")
        self._offset += len(whole + newline)
        for line in whole.splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        entry = json.loads(line)
        agent = entry.get("userAgent", "")
        if entry["verb"] not in WRITES or agent.startswith(("kubectl", "kube-")):
            return
        resource = (entry.get("objectRef") or {}).get("resource", "")
        self.events += resource == "events"
        self.writes += agent != USER_AGENT and resource not in _APART


@dataclass(slots=True)
class Life:
    """One life of the operator.

    Attributes:
        end: What ended it: a signal, or that it ended by itself; empty while it lives.
        samples: What it had allocated.
        peak: The highest resident memory so far in MiB.
        health: What those who asked for /healthz got; filled when it has ended.
    """

    end: str = ""
    samples: list[Sample] = field(default_factory=list)
    peak: float = 0.0
    health: Probed = field(default_factory=Probed)


class Lives:
    """Starts the operator, ends it, and samples its memory meanwhile.

    Args:
        processes: The processes; the operator must not run yet, and has the variables
            that `counting` returns.
        turn: Held by whoever starts or ends the operator or the API server.
        say: Receives a line when a life begins.

    Attributes:
        all: The lives, oldest first.
        wrong: Sentences about ends that nobody has asked for.
        traffic: The counts so far.
    """

    def __init__(
        self, processes: Processes, turn: asyncio.Lock, say: Callable[[str], None]
    ) -> None:
        self.all: list[Life] = []
        self.wrong: list[str] = []
        self.traffic = Traffic(processes)
        self._processes = processes
        self._turn = turn
        self._say = say
        self._probing = ExitStack()

    async def begin(self) -> None:
        """Start the operator, and ask for its health from now on."""
        health = free_port()
        url = f"http://127.0.0.1:{health}/healthz"
        life = Life(health=self._probing.enter_context(probed(url, self._folder)))
        self._say(f"life {len(self.all) + 1} begins")
        self._allocated.unlink(missing_ok=True)
        start = self._processes.start_operator
        await asyncio.to_thread(start, health, 0, PATIENCE)
        self.all.append(life)

    async def restart(self, how: str) -> None:
        """End the operator by a signal, and start it again.

        Args:
            how: The name of the signal.
        """
        async with self._turn:
            await self.end(how)
            await self.begin()

    async def end(self, how: str) -> None:
        """End the operator by a signal."""
        await asyncio.to_thread(self._probing.close)
        operator = self._processes.operator
        assert operator is not None
        self.all[-1].end = how
        code = await asyncio.to_thread(operator.stop, STOP, signal.Signals[how])
        if how == "SIGTERM" and code != 0:
            self.wrong.append(f"After SIGTERM the operator ended with code {code}.")

    async def watch(self) -> None:
        """Take samples until cancelled, and start the operator if it ends by itself."""
        while True:
            await asyncio.sleep(EVERY)
            await asyncio.to_thread(self.traffic.count)
            if self._turn.locked() and not self._lives():
                continue
            if self._lives():
                self._sample()
            else:
                await self._begin_again()

    def _sample(self) -> None:
        life = self.all[-1]
        try:
            usage = usage_of(self._processes.operator_pid)
            mib = int(self._allocated.read_text()) / _MIB
        except (OSError, KeyError):
            return  # it has ended just now
        life.samples.append(Sample(time.monotonic(), self.traffic.calls, mib))
        life.peak = max(life.peak, usage.peak)

    async def _begin_again(self) -> None:
        """Do what Kubernetes does with a container that has ended."""
        async with self._turn:
            if self._lives():
                return
            operator, number = self._processes.operator, len(self.all)
            assert operator is not None
            self.all[-1].end = "by itself"
            code = await asyncio.to_thread(operator.wait, 10.0)
            self.wrong.append(
                f"The operator ended by itself with code {code} in life {number}:\n"
                f"{operator.tail()}"
            )
            self._say(self.wrong[-1])
            await asyncio.to_thread(self._probing.close)
            await self.begin()

    def _lives(self) -> bool:
        operator = self._processes.operator
        return operator is not None and operator.running and not self.all[-1].end

    @property
    def _folder(self) -> Path:
        return self._processes.folder

    @property
    def _allocated(self) -> Path:
        return self._folder / _ALLOCATED
