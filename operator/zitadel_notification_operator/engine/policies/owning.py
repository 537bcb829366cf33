"""Makes sure that a managing policy owns its target; other policies get no marks."""

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.claims.owners import Owners
from zitadel_notification_operator.engine.claims.ownership import Ownership
from zitadel_notification_operator.engine.queue.outcome import Superseded


class Owning:
    """Decides whether a pass goes on as the owner of its target.

    Args:
        owners: Confirm who owns a target.
        ownership: Adds and removes the marks of policies.
    """

    def __init__(self, owners: Owners, ownership: Ownership) -> None:
        self._owners = owners
        self._ownership = ownership

    async def own(self, policy: PolicyObject, target: Target) -> PolicyObject:
        """Return the policy with the marks that it may have.

        Raises:
            Superseded: The owner that was in the way has just gone.
            TerminalError: `Conflict`: an older policy owns the target.
            ClusterError: Kubernetes did not accept a write.
        """
        if not policy.manages:
            return await self.leave(policy)
        await self._require_ownership(policy, target)
        return policy

    async def leave(self, policy: PolicyObject) -> PolicyObject:
        """Remove the marks of a policy that no longer manages.

        In Observe there is nothing to undo, and an original that it kept would be out
        of date once the policy manages again.
        """
        return await self._ownership.leave(policy)

    async def _require_ownership(self, policy: PolicyObject, target: Target) -> None:
        owner = await self._owners.other(policy, target)
        if owner is None:
            return
        if not await self._ownership.hand_over(policy, target):
            raise Superseded  # the owner has just gone
        await self._ownership.strip(policy)
        name = "in another namespace"
        if owner.namespace == policy.key.namespace:
            name = repr(owner.name)
        what = "organization" if target.organization_id else "instance"
        raise TerminalError(
            Reason.CONFLICT,
            f"The older NotificationPolicy {name} owns this {what}; "
            "delete one of the two",
        )
