"""The claims to all targets, and how they change.

Who claims what is decided elsewhere: the inventory says it for each policy, from the
records, the grants and the selections of sets.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from zitadel_notification_operator.core.claims import Claim, PolicyKey, Target, owner_of


@dataclass(eq=False, repr=False)
class ClaimBook:
    """Claims by target.

    Args:
        target_of: Returns the target that a policy claims now, or None.
        claim_of: Returns the claim of a policy.
        ending: Called with an owner and its target before its claim ends.
        ended: Called with the last policy that claimed a target, after its claim ended.
    """

    _target_of: Callable[[PolicyKey], Target | None]
    _claim_of: Callable[[PolicyKey], Claim]
    _ending: Callable[[PolicyKey, Target], None]
    _ended: Callable[[PolicyKey, Target], None]
    _targets: dict[PolicyKey, Target] = field(default_factory=dict, init=False)
    # Tuples, because most targets have a single claim, and a dict is three times as
    # large.
    _claims: dict[Target, tuple[Claim, ...]] = field(default_factory=dict, init=False)

    def owner(self, target: Target) -> PolicyKey | None:
        """Return the policy whose claim to the target wins, if any."""
        return owner_of(self._claims.get(target, ()))

    def of(self, target: Target) -> set[PolicyKey]:
        """Return the policies that claim a target."""
        return {claim.key for claim in self._claims.get(target, ())}

    def renew(self, keys: Iterable[PolicyKey]) -> set[PolicyKey]:
        """Update the claims of several policies; see `renew_one`."""
        affected: set[PolicyKey] = set()
        for key in tuple(keys):
            affected |= self.renew_one(key)
        return affected

    def renew_one(self, key: PolicyKey) -> set[PolicyKey]:
        """Update the claim of a policy.

        Returns:
            The policies whose owner may be another one now; empty if nothing changed.
        """
        before, after = self._targets.get(key), self._target_of(key)
        claim = self._claim_of(key) if after is not None else None
        if before == after and (before is None or claim in self._claims[before]):
            return set()
        affected = self.give_up(key)
        if after is not None and claim is not None:
            affected |= self.of(after)
            self._claims[after] = (*self._claims.get(after, ()), claim)
            self._targets[key] = after
        return affected | {key}

    def give_up(self, key: PolicyKey) -> set[PolicyKey]:
        """End the claim of a policy, if it has one; return who else has that target."""
        target = self._targets.pop(key, None)
        if target is None:
            return set()
        claims = self._claims[target]
        if owner_of(claims) == key:
            self._ending(key, target)
        left = tuple(claim for claim in claims if claim.key != key)
        if left:
            self._claims[target] = left
        else:
            del self._claims[target]
            self._ended(key, target)
        return {claim.key for claim in left}
