"""Puts keys into lanes, so that one instance's failure does not delay another's work.

A lane is named after an instance that exists, never after what a tenant has written: a
policy may name anything, and each lane has its own turns.
"""

from zitadel_notification_operator.core.grants import NOT_REFUSED
from zitadel_notification_operator.core.kinds import INSTANCE, SET
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.queue.keys import Key

RETRY_SHARE = 4
"""Policies that have failed before get at most one in this many turns of an
instance."""

POLICIES_OF = "policies of "
"""Prefix of the lane of the policies that an instance admits."""

REFUSED_BY = "refused by "
"""Prefix of the lane of the policies that an instance does not admit."""

SETS_OF = "sets of "
"""Prefix of the lane of the sets of an instance. They wait for none of their policies,
of which there may be thousands."""

NOBODYS = "of no instance"
"""The lane of policies and sets whose instance does not exist."""


class Lanes:
    """Names lanes, and says how many of their turns retries may take.

    Args:
        inventory: Says which instances exist, and which policies they admit.
        workers: The number of turns of each lane.
    """

    def __init__(self, inventory: Inventory, workers: int) -> None:
        self._inventory = inventory
        self._workers = workers

    def lane_of(self, key: Key) -> str:
        """Return the lane of a key."""
        kind, name = key.of_object
        if kind is INSTANCE:
            return f"{key.kind} {key.name}"
        inventory = self._inventory
        one = inventory.find(kind, name)
        if one is None or one.needed_instance not in inventory.instances:
            return NOBODYS
        if kind is SET:
            return f"{SETS_OF}{one.needed_instance}"
        if (
            isinstance(one, PolicyObject)
            and inventory.admission(one) not in NOT_REFUSED
        ):
            return f"{REFUSED_BY}{one.instance}"
        return f"{POLICIES_OF}{one.needed_instance}"

    def retries_of(self, lane: str) -> int:
        """Return how many of a lane's turns, and so of its calls, retries may take."""
        share = self._workers // RETRY_SHARE
        instance = self._inventory.instances.get(lane.removeprefix(POLICIES_OF))
        if instance is not None:
            share = min(share, instance.rate_limit.max_concurrent - 1)
        return max(1, share)
