"""Which policies carry an original of which target, and what owners have left behind.

This is bookkeeping only; the inventory decides whether an original may be trusted.
"""

from collections.abc import Callable, Iterator

from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.original import Original, OriginalValue
from zitadel_notification_operator.core.policy_object import PolicyObject


class Originals:
    """Originals by policy and by target."""

    def __init__(self) -> None:
        self._of: dict[PolicyKey, Original] = {}
        # Tuples, because most targets have a single carrier, and a set is four times as
        # large.
        self._carriers: dict[Target, tuple[PolicyKey, ...]] = {}
        self._bequests: dict[Target, tuple[OriginalValue, str | None]] = {}

    def at(self, target: Target) -> Iterator[tuple[PolicyKey, OriginalValue]]:
        """Yield the policies that carry an original of the target, and its value."""
        for key in sorted(self._carriers.get(target, ())):
            yield key, self._of[key].value

    def put(self, policy: PolicyObject) -> None:
        """Store what a policy carries now, unless it was copied from another object."""
        self.drop(policy.key)
        original = policy.own_original
        if original is not None:
            self._of[policy.key] = original
            others = self._carriers.get(original.target, ())
            self._carriers[original.target] = (*others, policy.key)

    def drop(self, key: PolicyKey) -> None:
        """Forget what a policy carries."""
        before = self._of.pop(key, None)
        if before is None:
            return
        left = tuple(each for each in self._carriers[before.target] if each != key)
        if left:
            self._carriers[before.target] = left
        else:
            del self._carriers[before.target]

    def bequeath(
        self, target: Target, value: OriginalValue, namespace: str | None = None
    ) -> None:
        """Keep what an owner had recorded, for the next owner of the target.

        Args:
            target: The target.
            value: What was recorded.
            namespace: The only namespace whose policies may use it, because just an
                annotation says so, which a tenant may have written. None for all
                namespaces, if a status says so.
        """
        self._bequests[target] = value, namespace

    def bequest(self, target: Target, namespace: str) -> OriginalValue | None:
        """Return what a former owner has left to this namespace's policies, if any."""
        value, only = self._bequests.get(target, (None, None))
        return value if only in {None, namespace} else None

    def forget_bequest(self, target: Target) -> None:
        """Drop what a former owner has left: the next one has it, or there is none."""
        self._bequests.pop(target, None)

    def keep_bequests(self, is_claimed: Callable[[Target], bool]) -> None:
        """Drop what former owners have left at targets that nobody claims."""
        self._bequests = {
            target: left
            for target, left in self._bequests.items()
            if is_claimed(target)
        }


def value_carried(policy: PolicyObject, target: Target) -> OriginalValue | None:
    """Return what the policy has recorded about the target, if anything.

    The status takes precedence, because only the operator writes it; it is cleared when
    the instance turns to another ZITADEL. Anybody may write the annotation, but it is
    stored before the status, so a crash in between must not lose it.
    """
    if policy.status.original is not None:
        return policy.status.original
    original = policy.own_original
    return original.value if original and original.target == target else None
