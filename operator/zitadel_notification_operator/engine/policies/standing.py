"""Checks whether a pass over a policy may go on; called again after each wait.

The spec, a grant or the owner of the target may change while a pass waits. Then what
the pass was about to do is no longer wanted, and it begins anew.
"""

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.calls.term import is_verifying
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.queue.outcome import Superseded


class Standing:
    """Compares the policy that a pass began with to the newest records.

    Args:
        inventory: Holds the newest records.
        connections: Know which instances are in doubt.
    """

    def __init__(self, inventory: Inventory, connections: Connections) -> None:
        self._inventory = inventory
        self._connections = connections

    def newest(self, policy: PolicyObject) -> PolicyObject:
        """Return the newest record, if the pass may go on with it.

        Raises:
            Superseded: The spec has changed, the policy is deleted, or its grant is
                gone.
        """
        newest = self._inventory.policies.get(policy.key)
        if (
            newest is None
            or newest.uid != policy.uid
            or newest.generation != policy.generation
            or newest.not_understood is not None
            or newest.deleting
            or self._inventory.admission(newest) is not Admission.GRANTED
        ):
            raise Superseded
        return newest

    def require_claim(self, policy: PolicyObject, target: Target) -> None:
        """Check, right before each call, that the pass may go on.

        A read that verifies a write is always allowed.

        Raises:
            Superseded: The object has changed, its grant is gone, another policy owns
                the target by now, or there is new trouble of the instance without a
                verdict.
        """
        if is_verifying():
            return
        newest = self.newest(policy)
        if self._connections.line(newest.instance).finding_out:
            raise Superseded
        if newest.manages and self._inventory.owner(target) != newest.key:
            raise Superseded
