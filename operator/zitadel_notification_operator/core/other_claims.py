"""Which policies claim the same target, for a person who asks why one does not apply.

The operator decides by its own knowledge (docs/concepts/ownership.md). This repeats the
order for the objects that the person may read, so it may lack those of others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .claims import Claim, Target
from .conditions import READY, find
from .kinds import ObjectKey
from .policy import Scope
from .policy_object import PolicyObject
from .reasons import Reason

_NO_CLAIM = {Reason.NOT_GRANTED, Reason.INSTANCE_NOT_FOUND}
"""The reasons of a policy that is not granted its target, so that it claims none."""


@dataclass(frozen=True, slots=True)
class RankedClaim:
    """A policy that claims a target.

    Attributes:
        policy: The policy.
        owns: Whether its claim is the first one.
    """

    policy: PolicyObject
    owns: bool


def target_of(
    policy: PolicyObject, zitadel_ids: Mapping[str, str | None]
) -> Target | None:
    """Return the target of a policy as far as its status or its spec tells.

    Args:
        policy: The policy.
        zitadel_ids: ZITADEL's own id by the name of the ZitadelInstance. Without an id,
            that name stands for it.

    Returns:
        None if the organization is not known yet.
    """
    zitadel_id = zitadel_ids.get(policy.instance) or f"named {policy.instance}"
    if policy.scope is Scope.INSTANCE:
        return Target(zitadel_id, None)
    organization = policy.status.organization_id or policy.organization_id
    return Target(zitadel_id, organization) if organization else None


def lays_claim(policy: PolicyObject) -> bool:
    """Return whether the policy claims its target, as its status tells."""
    ready = find(policy.status.conditions, READY)
    return policy.may_own and (ready is None or ready.reason not in _NO_CLAIM)


def rank(
    policies: Iterable[PolicyObject], sets_created: Mapping[str, str]
) -> list[RankedClaim]:
    """Return the claims of policies with one target, the one that wins first.

    Args:
        policies: All that have this target.
        sets_created: The creationTimestamp of sets by their uid. The policy of a set
            that is not among them counts as old as itself.
    """
    claims = {_claim_of(p, sets_created): p for p in policies if lays_claim(p)}
    return [
        RankedClaim(claims[claim], owns=number == 0)
        for number, claim in enumerate(sorted(claims))
    ]


def _claim_of(policy: PolicyObject, sets_created: Mapping[str, str]) -> Claim:
    holder, created = policy.key, policy.created
    if policy.set_uid is not None and policy.controller is not None:
        holder = ObjectKey(policy.key.namespace, policy.controller.name)
        created = sets_created.get(policy.set_uid, created)
    return Claim(policy.set_uid is not None, created, holder, policy.key)
