"""Which policies carry an original of which target, and what owners have left behind.

Only the bookkeeping: whether a carrier may be believed is the inventory's question.
"""

from collections import defaultdict
from collections.abc import Iterator

from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.original import Original, OriginalValue


class Originals:
    """Originals by policy and by target."""

    def __init__(self) -> None:
        self._of: dict[PolicyKey, Original] = {}
        self._carriers: dict[Target, set[PolicyKey]] = defaultdict(set)
        self._bequests: dict[Target, OriginalValue] = {}

    def of(self, key: PolicyKey) -> Original | None:
        """Return what a policy carries, if it is its own."""
        return self._of.get(key)

    def at(self, target: Target) -> Iterator[tuple[PolicyKey, OriginalValue]]:
        """Yield who carries an original of the target, and what it says."""
        for key in sorted(self._carriers.get(target, ())):
            yield key, self._of[key].value

    def put(self, policy: PolicyObject) -> None:
        """Take what a policy carries now; a copied object's is not its own."""
        self.drop(policy.key)
        original = policy.original
        if original is not None and original.uid == policy.uid:
            self._of[policy.key] = original
            self._carriers[original.target].add(policy.key)

    def drop(self, key: PolicyKey) -> None:
        """Forget what a policy carries."""
        before = self._of.pop(key, None)
        if before is None:
            return
        carriers = self._carriers[before.target]
        carriers.discard(key)
        if not carriers:
            del self._carriers[before.target]

    def bequeath(self, target: Target, value: OriginalValue) -> None:
        """Keep what an owner had recorded, for the next owner of the target."""
        self._bequests[target] = value

    def bequest(self, target: Target) -> OriginalValue | None:
        """Return what a former owner of the target has left."""
        return self._bequests.get(target)

    def forget_bequest(self, target: Target) -> None:
        """Drop what was left: the next owner has it, or there is none."""
        self._bequests.pop(target, None)
