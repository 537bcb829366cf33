"""What is known of sets: their policies, and which organizations they have selected.

A set itself claims what it selects, from the moment when its selection is known,
whether the policy exists already or not. So the deletion of a policy that its set still
wants gives nothing up (docs/concepts/sets.md).
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.engine.queue.clock import loop_time

FIRST_SELECTION = 30.0
"""Seconds for which deletions wait for the first selection of a set that did not make
their policy. A set that cannot find out what it selects must not hold up others."""


class Selected(NamedTuple):
    """What a set has selected for one of its policies.

    Attributes:
        set_uid: The uid of the set.
        target: The target that the set claims.
    """

    set_uid: str
    target: Target


class SetBook:
    """The sets, the policies that they control, and their present selections.

    Attributes:
        sets: The sets by namespace and name.
    """

    def __init__(self) -> None:
        self.sets: dict[ObjectKey, SetObject] = {}
        self._by_uid: dict[str, SetObject] = {}
        self._policies: defaultdict[str, set[PolicyKey]] = defaultdict(set)
        self._of_policy: dict[PolicyKey, Selected] = {}
        self._of_set: dict[str, frozenset[PolicyKey]] = {}
        self._decided: set[str] = set()
        self._known_since: dict[str, float] = {}

    def put(self, one: SetObject) -> None:
        """Store the newest record of a set by its uid."""
        self._by_uid[one.uid] = one
        self._known_since.setdefault(one.uid, loop_time())

    def drop(self, one: SetObject) -> None:
        """Forget a set that is gone, after its selection."""
        del self._by_uid[one.uid]
        self._decided.discard(one.uid)
        del self._known_since[one.uid]

    def join(self, policy: PolicyObject, known: PolicyObject | None) -> None:
        """Record which set controls a policy now.

        Args:
            policy: The policy.
            known: The record before, if there was one.
        """
        if known is not None and known.set_uid != policy.set_uid:
            self.leave(known)
        if policy.set_uid is not None:
            self._policies[policy.set_uid].add(policy.key)

    def leave(self, policy: PolicyObject) -> None:
        """Record that a set no longer controls a policy, or that this is gone."""
        if policy.set_uid is not None:
            keys = self._policies[policy.set_uid]
            keys.discard(policy.key)
            if not keys:
                del self._policies[policy.set_uid]

    def policies_of(self, one: SetObject) -> frozenset[PolicyKey]:
        """Return the policies that a set controls, by their ownerReferences."""
        return frozenset(self._policies.get(one.uid, ()))

    def of_instance(self, instance: str) -> list[SetObject]:
        """Return the sets that name an instance."""
        return [one for one in self.sets.values() if one.instance == instance]

    def by_uid(self, uid: str | None) -> SetObject | None:
        """Return the set with this uid, if it is known."""
        return self._by_uid.get(uid or "")

    def selected(self, key: PolicyKey) -> Selected | None:
        """Return what a set has selected for the policy of this name, if one has."""
        return self._of_policy.get(key)

    def wants_again(self, policy: PolicyObject) -> bool:
        """Return whether the set of a deleted policy would create it again."""
        selected = self._of_policy.get(policy.key)
        return selected is not None and selected.set_uid == policy.set_uid

    def may_want_again(self, policy: PolicyObject) -> bool:
        """Return whether the set would create it again, or has not said so far.

        After a start nobody knows what a set selects before its first pass.
        """
        return self.wants_again(policy) or self.is_undecided(policy.set_uid)

    def is_undecided(self, set_uid: str | None) -> bool:
        """Return whether a set exists that has not selected anything so far."""
        one = self.by_uid(set_uid)
        return one is not None and not one.deleting and one.uid not in self._decided

    def newcomers(self) -> list[SetObject]:
        """Return the sets that have been known for a moment and are undecided."""
        since = loop_time() - FIRST_SELECTION
        return [
            one
            for uid, one in self._by_uid.items()
            if self.is_undecided(uid) and self._known_since[uid] > since
        ]

    def select(
        self, set_uid: str, targets: Mapping[PolicyKey, Target]
    ) -> set[PolicyKey]:
        """Store the whole selection of a set in place of the former one.

        Args:
            set_uid: The uid of the set.
            targets: The target of each policy that the set makes. Empty if the set
                claims nothing.

        Returns:
            The policies whose selection has changed.
        """
        if set_uid in self._by_uid:
            self._decided.add(set_uid)
        before = self._of_set.pop(set_uid, frozenset())
        changed = set()
        for key in before - targets.keys():
            if self._of_policy[key].set_uid == set_uid:
                del self._of_policy[key]
                changed.add(key)
        for key, target in targets.items():
            selected = Selected(set_uid, target)
            if self._of_policy.get(key) != selected:
                self._of_policy[key] = selected
                changed.add(key)
        if targets:
            self._of_set[set_uid] = frozenset(targets)
        return changed
