"""What must hold at the end of a story, after all faults; and what may not grow."""

import asyncio
from collections.abc import Iterator, Sized
from typing import Any

from support.fakes import OURSELVES
from support.settings import mails
from support.world import World
from support.world_model import Target, holds_finalizer, mark_of
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import Condition, find
from zitadel_notification_operator.core.events import EventKind
from zitadel_notification_operator.core.instance_object import (
    DriftMethod,
    InstanceObject,
)
from zitadel_notification_operator.core.kinds import KINDS
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.set_object import SetObject

KUBERNETES = frozenset(
    {*("status", "original", "strip", "hold", "release"), "create", "apply", "delete"}
)
ZITADEL = frozenset({"Create", "Update", "Reset"})
"""The steps that write to Kubernetes and to ZITADEL."""

LONG = 4000.0
"""Seconds after which all is settled: a LIST, the slowest retry, a deadline."""

DAY = 25 * 3600.0
"""Seconds within which each policy has its daily pass, which nothing prevents."""


def end_faults(world: World) -> None:
    """End all faults of Kubernetes, the Secret and the ZITADELs."""
    world.steps.kill_at = -1
    world.cluster.failure, world.cluster.loses_events = None, False
    world.cluster.secrets["s"] = {"token": world.zitadel.accepted.encode()}
    for zitadel in world.zitadels.values():
        zitadel.outage = None
        zitadel.to_lose = []
        if zitadel.stopped:
            zitadel.catch_up()


async def check_quiet(world: World, seconds: float) -> None:
    """Complain about each write during a time in which nothing happens."""
    before = len(world.steps.log)
    writes = KUBERNETES
    if has_changed_in_silence(world):
        writes -= {"status"}  # the daily pass may find other values
    if not any(zitadel.outage for zitadel in world.zitadels.values()):
        # During an outage, failed writes are retried.
        writes |= ZITADEL
    await world.live(seconds)
    for step in world.steps.log[before:]:
        if step[0] in writes:
            world.judge.complain(f"a write in a quiet time: {step}")


def is_contested(world: World) -> bool:
    """Return whether a correction is still delayed because others keep changing it."""
    return any(
        condition.reason == "Contested"
        for policy in world.cluster.policies.values()
        for condition in policy.status.conditions
    )


def has_losses(world: World) -> bool:
    """Return whether ZITADEL's two sides differ, or are about to.

    Writes that contradict what GETs show are then retried and repaired.
    """
    return any(
        zitadel.stopped or zitadel.lost or zitadel.to_lose
        for zitadel in world.zitadels.values()
    )


def has_changed_in_silence(world: World) -> bool:
    """Return whether GETs show something new without a new event.

    This happens when a stopped read side catches up. A policy whose last pass had
    nothing to write learns it only at its daily pass.
    """
    return any(zitadel.caught_up for zitadel in world.zitadels.values())


def check_end(world: World) -> None:
    """Complain about each object that is not as the design requires."""
    for what in wrong_ones(world):
        world.judge.complain(f"at the end, {what}")


def wrong_ones(world: World) -> list[str]:
    """Return the objects that are not as the design requires, and why."""
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
    for one in world.cluster.sets.values():
        why = set_wrong(world, one)
        if why:
            ready = find(one.status.conditions, "Ready")
            found.append(f"the set {one.key}: {why}; {ready}")
    return found


def _instance_wrong(world: World, instance: InstanceObject) -> str:
    ready = find(instance.status.conditions, "Ready")
    if ready is None or ready.status != "True":
        return f"it is not Ready: {ready}"
    users = [p for p in world.cluster.policies.values() if p.instance == instance.name]
    needed = any(holds_finalizer(user) for user in users)
    if instance.deleting and not needed:
        return "no policy needs it, but it is still there"
    if instance.status.observed_generation != instance.generation:
        return "its status is about another generation"
    return ""


def _policy_wrong(world: World, policy: PolicyObject) -> str:
    ready = find(policy.status.conditions, "Ready")
    if policy.deleting:
        says_so = ready is not None and ready.reason == "Deleted"
        if holds_finalizer(policy):
            return "it is deleted, and still has our finalizer"
        return "" if says_so else "it is deleted, and its status does not say so"
    if policy.status.observed_generation != policy.generation:
        return "its status is about another generation"
    if policy.suspended or ready is None:
        return "" if ready else "it has no Ready condition"
    wanted = wanted_reason(world, policy)
    if policy.not_understood:
        wanted = "SpecNotUnderstood"
    if wanted == "Any":
        return ""
    if ready.reason != wanted:
        return f"its reason should be {wanted}"
    if ready.status != ("True" if wanted in {"Succeeded", "Overridden"} else "False"):
        return "reason and status of Ready do not fit"
    if wanted in {"Conflict", "Overridden"} and (
        policy.original_text or holds_finalizer(policy)
    ):
        return "a policy that does not own its target has annotation or finalizer"
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
            return "with Observe it has annotation or finalizer"
        return _sync_wrong(sync, fits=fits)
    if not fits:
        return f"ZITADEL holds {value}"
    written = world.model.zitadel(target[0]).written(target[1] or "")
    reads = world.cluster.instances[policy.instance].drift.method is DriftMethod.AUTO
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
    """Return whether the last event of a target is by others, or there is none.

    Nothing reveals a change of others from before the first pass if GETs do not show
    it.
    """
    aggregate = target[1] or target[0]
    log = world.model.zitadel(target[0]).events_log
    editors = [
        event.editor
        for event in log
        if event.id.aggregate == aggregate and event.kind is not EventKind.ORGANIZATION
    ]
    return not editors or editors[-1] != OURSELVES


