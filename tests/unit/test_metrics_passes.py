"""Metrics of passes: the engine on a virtual clock, and what it reports."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from support.engines import INSTANCE, Harness, compose, policy
from support.fakes import OTHERS
from support.settings import mails
from support.virtual_time import VirtualLoop, run
from unit.test_metrics import new_metrics, text, value
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.leader.engine import Engine
from zitadel_notification_operator.engine.queue.keys import instance_key, policy_key
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue
from zitadel_notification_operator.telemetry.passes import PRIORITIES


class Metered(Harness):
    """A harness whose engine has metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics = new_metrics()
        self.seed = 1

    async def start(self, workers: int = 4) -> Engine:
        """Start a process."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.parts = compose(
            self.cluster,
            self.zitadel,
            self.recorder,
            loop.now,
            workers=workers,
            seed=self.seed,
            metrics=self.metrics.passes,
        )
        self.metrics.watch(self.parts.queue, self.parts.inventory)
        self.engine = self.parts.engine
        await self.engine.start()
        await self.engine.lead(fresh=True)
        return self.engine

    def count(self, name: str, *more: str) -> float:
        """Return a metric's value for the controller of policies."""
        labels = {"controller": "notificationpolicy"}
        if name.startswith("workqueue"):
            labels["name"] = "notificationpolicy"
        if more:
            labels["result"] = more[0]
        found = value(self.metrics, name, **labels)
        assert found is not None, name
        return found


RESULT = "controller_runtime_reconcile_total"


def test_passes_are_counted_by_how_they_end() -> None:
    """Each pass counts once, each failure by its kind; queue and passes agree."""

    async def story() -> None:
        harness = Metered()
        harness.cluster.put(policy("good"))
        harness.cluster.put(policy("removed", "gone"))
        harness.zitadel.removed.add("gone")
        await harness.start()
        await harness.live(30)
        assert harness.count(RESULT, "requeue_after") >= 1
        assert harness.count(RESULT, "error") == 1
        assert harness.count("controller_runtime_reconcile_errors_total") == 1
        assert harness.count("controller_runtime_terminal_reconcile_errors_total") == 1
        assert harness.count("controller_runtime_reconcile_panics_total") == 0
        before = harness.count(RESULT, "error")
        harness.zitadel.failure = RuntimeError("nobody knows this one")
        harness.seen(
            replace(harness.policy("good"), settings=mails(True), generation=2)
        )
        await harness.live(20)
        faults = harness.count("controller_runtime_reconcile_panics_total")
        assert faults >= 2
        assert harness.count(RESULT, "error") == before + faults
        assert harness.count("workqueue_retries_total") == faults
        harness.zitadel.failure = None
        await harness.live(600)
        results = sum(
            harness.count(RESULT, result)
            for result in ("success", "error", "requeue", "requeue_after")
        )
        assert harness.count("workqueue_adds_total") == results
        assert harness.count("workqueue_queue_duration_seconds_count") == results
        assert harness.count("workqueue_work_duration_seconds_count") == results
        assert (
            harness.count("controller_runtime_reconcile_time_seconds_count") == results
        )
        assert harness.count("controller_runtime_active_workers") == 0
        assert harness.count("controller_runtime_max_concurrent_reconciles") == 4
        await harness.stop()

    run(story())


def test_drift_success_and_end_of_an_object_are_reported() -> None:
    """A correction counts once; the series of an object end with it."""

    async def story() -> None:
        harness = Metered()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(30)
        of_p = {"kind": "NotificationPolicy", "namespace": "own", "name": "p"}
        synced = "znp_last_successful_sync_timestamp_seconds"
        condition = "znp_status_condition"
        ready = {**of_p, "type": "Ready"}
        first = value(harness.metrics, synced, **of_p)
        assert first is not None
        assert abs(first - time.time()) < 60
        assert value(harness.metrics, condition, **ready, status="True") == 1
        assert value(harness.metrics, condition, **ready, status="False") == 0
        assert value(harness.metrics, condition, **ready, status="Unknown") is None
        assert harness.engine is not None
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(700)
        drifts = "znp_drift_corrections_total"
        assert value(harness.metrics, drifts, kind="NotificationPolicy") == 1
        stored = harness.policy("p")
        harness.seen(replace(stored, deleting=True, generation=stored.generation + 1))
        await harness.live(30)
        assert PolicyKey("own", "p") not in harness.cluster.policies
        harness.engine.watch_events.gone(policy_key(PolicyKey("own", "p")))
        assert 'name="p"' not in text(harness.metrics)
        of_instance = {"kind": "ZitadelInstance", "namespace": "", "name": "default"}
        assert value(harness.metrics, synced, **of_instance) is not None
        harness.engine.watch_events.gone(instance_key("default"))
        assert 'name="default"' not in text(harness.metrics)
        harness.engine.watch_events.seen(replace(INSTANCE, uid="another"))
        assert value(harness.metrics, synced, **of_instance) is None
        await harness.stop()

    run(story())


