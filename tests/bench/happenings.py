"""What happens during a soak, and when: a list that only the seed and sizes decide.

Each kind has a rhythm: one happening at a random moment of each of its periods. So even
a short run has some of most kinds, and a long one has many of each.

Only some of the policies are lively, so that each of them is touched early in a life:
a policy that is touched for the first time takes a little more memory than before,
which would look like a leak. The others are there for their weight.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

LIVELY_SHARE, LEAST_LIVELY = 10, 100
"""One policy in ten is lively, and a hundred are, if there are as many."""
FOREIGN_MOST = 2
"""How often somebody else changes a policy between two edits of its spec. After five
corrections a target is contested, and corrections wait for minutes, as they should."""
TERM_AT, KILL_AT = 0.2, 0.45
"""The parts of a run after which the operator gets SIGTERM and SIGKILL. The life after
them is more than half of the run, so its slope says most."""


class Kind(StrEnum):
    """What happens."""

    EDIT = "edit"
    FOREIGN = "foreign edit"
    CREATE = "create"
    DELETE = "delete"
    ZITADEL_FAULT = "fault of ZITADEL"
    LOSS = "lost event"
    ZITADEL_AWAY = "ZITADEL away"
    KUBERNETES_FAULT = "fault of Kubernetes"
    KUBERNETES_AWAY = "API server away"
    WATCHES = "watches cut"
    SECRET = "Secret touched"
    RESTART = "restart"


PERIODS = {
    Kind.EDIT: 1.0,
    Kind.FOREIGN: 15.0,
    Kind.CREATE: 2.0,
    Kind.DELETE: 2.0,
    Kind.ZITADEL_FAULT: 6.0,
    Kind.LOSS: 20.0,
    Kind.ZITADEL_AWAY: 45.0,
    Kind.KUBERNETES_FAULT: 8.0,
    Kind.KUBERNETES_AWAY: 110.0,
    Kind.WATCHES: 15.0,
    Kind.SECRET: 30.0,
}
"""Seconds of the period in which each kind happens once; a restart has no period."""

MANNERS = {
    Kind.ZITADEL_FAULT: (
        *("unavailable", "too many requests", "slow", "hung", "reset", "lost answer"),
        *("broken answer", "dripping"),
    ),
    Kind.ZITADEL_AWAY: ("refused", "silent"),
    Kind.KUBERNETES_FAULT: (
        *("internal error", "too many requests", "hung", "reset", "lost answer"),
        *("conflict", "slow"),
    ),
    Kind.WATCHES: ("cut", "expired"),
    Kind.SECRET: ("annotated", "another token"),
}
"""The ways in which a kind may happen. They come in random order, and each comes once
before one comes again."""

LASTS = 2.0, 6.0
"""The least and the most seconds that a fault or an outage lasts. A fault that waited
for a number of calls would last for minutes where the operator calls seldom, because it
is waiting itself."""

SHARES = {Kind.EDIT: 100, Kind.FOREIGN: 15}
"""One in so many lively policies is changed at once."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happens.

    Attributes:
        at: Seconds after the beginning of the run.
        kind: What happens.
        manner: In which of several ways; empty if there is one only.
        changes: The number of each policy that is changed, and its new value.
        seconds: How long it lasts, if it lasts.
    """

    at: float
    kind: Kind
    manner: str = ""
    changes: tuple[tuple[int, bool], ...] = ()
    seconds: float = 0.0


@dataclass(slots=True)
class _Policies:
    """The lively policies as the plan has them so far.

    Attributes:
        values: The value that each spec has, if all edits succeed.
        foreign: How often each was changed by others since its last edit.
        lossy: Those that have yet to lose an event; each loses one at most, because the
            operator repairs a target three times an hour at most.
    """

    values: list[bool]
    foreign: list[int]
    lossy: list[int] = field(default_factory=list)

    def edit(self, number: int) -> tuple[int, bool]:
        """Return an edit by a user: the other value."""
        self.values[number] = not self.values[number]
        self.foreign[number] = 0
        return number, self.values[number]

    def foreign_edit(self, number: int) -> tuple[int, bool]:
        """Return an edit by somebody else: what the spec does not want."""
        self.foreign[number] += 1
        return number, not self.values[number]

    def open_to_foreigners(self) -> list[int]:
        """Return those that somebody else may change now."""
        return [n for n, count in enumerate(self.foreign) if count < FOREIGN_MOST]


def lively(policies: int) -> int:
    """Return how many of the policies are lively."""
    return min(policies, max(LEAST_LIVELY, policies // LIVELY_SHARE))


def planned(seed: int, seconds: float, policies: int) -> list[Happening]:
    """Return all that happens, in order.

    Args:
        seed: The same seed and sizes give the same list.
        seconds: The length of the run.
        policies: The number of lively policies, which have the value false at first.
    """
    chance = random.Random(seed)
    moments = [
        (period * (turn + chance.random()), kind)
        for kind, period in PERIODS.items()
        for turn in range(int(seconds // period))
    ]
    moments += [(TERM_AT * seconds, Kind.RESTART), (KILL_AT * seconds, Kind.RESTART)]
    known = _Policies([False] * policies, [0] * policies, list(range(policies)))
    chance.shuffle(known.lossy)
    manners = {kind: _dealt(chance, ways) for kind, ways in MANNERS.items()}
    manners[Kind.RESTART] = iter(("SIGTERM", "SIGKILL"))
    found = []
    for at, kind in sorted(moments):
        changes = _changes(chance, kind, known)
        if kind is Kind.LOSS and not changes:
            continue
        manner = next(manners[kind]) if kind in manners else ""
        lasts = chance.uniform(*LASTS)
        found.append(Happening(at, kind, manner, changes, lasts))
    return found


def _changes(
    chance: random.Random, kind: Kind, known: _Policies
) -> tuple[tuple[int, bool], ...]:
    """Return the policies that a happening changes, with their new values."""
    if kind is Kind.LOSS:
        return (known.edit(known.lossy.pop()),) if known.lossy else ()
    if kind not in SHARES:
        return ()
    most = max(1, len(known.values) // SHARES[kind])
    if kind is Kind.EDIT:
        victims = chance.sample(range(len(known.values)), most)
        return tuple(known.edit(number) for number in victims)
    open_ones = known.open_to_foreigners()
    victims = chance.sample(open_ones, min(most, len(open_ones)))
    return tuple(known.foreign_edit(number) for number in victims)


def _dealt(chance: random.Random, ways: tuple[str, ...]) -> Iterator[str]:
    """Yield all ways in random order, again and again."""
    while True:
        yield from chance.sample(ways, len(ways))
