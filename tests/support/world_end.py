"""What must hold at the end of a story, once all is mended; and what may not grow."""

import asyncio
from collections.abc import Iterator, Sized
from typing import Any

from support.fakes import OURSELVES
from support.settings import mails
from support.world import World
from support.world_model import Target, holds_finalizer, mark_of
from zitadel_notification_operator.core.conditions import Condition, find
from zitadel_notification_operator.core.objects import (
    DriftMethod,
    InstanceObject,
    PolicyObject,
)

KUBERNETES = frozenset({"status", "original", "strip", "hold", "release"})
ZITADEL = frozenset({"Create", "Update", "Reset"})
"""Steps that change something there."""

LONG = 4000.0
"""Seconds in which everything settles: a LIST, the slow retries, a deadline."""

DAY = 25 * 3600.0
"""Seconds in which each policy has had its daily look, which nothing takes from it."""


def mend(world: World) -> None:
    """End all faults; accept wherever an instance leads to."""
    world.steps.kill_at = -1
    world.cluster.failure, world.cluster.deaf = None, False
    world.cluster.secrets["s"] = {"token": world.zitadel.accepted.encode()}
    for zitadel in world.zitadels.values():
        zitadel.outage = None
        zitadel.to_lose = []
        if zitadel.stopped:
            zitadel.catch_up()


async def check_quiet(world: World, seconds: float) -> None:
    """Complain about each write in a time in which nothing happens."""
    before = len(world.steps.log)
    writes = KUBERNETES
    if has_changed_in_silence(world):
        writes -= {"status"}  # the daily look may find that its values are others
    if not any(zitadel.outage for zitadel in world.zitadels.values()):
        # Else a write that fails is tried again.
        writes |= ZITADEL
    await world.live(seconds)
    for step in world.steps.log[before:]:
        if step[0] in writes:
            world.judge.complain(f"a write in a quiet time: {step}")


def is_contested(world: World) -> bool:
    """Return whether a correction still waits because of others' changes."""
    return any(
        condition.reason == "Contested"
        for policy in world.cluster.policies.values()
        for condition in policy.status.conditions
    )


def has_losses(world: World) -> bool:
    """Return whether ZITADEL's two sides differ, or are about to.

    Then writes that contradict what GETs say are tried again and again, and repaired.
    """
    return any(
        zitadel.stopped or zitadel.lost or zitadel.to_lose
        for zitadel in world.zitadels.values()
    )


def has_changed_in_silence(world: World) -> bool:
    """Return whether GETs have come to say something new without an event.

    So it is when a read side that stood still catches up. Whoever has looked before and
    had nothing to write is not told, and finds it at the daily look.
    """
    return any(zitadel.caught_up for zitadel in world.zitadels.values())


def check_end(world: World) -> None:
    """Complain about each object that is not as the design says."""
    for what in wrong_ones(world):
        world.judge.complain(f"at the end, {what}")


def wrong_ones(world: World) -> list[str]:
    """Return which objects are not as the design says, and why."""
    found = []
    for instance in world.cluster.instances.values():
        why = _instance_wrong(world, instance)
        if why:
            found.append(f"{instance.name}: {why}")
    for policy in world.cluster.policies.values():
        why = _policy_wrong(world, policy)
        if why:
            ready = find(policy.status.conditions, "Ready")
            found.append(f"{policy.key}: {why}; {ready}")
    return found


def _instance_wrong(world: World, instance: InstanceObject) -> str:
    ready = find(instance.status.conditions, "Ready")
    if ready is None or ready.status != "True":
        return f"it is not Ready: {ready}"
    users = [p for p in world.cluster.policies.values() if p.instance == instance.name]
    needed = any(holds_finalizer(user) for user in users)
    if instance.deleting and not needed:
        return "nobody needs it, and it is still there"
    if instance.status.observed_generation != instance.generation:
        return "its status speaks of another generation"
    return ""


