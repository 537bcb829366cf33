"""What happens in random stories: plain values, so that a story can be printed.

Each does nothing where it does not fit, so that any part of a story is one, too.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from support.engines import INSTANCE
from support.settings import mailing, mails
from support.world import DOMAINS, ORGANIZATIONS, URLS, World
from support.world_choices import (
    DELETIONS,
    ERRORS,
    GRANTS,
    INSTANCES,
    KEYS,
    KINDS,
    METHODS,
    PLACES,
    REFERENCES,
)
from support.world_zitadel import Outage
from zitadel_notification_operator.core.objects import (
    FINALIZER,
    NotUnderstood,
    PolicyObject,
    PolicyStatus,
)
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.engine.queue.keys import POLICY

FLIPS: dict[str, Callable[[PolicyObject], dict[str, Any]]] = {
    "value": lambda stored: {"settings": mails(not mailing(stored.settings))},
    "suspended": lambda stored: {"suspended": not stored.suspended},
}

UNREAD = NotUnderstood("spec.passwordChange is required", frozenset({"passwordChange"}))


@dataclass(frozen=True)
class Nothing:
    """Nothing happens."""

    def run(self, world: World) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Create:
    """Somebody creates a policy."""

    key: int
    reference: int
    value: bool = False
    instance: int = 0
    manages: bool = True
    deletion: int = 0
    suspended: bool = False
    foreign: bool = False

    def run(self, world: World) -> None:
        """Store it under a free name; Kubernetes takes none while the CRD goes."""
        if POLICY in world.cluster.crds_ending and world.cluster.policies:
            return
        world.cluster.crds_ending.discard(POLICY)
        free = [key for key in KEYS if key not in world.cluster.policies]
        if not free:
            return
        key, reference = free[self.key % len(free)], REFERENCES[self.reference]
        deletion = DELETIONS[self.deletion]
        if reference is None and deletion is DeletionPolicy.RESET:
            deletion = None
        world.cluster.put(
            PolicyObject(
                key=key,
                uid=world.uid(),
                generation=1,
                created=world.now(),
                scope=Scope.ORGANIZATION if reference else Scope.INSTANCE,
                instance=INSTANCES[self.instance],
                settings=mails(self.value),
                organization=reference,
                management=_management(manages=self.manages),
                deletion=deletion,
                suspended=self.suspended,
                finalizers=("example.com/x",) if self.foreign else (),
            )
        )


@dataclass(frozen=True)
class Edit:
    """Somebody edits a policy's spec, or asks for a pass."""

    key: int
    what: str
    to: int = 0

    def run(self, world: World) -> None:
        """Store the change."""
        stored = _existing(world, self.key)
        if stored is None:
            return
        changes: dict[str, Any] = {}
        if self.what in FLIPS:
            changes |= FLIPS[self.what](stored)
        elif self.what == "manages":
            changes["management"] = _management(manages=not stored.may_own)
        elif self.what == "unread":
            told = None if stored.not_understood else UNREAD
            changes["not_understood"] = told
        elif self.what == "token":
            changes["requested_at"] = world.uid()
        elif self.what == "foreign":
            ours = tuple(f for f in stored.finalizers if f == FINALIZER)
            changes["finalizers"] = ours
        else:
            deletion = DELETIONS[self.to]
            if stored.organization is None and deletion is DeletionPolicy.RESET:
                return
            changes["deletion"] = deletion
        if self.what not in {"token", "foreign"}:
            changes["generation"] = stored.generation + 1
        changed = replace(stored, **changes)
        if changed != stored:
            world.cluster.put(changed)


@dataclass(frozen=True)
class Delete:
    """Somebody deletes a policy."""

    key: int

    def run(self, world: World) -> None:
        """Mark it; it goes at once when nothing holds it."""
        stored = _existing(world, self.key)
        if stored is not None and not stored.deleting:
            generation = stored.generation + 1
            world.cluster.put(replace(stored, deleting=True, generation=generation))


