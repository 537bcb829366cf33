"""Counts calls to ZITADEL and writes to Kubernetes in the logs of these two."""

from collections import Counter
from dataclasses import dataclass

from bench.processes import Processes
from support.audit import AuditLog

_NOT_COUNTED = {"events", "leases"}
"""Resources whose writes are counted separately, as in section 5 of the design."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The counts.

    Attributes:
        zitadel: Calls to ZITADEL by verb and path.
        writes: Write requests of the operator by verb and resource, including refused
            ones, without Events and Leases.
        refused: The number of `writes` with a status of 400 or more.
        events: The number of writes of Events.
        leases: The number of writes of Leases.
    """

    zitadel: Counter[str]
    writes: Counter[str]
    refused: int
    events: int
    leases: int

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
        zitadel = Counter(
            f"{r['method']} {r['path']}" for r in self._world.zitadel("requests")
        )
        found = self._audit.by_operator()
        found = [w for w in found if not w.user_agent.startswith("bench-driver")]
        counted = [w for w in found if w.resource not in _NOT_COUNTED]
        writes = Counter(
            f"{w.verb} {w.resource}{'/' if w.subresource else ''}{w.subresource}"
            for w in counted
        )
        refused = sum(w.code >= 400 for w in counted)
        apart = Counter(w.resource for w in found)
        return Entries(zitadel, writes, refused, apart["events"], apart["leases"])
