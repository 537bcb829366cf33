"""Counts calls to ZITADEL and writes to Kubernetes in the logs of these two."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.load import USER_AGENT
from bench.processes import Processes
from support.audit import AuditLog

BUSY = 10.0
"""The length in seconds of the time for which `Entries.busiest` holds."""
_NOT_COUNTED = {"events", "leases"}
"""Resources whose writes are counted separately, as in section 5 of the design."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The counts.

    Attributes:
        zitadel: Calls of the operator to ZITADEL by verb and path.
        writes: Write requests of the operator by verb and resource, including refused
            ones, without Events and Leases.
        refused: The number of `writes` with a status of 400 or more.
        events: The number of writes of Events.
        leases: The number of writes of Leases.
        busiest: Calls to ZITADEL a second, during the ten seconds with most of them.
        closest: Seconds between the two closest accepted ones of the `writes`, by verb
            and resource, as the API server received them. A resource that was written
            once is absent.
    """

    zitadel: Counter[str]
    writes: Counter[str]
    refused: int
    events: int
    leases: int
    busiest: float
    closest: dict[str, float]

    @property
    def calls(self) -> int:
        """The number of calls to ZITADEL."""
        return self.zitadel.total()

    @property
    def all_writes(self) -> int:
        """The number of writes to Kubernetes."""
        return self.writes.total()


class Ledger:
    """Counts what is added to both logs from its creation until `close`."""

    def __init__(self, processes: Processes) -> None:
        self._world = processes
        processes.zitadel("requests", "DELETE")
        self._audit = AuditLog(processes.plane)

    def close(self) -> Entries:
        """Return the counts."""
        requests = [
            request
            for request in self._world.zitadel("requests")
            if request["user_agent"] != USER_AGENT
        ]
        zitadel = Counter(f"{r['method']} {r['path']}" for r in requests)
        found = self._audit.by_operator()
        found = [w for w in found if w.user_agent != USER_AGENT]
        counted = [w for w in found if w.resource not in _NOT_COUNTED]
        kinds, moments = Counter[str](), defaultdict[str, list[float]](list)
        for w in counted:
            what = f"{w.verb} {w.resource}{'/' if w.subresource else ''}{w.subresource}"
            kinds[what] += 1
            if w.code < 400:
                moments[what].append(w.time.timestamp())
        apart = Counter(w.resource for w in found)
        return Entries(
            zitadel,
            writes=kinds,
            refused=sum(w.code >= 400 for w in counted),
            events=apart["events"],
            leases=apart["leases"],
            busiest=_most_within([r["time"] for r in requests], BUSY) / BUSY,
            closest={
                what: min(after - before for before, after in pairwise(sorted(times)))
                for what, times in moments.items()
                if len(times) > 1
            },
        )


def _most_within(times: Sequence[float], seconds: float) -> int:
    """Return how many of these times are within the fullest span of some seconds."""
    times, most, first = sorted(times), 0, 0
    for last, moment in enumerate(times):
        while moment - times[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