@dataclass(frozen=True)
class DeleteCrd:
    """Somebody deletes the CRD of the policies; it comes back with the next one."""

    def run(self, world: World) -> None:
        """Mark the CRD, and then all its objects, as Kubernetes does."""
        world.cluster.crds_ending.add(POLICY)
        for stored in list(world.cluster.policies.values()):
            if not stored.deleting:
                world.cluster.by_crd.add(stored.uid)
                generation = stored.generation + 1
                world.cluster.put(replace(stored, deleting=True, generation=generation))


@dataclass(frozen=True)
class Copy:
    """Somebody copies an object, or brings it back from a backup.

    Annotation and finalizer are in the copy, the status is not; its uid is new. Where
    the name is taken, that object is removed first, whatever holds it.
    """

    key: int
    to: int

    def run(self, world: World) -> None:
        """Store it."""
        stored = _existing(world, self.key)
        key = KEYS[self.to]
        if stored is None or stored.deleting:
            return
        if key in world.cluster.policies:
            world.cluster.vanish(key)
        copied = replace(stored, key=key, uid=world.uid(), created=world.now())
        world.cluster.shared.add(copied.uid)
        world.cluster.put(replace(copied, generation=1, status=PolicyStatus()))


@dataclass(frozen=True)
class Strip:
    """Somebody takes off by hand what is ours."""

    key: int
    what: str

    def run(self, world: World) -> None:
        """Store the rest."""
        stored = _existing(world, self.key)
        if stored is None:
            return
        if self.what in {"annotation", "both"}:
            stored = replace(stored, original=None, original_text=None)
        if self.what in {"status", "both"}:
            stored = replace(stored, status=PolicyStatus())
            world.judge.lost_status(stored)
        if self.what == "finalizer":
            stored = replace(stored, finalizers=())
        world.cluster.put(stored)


@dataclass(frozen=True)
class Instance:
    """An administrator creates an instance, or leads it elsewhere."""

    name: int
    place: int = 0
    grants: int = 0
    method: int = 0

    def run(self, world: World) -> None:
        """Store it."""
        name = INSTANCES[self.name]
        stored = world.cluster.instances.get(name)
        if stored is not None and stored.deleting:
            return
        endpoint = replace(_ENDPOINT, url=PLACES[self.place])
        world.put_instance(
            name,
            endpoint=endpoint,
            grants=GRANTS[self.grants],
            method=METHODS[self.method],
        )


@dataclass(frozen=True)
class Regrant:
    """An administrator changes grants alone."""

    name: int
    grants: int

    def run(self, world: World) -> None:
        """Store them."""
        stored = world.cluster.instances.get(INSTANCES[self.name])
        if stored is not None and stored.grants != GRANTS[self.grants]:
            world.put_instance(stored.name, grants=GRANTS[self.grants])


@dataclass(frozen=True)
class Accept:
    """An administrator accepts the ZITADEL that an instance leads to."""

    name: int

    def run(self, world: World) -> None:
        """Set the annotation, which is no new generation."""
        stored = world.cluster.instances.get(INSTANCES[self.name])
        if stored is not None:
            accepted = URLS[stored.endpoint.url]
            if stored.accepted_id != accepted:
                world.cluster.put_instance(replace(stored, accepted_id=accepted))


@dataclass(frozen=True)
class DeleteInstance:
    """An administrator deletes an instance."""

    name: int

    def run(self, world: World) -> None:
        """Mark it."""
        stored = world.cluster.instances.get(INSTANCES[self.name])
        if stored is not None and not stored.deleting:
            world.put_instance(stored.name, deleting=True)


@dataclass(frozen=True)
class Secret:
    """Somebody changes the Secret, or ZITADEL no longer takes what it holds."""

    what: str

    def run(self, world: World) -> None:
        """Do it."""
        if self.what == "gone":
            world.cluster.secrets.pop("s", None)
        elif self.what == "bad":
            world.cluster.secrets["s"] = {"token": b"wrong"}
        elif self.what == "revoke":
            for zitadel in world.zitadels.values():
                zitadel.accepted = "next" if zitadel.accepted == "token" else "token"
        else:
            good = world.zitadel.accepted.encode()
            world.cluster.secrets["s"] = {"token": good}