def _sync_wrong(sync: Condition | None, *, fits: bool) -> str:
    if sync is None or sync.status != ("True" if fits else "False"):
        return f"InSync is {sync}, but it is {fits}"
    return ""


def target_of(world: World, policy: PolicyObject) -> Target | None:
    """Return the target of a policy, as it must be known at the end."""
    instance = world.cluster.instances[policy.instance]
    zitadel = world.zitadels[instance.url]
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
    somewhere = target or (_zitadel_id(world, instance), "nowhere")
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
        # The organization of a policy in conflict is not stored: it stays the same
        # after a rename until the next restart.
        return "Any"
    if target is None:
        return missing if verdict != "InstanceNotFound" else verdict
    if verdict != "Granted":
        return verdict
    owner = owner_of(world, target)
    if policy.manages and owner != policy.key:
        by_set = owner is None or world.cluster.policies[owner].set_uid is not None
        return "Conflict" if by_set or policy.set_uid is None else "Overridden"
    if policy.manages and owner_of(world, target, unpinned=True) != policy.key:
        return "Any"
    if target[1] in world.model.zitadel(target[0]).removed:
        return missing if policy.manages else "Any"
    return "Succeeded"


def _zitadel_id(world: World, instance: InstanceObject) -> str:
    """Return the id of the ZITADEL at an instance's URL."""
    return world.zitadels[instance.url].id


def owner_of(world: World, target: Target, *, unpinned: bool = False) -> Any:
    """Return the owner of a target, which is the policy with the oldest claim.

    Args:
        world: The world.
        target: The claimed target.
        unpinned: Whether suspended policies count whose organization was resolved in
            memory only. The organization of a policy in conflict is not stored, so a
            restart forgets it.
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
                continue  # its organization was never resolved
        if world.model.verdicts(policy, instance, target) == {"Granted"}:
            claims.append((world.model.rank(policy), policy.key))
    return min(claims)[1] if claims else None


def set_wrong(world: World, one: SetObject) -> str:
    """Return what is wrong with a set at the end, or an empty text."""
    if one.deleting:
        return "it is deleted, and still there"
    if one.status.observed_generation != one.generation:
        return "its status is about another generation"
    ready = find(one.status.conditions, "Ready")
    counts = one.status.organizations
    if ready is None or counts is None:
        return "it has no Ready condition or no counts"
    results = counts.ready + counts.overridden + counts.failed + counts.pending
    if counts.matched != results:
        return f"its counts do not add up: {counts}"
    instance = world.cluster.instances.get(one.instance)
    if one.suspended or instance is None or instance.deleting:
        return ""
    made = {
        policy.key: policy
        for policy in world.cluster.policies.values()
        if policy.set_uid == one.uid and not policy.deleting
    }
    wanted = _members_of(world, one, instance)
    if wanted is None:
        return ""  # policies of organizations that are no longer granted stay
    if made.keys() != wanted:
        return f"it has {sorted(made)}, but selects {sorted(wanted)}"
    for policy in made.values():
        spec = (policy.settings, policy.management, policy.deletion, policy.suspended)
        if spec != (one.settings, one.management, one.deletion, one.suspended):
            return f"{policy.key} is not as the set makes it"
    return _set_reason_wrong(ready, list(made.values()))


def _members_of(
    world: World, one: SetObject, instance: InstanceObject
) -> set[PolicyKey] | None:
    """Return the policies that a set must have; None if some are not granted."""
    zitadel = world.zitadels[instance.url]
    found = set()
    for org in zitadel.names:
        if not one.organizations.selects(zitadel.names_of(org)[-1]):
            continue
        if not world.model.grants(one.key.namespace, instance, (zitadel.id, org)):
            return None
        found.add(one.policy_key(org))
    return found


def _set_reason_wrong(ready: Condition, made: list[PolicyObject]) -> str:
    reasons = {c.reason for p in made for c in p.status.conditions if c.type == "Ready"}
    wanted = "Succeeded" if reasons <= {"Succeeded", "Overridden"} else ""
    if not made:
        wanted = "NothingMatches"
    if ready.reason != (wanted or "PoliciesNotReady"):
        return f"its reason should be {wanted or 'PoliciesNotReady'}"
    return ""


def check_sizes(world: World) -> None:
    """Complain about collections in memory that are larger than they should be."""
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
    names |= {one.instance for one in world.cluster.sets.values()}
    most = {"Inventory": max(policies, len(names)), "Connections": len(names)}
    for part, name, size in sizes(parts):
        others = policies + len(world.cluster.sets) + 4
        limit = len(KINDS) if name == "_by_kind" else most.get(part, others)
        if size > limit:
            world.judge.complain(
                f"{part}.{name} holds {size}, with {policies} policies"
            )


def sizes(parts: Any) -> Iterator[tuple[str, str, int]]:
    """Yield the size of each collection in the parts of a process."""
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