def _policy_wrong(world: World, policy: PolicyObject) -> str:
    ready = find(policy.status.conditions, "Ready")
    if policy.deleting:
        told = ready is not None and ready.reason == "Deleted"
        if holds_finalizer(policy):
            return "it is deleted, and still held by us"
        return "" if told else "it is deleted, and says nothing of it"
    if policy.status.observed_generation != policy.generation:
        return "its status speaks of another generation"
    if policy.suspended or ready is None:
        return "" if ready else "it has no Ready condition"
    wanted = wanted_reason(world, policy)
    if policy.not_understood:
        wanted = "SpecNotUnderstood"
    if wanted == "Any":
        return ""
    if ready.reason != wanted:
        return f"it should say {wanted}"
    if ready.status != ("True" if wanted == "Succeeded" else "False"):
        return "reason and status of Ready do not fit"
    if wanted == "Conflict" and (policy.original_text or holds_finalizer(policy)):
        return "a loser carries marks"
    return _ready_wrong(world, policy) if wanted == "Succeeded" else ""


def _ready_wrong(world: World, policy: PolicyObject) -> str:
    target = target_of(world, policy)
    assert target is not None
    value = world.model.zitadel(target[0]).value(target[1])
    inherits = value.is_default and target[1] is not None
    fits = value.settings == policy.settings and not inherits
    sync = find(policy.status.conditions, "InSync")
    if not policy.manages:
        if policy.original_text or holds_finalizer(policy):
            return "Observe carries marks"
        return _sync_wrong(sync, fits=fits)
    if not fits:
        return f"ZITADEL holds {value}"
    written = world.model.zitadel(target[0]).written(target[1] or "")
    reads = world.cluster.instances[policy.instance].method is DriftMethod.AUTO
    known = reads and not _is_last_of_others(world, target)
    if known and mails(written) != policy.settings:
        return f"ZITADEL shows {value}, but its log says {written}"
    ending = policy.deletion or ("Reset" if policy.organization else "Retain")
    if holds_finalizer(policy) is (ending == "Retain"):
        return f"deletionPolicy {ending}, finalizer {holds_finalizer(policy)}"
    mark = mark_of(policy)
    if mark is None or mark[0] != target:
        return f"its original is {mark}"
    if policy.status.original != mark[1]:
        return f"annotation and status differ: {mark[1]}, {policy.status.original}"
    return _sync_wrong(sync, fits=True)


def _is_last_of_others(world: World, target: Target) -> bool:
    """Return whether others have made the last event of a target, if there is any.

    What they did before somebody looked first, and no GET showed, nobody tells.
    """
    aggregate = target[1] or target[0]
    log = world.model.zitadel(target[0]).events_log
    editors = [event.editor for event in log if event.id.aggregate == aggregate]
    return not editors or editors[-1] != OURSELVES


def _sync_wrong(sync: Condition | None, *, fits: bool) -> str:
    if sync is None or sync.status != ("True" if fits else "False"):
        return f"InSync is {sync}, but it is {fits}"
    return ""


def target_of(world: World, policy: PolicyObject) -> Target | None:
    """Return what a policy is about, as all can know."""
    instance = world.cluster.instances[policy.instance]
    zitadel = world.zitadels[instance.endpoint.url]
    if policy.organization is None:
        return zitadel.id, None
    if policy.organization.by == "id":
        return zitadel.id, policy.organization.value
    org = policy.status.organization_id
    if org is None or org in zitadel.removed:
        (meant,) = zitadel.meant(policy.organization, 0.0)
        org = meant or org
    return (zitadel.id, org) if org else None


