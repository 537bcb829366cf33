"""Calls of ZITADEL and writes to Kubernetes since a mark, by the others' books."""

from collections import Counter
from dataclasses import dataclass

from bench.world import World
from support.audit import AuditLog

_NOT_COUNTED = {"events", "leases"}
"""Apart, as the design counts: section 5."""


@dataclass(frozen=True, slots=True)
class Entries:
    """What was counted.

    Attributes:
        zitadel: Calls by verb and path.
        writes: Write requests of the operator by verb and resource, refused ones too,
            Events and Leases apart.
        refused: Those of `writes` that were answered with 400 or more.
        events: Writes of Events.
        leases: Writes of Leases.
    """

    zitadel: Counter[str]
    writes: Counter[str]
    refused: int
    events: int
    leases: int

    @property
    def calls(self) -> int:
        """How many calls ZITADEL got."""
        return self.zitadel.total()

    @property
    def all_writes(self) -> int:
        """How many writes Kubernetes got."""
        return self.writes.total()


class Ledger:
    """Opens at the end of both books; `close` tells what was added since."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.zitadel("requests", "DELETE")
        self._audit = AuditLog(world.plane)

    def close(self) -> Entries:
        """Count what was added."""
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