def test_a_pass_that_is_overtaken_begins_anew() -> None:
    """A spec that changes before the pass's call is no failure."""

    async def story() -> None:
        harness = Metered()
        harness.cluster.put(policy("p"))
        harness.zitadel.turn.clear()
        await harness.start()
        await harness.live(5)
        stored = harness.policy("p")
        harness.seen(replace(stored, settings=mails(True), generation=2))
        harness.zitadel.turn.set()
        await harness.live(5)
        assert harness.count(RESULT, "requeue") == 1
        assert harness.count(RESULT, "error") == 0
        await harness.stop()

    run(story())


def test_an_instance_that_waits_for_somebody_counts_as_terminal() -> None:
    """A refused credential is retried slowly, and fails each time."""

    async def story() -> None:
        harness = Metered()
        harness.zitadel.accepted = "another"
        await harness.start()
        await harness.live(120)
        mine = {"controller": "zitadelinstance"}
        terminal = "controller_runtime_terminal_reconcile_errors_total"
        assert (value(harness.metrics, terminal, **mine) or 0) >= 2
        failed = value(harness.metrics, RESULT, **mine, result="error")
        assert failed == value(harness.metrics, terminal, **mine)
        assert "znp_last_successful_sync_timestamp_seconds{" not in text(
            harness.metrics
        )
        await harness.stop()

    run(story())


@pytest.mark.parametrize("is_delivered", [True, False])
def test_a_namesake_does_not_inherit_the_success(*, is_delivered: bool) -> None:
    """It is another object, whether or not the old one's end was seen."""

    async def story() -> None:
        harness = Metered()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(30)
        of_p = {"kind": "NotificationPolicy", "namespace": "own", "name": "p"}
        synced = "znp_last_successful_sync_timestamp_seconds"
        assert value(harness.metrics, synced, **of_p) is not None
        assert harness.engine is not None
        if is_delivered:
            harness.engine.watch_events.gone(policy_key(PolicyKey("own", "p")))
        harness.engine.watch_events.seen(replace(policy("p"), uid="another"))
        assert value(harness.metrics, synced, **of_p) is None
        await harness.stop()

    run(story())


class RecordedCalls:
    """A metrics recorder of a queue that keeps the calls."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda key: self.recorded.append((name, key))


def test_the_queue_reports_each_step_once() -> None:
    """A second add of a waiting key does not count; a removed key is dropped."""

    async def story() -> None:
        metrics = RecordedCalls()
        first, other = instance_key("a"), instance_key("b")
        queue = WorkQueue(metrics)
        queue.add(first, Priority.DRIFT)
        queue.add(first, Priority.CHANGE)
        queue.add(other, Priority.CHANGE)
        assert sorted(queue.waiting()) == [
            (first, Priority.CHANGE),
            (other, Priority.CHANGE),
        ]
        queue.forget(other)
        assert await queue.get() == first
        queue.begin(first)
        queue.add(first, Priority.CHANGE)
        queue.failed(first)
        queue.done(first)
        assert metrics.recorded == [
            *(("added", first), ("added", other), ("dropped", other)),
            *(("taken", first), ("retried", first), ("done", first)),
            ("added", first),
        ]

    run(story())


def test_priorities_have_the_queue_s_order() -> None:
    """The labels of the depth are the queue's own names."""
    assert tuple(priority.name.lower() for priority in Priority) == PRIORITIES


def test_what_waits_and_runs_is_reported_at_each_scrape() -> None:
    """There is the depth by priority, and the time of the longest pass."""

    async def story() -> None:
        metrics = new_metrics()
        queue = WorkQueue(metrics.passes)
        inventory = Inventory("own")
        inventory.put(INSTANCE)
        metrics.watch(queue, inventory)
        for number in range(3):
            queue.add(policy_key(PolicyKey("own", f"p{number}")), Priority.RETRY)
        queue.add(instance_key("default"), Priority.DELETE)
        await queue.get()
        of_policies = {"name": "notificationpolicy", "controller": "notificationpolicy"}
        of_instances = {"name": "zitadelinstance", "controller": "zitadelinstance"}
        depth = "workqueue_depth"
        assert value(metrics, depth, **of_policies, priority="retry") == 3
        assert value(metrics, depth, **of_policies, priority="drift") == 0
        assert value(metrics, depth, **of_instances, priority="delete") == 0
        longest = "workqueue_longest_running_processor_seconds"
        assert value(metrics, longest, **of_policies) == 0
        assert (value(metrics, longest, **of_instances) or 0) > 0
        active = "controller_runtime_active_workers"
        assert value(metrics, active, controller="zitadelinstance") == 1

    run(story())