def wanted_reason(world: World, policy: PolicyObject) -> str:
    """Return the reason that Ready must have."""
    instance = world.cluster.instances.get(policy.instance)
    if instance is None:
        return "InstanceNotFound"
    target = target_of(world, policy)
    somewhere = target or (URL_IDS(world, instance), "nowhere")
    (verdict,) = world.model.verdicts(policy, instance, somewhere)
    free = {"Granted"} == world.model.verdicts(
        policy, instance, (somewhere[0], "anything" if somewhere[1] else None)
    )
    missing = "OrganizationNotFound" if free else "NotGranted"
    if instance.deleting and policy.original_text is None:
        unknown = policy.status.organization_id is None
        return "Any" if verdict == "Granted" or unknown else verdict
    ready = find(policy.status.conditions, "Ready")
    if target is None and ready is not None and ready.reason == "Conflict":
        # A loser's pin is not stored: until a restart a rename does not move it.
        return "Any"
    if target is None:
        return missing if verdict != "InstanceNotFound" else verdict
    if verdict != "Granted":
        return verdict
    if policy.manages and owner_of(world, target) != policy.key:
        return "Conflict"
    if policy.manages and owner_of(world, target, unpinned=True) != policy.key:
        return "Any"
    if target[1] in world.model.zitadel(target[0]).removed:
        return missing if policy.manages else "Any"
    return "Succeeded"


def URL_IDS(world: World, instance: InstanceObject) -> str:  # noqa: N802
    """Return the id of the ZITADEL that an instance leads to."""
    return world.zitadels[instance.endpoint.url].id


def owner_of(world: World, target: Target, *, unpinned: bool = False) -> Any:
    """Return whose the target is: the oldest claim.

    Args:
        world: The world.
        target: What is claimed.
        unpinned: Count suspended ones, too, that were resolved in memory at most: a
            loser's pin is not stored, so a restart forgets it.
    """
    claims = []
    for policy in world.cluster.policies.values():
        instance = world.cluster.instances.get(policy.instance)
        if policy.deleting or not policy.may_own or instance is None:
            continue
        if target_of(world, policy) != target:
            continue
        waits = policy.suspended or policy.not_understood
        if not (policy.status.organization_id or unpinned) and waits:
            by_id = policy.organization is None or policy.organization.by == "id"
            if not by_id:
                continue  # never resolved
        if world.model.verdicts(policy, instance, target) == {"Granted"}:
            claims.append((policy.created, policy.key))
    return min(claims)[1] if claims else None


def check_sizes(world: World) -> None:
    """Complain about memory that holds more than there is."""
    parts = world.parts
    assert parts is not None
    policies = len(world.cluster.policies)
    exact = {
        "policies": (len(parts.inventory.policies), policies),
        "instances": (len(parts.inventory.instances), len(world.cluster.instances)),
        "waiting": (len(parts.queue), 0),
        "running": (parts.queue.active, 0),
        "turns": (len(parts.targets), 0),
        "tasks": (len(asyncio.all_tasks()), 3),
    }
    for name, (size, wanted) in exact.items():
        if size != wanted:
            world.judge.complain(f"{name} holds {size}, not {wanted}")
    names = {policy.instance for policy in world.cluster.policies.values()}
    names |= world.cluster.instances.keys()
    most = {"Inventory": max(policies, len(names)), "Connections": len(names)}
    for part, name, size in sizes(parts):
        if size > most.get(part, policies + 4):
            world.judge.complain(
                f"{part}.{name} holds {size}, with {policies} policies"
            )


def sizes(parts: Any) -> Iterator[tuple[str, str, int]]:
    """Yield how much each part of a process holds: all that are containers."""
    each = [parts.inventory, parts.inventory.originals, parts.queue]
    each += [parts.connections, parts.drift, parts.writes]
    each += [parts.pending_events, parts.engine, parts.engine._passes, parts.events]  # noqa: SLF001
    each += [parts.lag, parts.targets]
    for part in each:
        for name, value in vars(part).items():
            if isinstance(value, Sized) and not isinstance(value, str):
                yield type(part).__name__, name, len(value)
    for name, state in parts.connections._states.items():  # noqa: SLF001
        yield "InstanceState", name, len(state.waiting)
