"""The commands by which sets are created, changed and deleted in random stories."""

from dataclasses import dataclass, replace
from typing import Any

from support.settings import mails
from support.world import World
from support.world_choices import INSTANCES
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.policy import DeletionPolicy, ManagementPolicy
from zitadel_notification_operator.core.selection import Matcher, Selector
from zitadel_notification_operator.core.set_object import Limits, SetObject

SETS = (ObjectKey("own", "s"), ObjectKey("own", "t"), ObjectKey("team", "s"))
SELECTORS = (
    Selector(all=True),
    Selector(all=True, exclude=(Matcher(name="B*"),)),
    Selector(include=(Matcher(name="*a"),), exclude=(Matcher(id="o2"),)),
    Selector(include=(Matcher(id="o1"), Matcher(name="Renamed *"))),
)
ENDINGS = tuple(DeletionPolicy)


@dataclass(frozen=True)
class ApplySet:
    """Somebody creates a set, or changes what the one of this name selects and sets."""

    name: int
    selector: int = 0
    value: bool = False
    deletion: int = 0
    manages: bool = True
    suspended: bool = False
    instance: int = 0

    def run(self, world: World) -> None:
        """Store it, unless there is one that is being deleted."""
        key = SETS[self.name]
        stored = world.cluster.sets.get(key)
        if stored is not None and stored.deleting:
            return
        manages = ManagementPolicy.MANAGE if self.manages else ManagementPolicy.OBSERVE
        spec: dict[str, Any] = {
            "organizations": SELECTORS[self.selector],
            "settings": mails(self.value),
            "deletion": ENDINGS[self.deletion],
            "management": manages,
            "suspended": self.suspended,
        }
        if stored is None:
            made = SetObject(
                key=key,
                uid=world.uid(),
                generation=1,
                created=world.now(),
                instance=INSTANCES[self.instance],
                limits=Limits(removals=100),
                **spec,
            )
            world.put_set(made)
            return
        changed = replace(stored, **spec)
        if changed != stored:
            world.put_set(replace(changed, generation=stored.generation + 1))


@dataclass(frozen=True)
class DeleteSet:
    """Somebody deletes a set."""

    name: int

    def run(self, world: World) -> None:
        """Mark it as deleted; without our finalizer it is removed at once."""
        stored = world.cluster.sets.get(SETS[self.name])
        if stored is not None and not stored.deleting:
            generation = stored.generation + 1
            world.put_set(replace(stored, deleting=True, generation=generation))


@dataclass(frozen=True)
class RenameSet:
    """A tool applies a set under another name and prunes the old one at once."""

    name: int
    to: int

    def run(self, world: World) -> None:
        """Store the new one with the old one's spec, and delete the old one."""
        stored, key = world.cluster.sets.get(SETS[self.name]), SETS[self.to]
        if stored is None or stored.deleting or key in world.cluster.sets:
            return
        made = replace(
            stored,
            key=key,
            uid=world.uid(),
            generation=1,
            created=world.now(),
            status=type(stored.status)(),
            finalizers=(),
        )
        world.put_set(made)
        DeleteSet(self.name).run(world)


@dataclass(frozen=True)
class TouchSet:
    """Somebody asks for a pass over a set."""

    name: int

    def run(self, world: World) -> None:
        """Set the annotation, which does not change the generation."""
        stored = world.cluster.sets.get(SETS[self.name])
        if stored is not None:
            world.put_set(replace(stored, requested_at=world.uid()))
