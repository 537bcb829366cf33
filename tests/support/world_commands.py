"""The commands of random stories: plain values, so that a story can be printed.

A command that is not applicable does nothing, so any part of a story is a story, too.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

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
from zitadel_notification_operator.core.kinds import POLICY
from zitadel_notification_operator.core.objects import FINALIZER, NotUnderstood
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus

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
        """Store it under a free name, unless the CRD is being deleted."""
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
    """Somebody edits a policy's spec, or requests a pass."""

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
            not_understood = None if stored.not_understood else UNREAD
            changes["not_understood"] = not_understood
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
        """Mark it as deleted; without finalizers it is removed at once."""
        stored = _existing(world, self.key)
        if stored is not None and not stored.deleting:
            generation = stored.generation + 1
            world.cluster.put(replace(stored, deleting=True, generation=generation))


@dataclass(frozen=True)
class DeleteCrd:
    """Somebody deletes the CRD of the policies; the next policy restores it."""

    def run(self, world: World) -> None:
        """Mark the CRD and then all its objects as deleted, as Kubernetes does."""
        world.cluster.crds_ending.add(POLICY)
        for stored in list(world.cluster.policies.values()):
            if not stored.deleting:
                world.cluster.by_crd.add(stored.uid)
                generation = stored.generation + 1
                world.cluster.put(replace(stored, deleting=True, generation=generation))


@dataclass(frozen=True)
class Copy:
    """Somebody copies an object, or restores it from a backup.

    The copy has the annotation and the finalizer, but no status, a new uid, and no
    ownerReferences. If the name is taken, that object is removed first in spite of its
    finalizers.
    """

    key: int
    to: int

    def run(self, world: World) -> None:
        """Store the copy."""
        stored = _existing(world, self.key)
        key = KEYS[self.to]
        if stored is None or stored.deleting:
            return
        if key in world.cluster.policies:
            world.cluster.vanish(key)
        copied = replace(
            stored, key=key, uid=world.uid(), created=world.now(), controller=None
        )
        world.cluster.shared.add(copied.uid)
        world.cluster.put(replace(copied, generation=1, status=PolicyStatus()))


@dataclass(frozen=True)
class Strip:
    """Somebody removes by hand what the operator has added."""

    key: int
    what: str

    def run(self, world: World) -> None:
        """Store the object without it."""
        stored = _existing(world, self.key)
        if stored is None:
            return
        if self.what in {"annotation", "both"}:
            stored = replace(stored, original=None, original_text=None)
        if self.what in {"status", "both"}:
            stored = replace(stored, status=PolicyStatus())
            world.judge.lost_status(stored)
        if self.what == "owner":
            # For a moment it goes before every set, and its status says nothing yet.
            stored = replace(stored, controller=None)
            world.judge.lost_status(stored)
        if self.what == "finalizer":
            stored = replace(stored, finalizers=())
        world.cluster.put(stored)


@dataclass(frozen=True)
class Instance:
    """An administrator creates an instance, or changes its URL and grants."""

    name: int
    place: int = 0
    grants: int = 0
    method: int = 0

    def run(self, world: World) -> None:
        """Store the instance."""
        name = INSTANCES[self.name]
        stored = world.cluster.instances.get(name)
        if stored is not None and stored.deleting:
            return
        world.put_instance(
            name,
            url=PLACES[self.place],
            grants=GRANTS[self.grants],
            method=METHODS[self.method],
        )


@dataclass(frozen=True)
class Regrant:
    """An administrator changes nothing but the grants."""

    name: int
    grants: int

    def run(self, world: World) -> None:
        """Store the grants."""
        stored = world.cluster.instances.get(INSTANCES[self.name])
        if stored is not None and stored.grants != GRANTS[self.grants]:
            world.put_instance(stored.name, grants=GRANTS[self.grants])


