"""Which targets some policy may want to write now, as far as Kubernetes shows."""

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.grants import POSSIBLE
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.engine.claims.inventory import Inventory


def wanted_targets(inventory: Inventory) -> set[Target]:
    """Return the targets that some policy may want to write now."""
    every = inventory.policies.values()
    targets = ((policy, inventory.target_of(policy)) for policy in every)
    return {
        target
        for policy, target in targets
        if target is not None and _may_write(inventory, policy, target)
    }


def _may_write(inventory: Inventory, policy: PolicyObject, target: Target) -> bool:
    """Return whether a policy writes to its target whenever that is needed.

    A policy that is kept only by another finalizer has ended. One that lost a conflict
    writes nothing, even while the owner is suspended.
    """
    if not policy.manages or inventory.admission(policy) not in POSSIBLE:
        return False
    owner = inventory.owner(target)
    if policy.deleting:
        return policy.undoes and policy.held and owner is None
    return not policy.suspended and owner in {None, policy.key}
