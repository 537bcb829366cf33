"""Drops what the parts of the engine remember about objects that no longer exist."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.kinds import KINDS
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.queue.slices import in_slices

Keep = Callable[[frozenset[str]], None]
"""Makes a part forget all names, or all uids, but these."""


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """Drops it after each periodic LIST, so that memory holds no more than there is.

    Attributes:
        inventory: Knows which objects exist.
        by_name: Parts that remember something by the names of instances.
        by_uid: Parts that remember something by the uids of objects.
        by_target: Parts that remember something by targets.
    """

    inventory: Inventory
    by_name: Sequence[Keep]
    by_uid: Sequence[Keep]
    by_target: Sequence[Callable[[Callable[[Target], bool]], None]]

    async def run(self) -> None:
        """Drop what is no longer needed."""
        inventory = self.inventory
        used = inventory.tidy()
        for keep_names in self.by_name:
            keep_names(used)
        uids = frozenset(one.uid for kind in KINDS for one in inventory.of(kind))
        for keep_uids in self.by_uid:
            keep_uids(uids)
        policies = tuple(inventory.policies.values())
        targets = {inventory.target_of(each) async for each in in_slices(policies)}
        for keep_targets in self.by_target:
            keep_targets(targets.__contains__)