@dataclass(frozen=True)
class Accept:
    """An administrator accepts the ZITADEL at an instance's URL."""

    name: int

    def run(self, world: World) -> None:
        """Set the annotation, which does not change the generation."""
        stored = world.cluster.instances.get(INSTANCES[self.name])
        if stored is not None:
            accepted = URLS[stored.url]
            if stored.accepted_id != accepted:
                world.cluster.put_instance(replace(stored, accepted_id=accepted))


@dataclass(frozen=True)
class DeleteInstance:
    """An administrator deletes an instance."""

    name: int

    def run(self, world: World) -> None:
        """Mark it as deleted."""
        stored = world.cluster.instances.get(INSTANCES[self.name])
        if stored is not None and not stored.deleting:
            world.put_instance(stored.name, deleting=True)


@dataclass(frozen=True)
class Secret:
    """Somebody changes the Secret, or ZITADEL revokes the token in it."""

    what: str

    def run(self, world: World) -> None:
        """Carry out the change."""
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
    """An outage of a ZITADEL begins or ends."""

    place: int
    error: int | None = None
    kinds: int = 0
    after: bool = False
    hangs: bool = False

    def run(self, world: World) -> None:
        """Set or clear the outage."""
        zitadel = world.zitadels[PLACES[self.place]]
        zitadel.outage = None
        if self.error is not None:
            zitadel.outage = Outage(
                ERRORS[self.error], KINDS[self.kinds], self.after, self.hangs
            )


@dataclass(frozen=True)
class Change:
    """Somebody else changes a policy in ZITADEL; None resets it.

    `flag` is the new value of a flag that this version of the operator does not know;
    None leaves it as it is.
    """

    place: int
    org: str
    value: bool | None = None
    flag: bool | None = None

    def run(self, world: World) -> None:
        """Carry out the change, if it changes anything."""
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
        """Carry out the change."""
        zitadel = world.zitadels[PLACES[self.place]]
        if self.what == "create":
            self._create(world)
        elif self.org not in zitadel.names:
            return
        elif self.what == "rename":
            zitadel.names[self.org] = f"Renamed {world.uid()}"
            zitadel.organization_changed(self.org)
        elif self.org != zitadel.home:
            zitadel.removed_at[self.org] = asyncio.get_running_loop().time()
            zitadel.remove(self.org)
        zitadel.record_names()

    def _create(self, world: World) -> None:
        """Create one with the first name that organization `org` had, if it is free."""
        zitadel = world.zitadels[PLACES[self.place]]
        name = ORGANIZATIONS[self.org]
        if name not in zitadel.names.values():
            new = f"new-{world.uid()}"
            zitadel.names[new] = name
            for domain, org in DOMAINS.items():
                if org == self.org and zitadel.domains[domain] not in zitadel.names:
                    zitadel.domains[domain] = new
            zitadel.organization_changed(new)


@dataclass(frozen=True)
class Kubernetes:
    """Writes to the API server fail, or the watch loses events, or neither any more."""

    failure: str | None = None
    loses_events: bool = False

    def run(self, world: World) -> None:
        """Set or clear the faults."""
        world.cluster.failure = self.failure
        world.cluster.loses_events = self.loses_events


@dataclass(frozen=True)
class Kill:
    """The process is killed before or after one of its next calls to the outside."""

    steps: int
    after: bool = False

    def run(self, world: World) -> None:
        """Set the step of the kill."""
        world.steps.kill_at = len(world.steps.log) + self.steps
        world.steps.after = self.after


@dataclass(frozen=True)
class Restart:
    """The process stops in an orderly way or crashes, and another one starts."""

    crash: bool = False


def _existing(world: World, number: int) -> PolicyObject | None:
    """Return one of the existing policies, or None if there are none."""
    policies = sorted(world.cluster.policies.values(), key=lambda p: p.key)
    return policies[number % len(policies)] if policies else None


def _management(*, manages: bool) -> ManagementPolicy:
    return ManagementPolicy.MANAGE if manages else ManagementPolicy.OBSERVE
