"""When errors make an object Stalled; a new object under an old name starts anew."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from support.engines import INSTANCE, Harness, policy, with_spec
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import Condition, find
from zitadel_notification_operator.core.errors import ClusterError, TransientError
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.leader.lanes import Lanes
from zitadel_notification_operator.engine.queue.keys import (
    events_key,
    instance_key,
    policy_key,
)

EDITED = 300.0
DEADLINE = 600.0
RETRY = 75.0
"""Seconds between two tries, at most."""


def of_policy(harness: Harness) -> tuple[Condition, ...]:
    """Return the conditions of the policy."""
    return harness.policy("p").status.conditions


def of_instance(harness: Harness) -> tuple[Condition, ...]:
    """Return the conditions of the instance."""
    return harness.cluster.instances["default"].status.conditions


def edit_policy(harness: Harness) -> None:
    """Change the policy's spec."""
    harness.seen(replace(harness.policy("p"), generation=2, settings=mails(True)))


def edit_instance(harness: Harness) -> None:
    """Change the instance's spec."""
    known = harness.cluster.instances["default"]
    harness.instance_seen(with_spec(known, generation=2, poll_interval=300.0))


KINDS = pytest.mark.parametrize(
    ("conditions", "edit"), [(of_policy, edit_policy), (of_instance, edit_instance)]
)
Conditions = Callable[[Harness], tuple[Condition, ...]]


def in_trouble() -> Harness:
    """Return a harness whose ZITADEL fails."""
    harness = Harness()
    harness.cluster.put(policy("p"))
    harness.zitadel.failure = TransientError(Reason.SERVER_ERROR, "x")
    return harness


def is_stalled(conditions: tuple[Condition, ...]) -> bool:
    """Return whether the deadline has passed."""
    found = find(conditions, "Stalled")
    return found is not None and found.reason == Reason.PROGRESS_DEADLINE_EXCEEDED


@KINDS
def test_an_edit_in_trouble_moves_no_time(
    conditions: Conditions, edit: Callable[[Harness], None]
) -> None:
    """The new spec has ten minutes of its own."""

    async def story() -> None:
        harness = in_trouble()
        await harness.start()
        await harness.live(EDITED)
        before = find(conditions(harness), "Reconciling")
        assert before is not None
        edit(harness)
        await harness.live(5)
        after = find(conditions(harness), "Reconciling")
        assert after is not None
        assert after.observed_generation == 2
        assert after.last_transition_time == before.last_transition_time
        await harness.live(DEADLINE - 10)
        assert not is_stalled(conditions(harness))
        await harness.live(5 + RETRY)
        assert is_stalled(conditions(harness))
        await harness.stop()

    run(story())


@KINDS
@pytest.mark.parametrize("edited", [False, True])
def test_a_restart_does_not_put_the_deadline_off(
    conditions: Conditions, edit: Callable[[Harness], None], *, edited: bool
) -> None:
    """An operator that crashes every few minutes still reports."""

    async def story() -> None:
        harness = in_trouble()
        await harness.start()
        for _ in range(3):
            await harness.live(150)
            await harness.stop()
            await harness.start()
        if edited:
            edit(harness)
        await harness.live(100)
        assert not is_stalled(conditions(harness))
        await harness.live(DEADLINE + RETRY - (0 if edited else 550))
        assert is_stalled(conditions(harness))
        await harness.stop()

    run(story())


def test_quiet_policies_do_not_all_turn_unknown_in_one_second() -> None:
    """Each does so once, between ten and eleven minutes after the failure."""

    async def story() -> None:
        harness = Harness()
        for number in range(40):
            harness.cluster.put(policy(f"p{number}", f"o{number}"))
        await harness.start()
        await harness.live(100)
        harness.zitadel.failure = TransientError(Reason.SERVER_ERROR, "x")
        harness.instance_seen(
            replace(harness.cluster.instances["default"], requested_at="t")
        )
        await harness.live(1)
        seconds = [unknown(harness)]
        for _ in range(700):
            await harness.live(1)
            seconds.append(unknown(harness))
        assert seconds[596] == 0
        assert seconds[662] == 40
        assert max(b - a for a, b in pairwise(seconds)) <= 4
        await harness.stop()

    def unknown(harness: Harness) -> int:
        found = [
            find(p.status.conditions, "InSync")
            for p in harness.cluster.policies.values()
        ]
        return sum(sync is not None and sync.status == "Unknown" for sync in found)

    run(story())


@pytest.mark.parametrize("is_delivered", [True, False])
def test_a_new_object_inherits_no_backoff(*, is_delivered: bool) -> None:
    """That of policy, instance and events ends, with or without a deletion event."""

    async def story() -> None:
        harness = in_trouble()
        engine = await harness.start()
        await harness.live(200)
        assert harness.parts is not None
        queue = harness.parts.queue
        keys = [policy_key(PolicyKey("own", "p")), instance_key("default")]
        keys.append(events_key("default"))
        queue.failed(keys[2])
        assert all(queue.failures(key) for key in keys)
        if is_delivered:
            engine.watch_events.gone(policy_key(PolicyKey("own", "p")), "uid-p")
            engine.watch_events.gone(instance_key("default"), "i")
        engine.watch_events.seen(
            harness.cluster.put_instance(replace(INSTANCE, uid="i2"))
        )
        engine.watch_events.seen(harness.cluster.put(replace(policy("p"), uid="uid-2")))
        assert [queue.failures(key) for key in keys] == [0, 0, 0]
        await harness.stop()

    run(story())


def test_a_failure_of_the_former_object_does_not_count() -> None:
    """The pass that was running during the replacement was for the old object."""

    async def story() -> None:
        harness = Harness()
        engine = await harness.start()
        await harness.live(5)
        uids = iter(["uid-2"])

        async def observe(*_: object, **__: object) -> ObservedPolicy:
            for uid in uids:
                new = replace(policy("p"), uid=uid)
                engine.watch_events.seen(harness.cluster.put(new))
            raise ClusterError("x")

        instead_of(harness.zitadel.observe).call(observe)
        harness.seen(policy("p"))
        await harness.live(0.5)
        assert harness.parts is not None
        assert harness.parts.queue.failures(policy_key(PolicyKey("own", "p"))) == 1
        await harness.stop()

    run(story())


def test_tenants_name_no_lanes() -> None:
    """Policies that are not admitted share workers, whatever they name."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(replace(INSTANCE, grants=(Grant(("friend",)),)))
        names = {"own": "default", "friend": "default", "foe": "default"}
        policies = [
            replace(policy("p"), key=PolicyKey(namespace, "p"), instance=name)
            for namespace, name in names.items()
        ]
        for number in range(100):
            absent = replace(policy(f"p{number}"), instance=f"absent-{number}")
            policies.append(absent)
        for one in policies:
            harness.cluster.put(one)
        await harness.start()
        await harness.live(1)
        assert harness.parts is not None
        lanes = Lanes(harness.parts.inventory, 16)
        assert {lanes.lane_of(policy_key(one.key)) for one in policies} == {
            "policies of default",
            "refused by default",
            "of no instance",
        }
        await harness.stop()

    run(story())