@dataclass(frozen=True)
class Break:
    """A ZITADEL has an outage, or is well again."""

    place: int
    error: int | None = None
    kinds: int = 0
    after: bool = False
    hangs: bool = False

    def run(self, world: World) -> None:
        """Set it."""
        zitadel = world.zitadels[PLACES[self.place]]
        zitadel.outage = None
        if self.error is not None:
            zitadel.outage = Outage(
                ERRORS[self.error], KINDS[self.kinds], self.after, self.hangs
            )


@dataclass(frozen=True)
class Change:
    """Somebody else changes a policy in ZITADEL; None resets it.

    `flag` is what becomes of a flag that this version does not know; None leaves it.
    """

    place: int
    org: str
    value: bool | None = None
    flag: bool | None = None

    def run(self, world: World) -> None:
        """Do it, where it is a change at all."""
        zitadel = world.zitadels[PLACES[self.place]]
        is_own = not self.org or zitadel.written(self.org) is not None
        both_know = not self.org or self.org in zitadel.own
        if self.flag is not None and is_own and both_know:
            zitadel.change_flags(self.org, emailChange=self.flag)
        now = zitadel.written(self.org)
        impossible = not self.org and self.value is None
        if now is self.value or impossible or self.org in zitadel.removed:
            return
        zitadel.foreign[self.org] = asyncio.get_running_loop().time()
        zitadel.change(self.org, self.value)


@dataclass(frozen=True)
class Organization:
    """Somebody renames, removes or creates an organization in ZITADEL."""

    place: int
    what: str
    org: str

    def run(self, world: World) -> None:
        """Do it."""
        zitadel = world.zitadels[PLACES[self.place]]
        if self.what == "create":
            self._create(world)
        elif self.org not in zitadel.names:
            return
        elif self.what == "rename":
            zitadel.names[self.org] = f"Renamed {world.uid()}"
        elif self.org != zitadel.home:
            zitadel.removed_at[self.org] = asyncio.get_running_loop().time()
            zitadel.remove(self.org)
        zitadel.name_anew()

    def _create(self, world: World) -> None:
        """Create one with the first name that was used before, if it is free."""
        zitadel = world.zitadels[PLACES[self.place]]
        name = ORGANIZATIONS[self.org]
        if name not in zitadel.names.values():
            new = f"new-{world.uid()}"
            zitadel.names[new] = name
            for domain, org in DOMAINS.items():
                if org == self.org and zitadel.domains[domain] not in zitadel.names:
                    zitadel.domains[domain] = new


@dataclass(frozen=True)
class Kubernetes:
    """The API server fails, or the watch is deaf, or both are well again."""

    failure: str | None = None
    deaf: bool = False

    def run(self, world: World) -> None:
        """Set it."""
        world.cluster.failure = self.failure
        world.cluster.deaf = self.deaf


@dataclass(frozen=True)
class Kill:
    """The process is killed at one of its next outside calls, before or after it."""

    steps: int
    after: bool = False

    def run(self, world: World) -> None:
        """Plan it."""
        world.steps.kill_at = len(world.steps.log) + self.steps
        world.steps.after = self.after


@dataclass(frozen=True)
class Restart:
    """The process ends in good order, or crashes now, and another one starts."""

    crash: bool = False


def _existing(world: World, number: int) -> PolicyObject | None:
    """Return one of the policies that there are, if there are any."""
    policies = sorted(world.cluster.policies.values(), key=lambda p: p.key)
    return policies[number % len(policies)] if policies else None


def _management(*, manages: bool) -> ManagementPolicy:
    return ManagementPolicy.MANAGE if manages else ManagementPolicy.OBSERVE


_ENDPOINT = INSTANCE.endpoint
