"""The engine: takes news, keeps the queue, runs passes, heals what a watch lost.

Everything runs in one event loop. A task that dies ends the engine; `failure` then
holds why, and the process must end with a non-zero code.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from zitadel_notification_operator.core.backoff import retry_delay
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.engine.events_pass import EventsPass
from zitadel_notification_operator.engine.instance_pass import InstancePass
from zitadel_notification_operator.engine.keys import (
    EVENTS,
    INSTANCE,
    POLICY,
    Key,
    events_key,
    instance_key,
    policy_key,
)
from zitadel_notification_operator.engine.meter import Result
from zitadel_notification_operator.engine.outcome import (
    AGAIN,
    WAIT,
    Outcome,
    Superseded,
)
from zitadel_notification_operator.engine.owners import Owners
from zitadel_notification_operator.engine.policy_pass import PolicyPass
from zitadel_notification_operator.engine.ports import ObjectReader
from zitadel_notification_operator.engine.room import Room
from zitadel_notification_operator.engine.subject import concerning, subject_of
from zitadel_notification_operator.engine.workqueue import Priority

STOP_PATIENCE = 12.0
"""Seconds for passes to end: the longest call to ZITADEL and a status after it."""

LEAD_RETRY = 1.0
"""Seconds between tries of the LIST that a take-over needs."""

RETRY_SHARE = 4
"""One turn in so many of an instance is for policies that have failed before."""

POLICIES_OF = "policies of "
"""Begins the name of the lane of an instance's policies."""

OFTEN = 3
"""Failures in a row after which a refused write is told."""

LIST_INTERVAL = 600.0
"""Seconds between the periodic LISTs that heal what a watch may have lost."""

_log = logging.getLogger(__name__)


class Engine:
    """One operator's engine; start it once, stop it once."""

    def __init__(self, room: Room, reader: ObjectReader, workers: int) -> None:
        self._room = room
        self._reader = reader
        self._policies = PolicyPass(room, Owners(room.inventory, self._reread_policy))
        self._instances = InstancePass(room)
        self._events = EventsPass(room)
        room.queue.divide(self._lane_of, workers, self._retries_of)
        self._workers = workers
        room.queue.close()
        self._tasks: list[asyncio.Task[None]] = []
        self._passes: set[asyncio.Task[None]] = set()
        self.filled = asyncio.Event()
        self.failed = asyncio.Event()
        self.failure: BaseException | None = None

    async def start(self) -> None:
        """Fill the inventory with one LIST of each kind, and keep it; run no passes.

        Raises:
            ClusterError: The first LIST failed.
        """
        await self._heal()
        self.filled.set()
        self._spawn(self._list_for_ever(), "list")

    async def lead(self, *, fresh: bool = False) -> None:
        """Ask for the passes that are due, and begin to run them.

        What is settled is left alone: an instance's first verdict plans its look-ups.

        Args:
            fresh: Nobody else has written since `start`. Otherwise all is read once
                more: the watch may not have told yet what the last leader wrote.
        """
        while not fresh:
            fresh = await self._try_to_heal("A take-over waits for a LIST")
            await asyncio.sleep(0 if fresh else LEAD_RETRY)
        room = self._room
        room.queue.open()
        for instance in room.inventory.instances.values():
            self._add(instance_key(instance.name), urgent=instance.deleting)
        for policy in room.inventory.policies.values():
            if not room.news.is_settled(policy):
                self._add(policy_key(policy.key), urgent=policy.deleting)
        self._spawn(self._work(), "work")

    async def stop(self) -> None:
        """Let no new pass begin, let running ones end with the call they are making.

        A write to ZITADEL is waited for: cut off, it might land after one of the next
        leader's.
        """
        self._room.term.end()
        self._room.queue.close()
        for task in self._tasks:
            task.cancel()
        if self._passes:
            await asyncio.wait(self._passes, timeout=STOP_PATIENCE)
        tasks = [*self._tasks, *self._passes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def abort(self, failure: BaseException) -> None:
        """End all passes in the middle of what they do, and fail."""
        self._room.term.end()
        self._room.queue.close()
        for task in [*self._tasks, *self._passes]:
            task.cancel()
        self._fail(failure)

    def has_policy(self, key: PolicyKey, uid: str, resource_version: str) -> bool:
        """Return whether an event would be an echo, so that nobody need read it."""
        return self._room.inventory.has_policy(key, uid, resource_version)

    def policy_seen(self, policy: PolicyObject) -> None:
        """Take a policy from the watch; an echo of what is known costs nothing."""
        known = self._room.inventory.policies.get(policy.key)
        is_echo = self._room.own_writes.explains(known, policy)
        concerned = self._room.inventory.put_policy(policy)
        if self._room.inventory.newest(policy) is None:
            return  # late news of one that is gone
        if known is not None and known.uid != policy.uid:
            self._room.drift.forget(policy.key)
            self._room.drift.reported(policy.key)
            self._room.contests.forget(policy.key)
            self._room.meter.gone(*policy.key)
        if is_echo:
            concerned.discard(policy.key)
        if known is None and self._room.news.is_settled(policy):
            # Known from an earlier life: nothing to do but its drift look-up, which
            # the instance's first verdict asks for.
            concerned.discard(policy.key)
            if self._room.connections.line(policy.instance).checked:
                self._look_later(policy)
        for key in concerned:
            urgent = key == policy.key and policy.deleting
            self._add(policy_key(key), urgent=urgent)

    def policy_gone(self, key: PolicyKey, uid: str = "") -> None:
        """Take the end of a policy from the watch; another of its name stays."""
        policy = self._room.inventory.policies.get(key)
        if self._room.inventory.ended.is_of_another(policy, uid):
            return
        if policy is not None:
            self._room.news.gone(policy)
        self._room.drift.forget(key)
        self._room.drift.reported(key)
        self._room.contests.forget(key)
        self._room.meter.gone(*key)
        self._room.queue.forget(policy_key(key))

    def instance_seen(self, instance: InstanceObject) -> None:
        """Take an instance from the watch."""
        known = self._room.inventory.instances.get(instance.name)
        moved = self._room.inventory.put_instance(instance)
        if moved is None:
            return
        if known is not None and known.uid != instance.uid:
            self._room.meter.gone("", instance.name)
        self._room.news.concerned(moved)
        self._add(instance_key(instance.name), urgent=instance.deleting)
        if known is None or known.grants != instance.grants:
            self._room.news.regranted(instance.name)
        if known is not None and _drift_settings(known) != _drift_settings(instance):
            self._look_sooner(instance)

    def instance_gone(self, name: str, uid: str = "") -> None:
        """Take the end of an instance from the watch; another of its name stays."""
        known = self._room.inventory.instances.get(name)
        if self._room.inventory.ended.is_of_another(known, uid):
            return
        self._room.news.concerned(self._room.inventory.drop_instance(name))
        self._room.connections.drop(name)
        self._room.meter.gone("", name)
        self._events.forget(name)
        # The pass over an instance that is gone closes its connections.
        self._room.queue.add(instance_key(name), Priority.DRIFT)
        self._room.news.concerned(self._room.inventory.users_of(name))

    async def _work(self) -> None:
        """Begin passes; the queue gives no more keys than may be worked on."""
        loop = asyncio.get_running_loop()
        while True:
            key = await self._room.queue.get()
            task = loop.create_task(self._pass(key), name=f"znp-pass {key}")
            self._passes.add(task)
            task.add_done_callback(self._passed)

    async def _pass(self, key: Key) -> None:
        self._room.queue.begin(key)
        try:
            with concerning(subject_of(key, self._room.inventory)):
                outcome = await self._look_at(key)
            self._room.meter.passed(key, outcome.result)
            self._schedule(key, outcome)
        finally:
            self._room.queue.done(key)

    def _lane_of(self, key: Key) -> str:
        """Keep instances apart: one that hangs takes nobody else's turns."""
        if key.kind in {INSTANCE, EVENTS}:
            return f"{key.kind} {key.name}"
        policy = self._room.inventory.policies.get(key.policy)
        return f"{POLICIES_OF}{policy.instance}" if policy else ""

    def _retries_of(self, lane: str) -> int:
        """Return how many of a lane's turns retries may take, and calls with them."""
        share = self._workers // RETRY_SHARE
        instance = self._room.inventory.instances.get(lane.removeprefix(POLICIES_OF))
        if instance is not None:
            share = min(share, instance.endpoint.rate_limit.max_concurrent - 1)
        return max(1, share)

    async def _look_at(self, key: Key) -> Outcome:
        """Run one pass; Kubernetes' troubles and our own faults end in backoff."""
        try:
            return await self._dispatch(key)
        except (ObjectGone, ObjectChanged) as error:
            if self._room.queue.failures(key) >= OFTEN:
                # Else somebody only was faster. Kubernetes says 422 to both.
                _log.warning("%s", error.message)
            await self._reread(key)
            return Outcome(priority=Priority.RETRY, failed=True)
        except Superseded:
            return AGAIN
        except ClusterError as error:
            _log.warning("%s", error.message)
            return Outcome(priority=Priority.RETRY, failed=True)
        except Exception:
            # A fault of ours must not take the other policies down with it; it is
            # logged whole, and this key is tried again at a growing distance.
            _log.exception("Failed a pass by a fault of the operator")
            return Outcome(priority=Priority.RETRY, failed=True, counts_as=Result.FAULT)

    async def _dispatch(self, key: Key) -> Outcome:
        inventory = self._room.inventory
        if key.kind == INSTANCE:
            instance = inventory.instances.get(key.name)
            if instance is None:
                await self._room.connector.disconnect(key.name)
                return WAIT
            return await self._instances.run(instance)
        if key.kind == EVENTS:
            instance = inventory.instances.get(key.name)
            return await self._events.run(instance) if instance else WAIT
        policy = inventory.policies.get(key.policy)
        if policy is None:
            return WAIT
        failures = self._room.queue.failures(key)
        return await self._policies.run(policy, failures)

    async def _reread(self, key: Key) -> None:
        """Take an object as it is now: a write found it other than we knew it."""
        try:
            if key.kind == POLICY:
                await self._reread_policy(key.policy)
            else:
                await self._reread_instance(key.name)
        except ClusterError as error:
            _log.warning("%s", error.message)

    async def _reread_policy(self, key: PolicyKey) -> None:
        known = self._room.inventory.policies.get(key)
        policy = await self._reader.read_policy(*key)
        if policy is not None:
            self.policy_seen(policy)
        elif known is not None:
            # Another of its name may have come while the answer was on its way.
            self.policy_gone(key, known.uid)

    async def _reread_instance(self, name: str) -> None:
        known = self._room.inventory.instances.get(name)
        instance = await self._reader.read_instance(name)
        if instance is not None:
            self.instance_seen(instance)
        elif known is not None:
            self.instance_gone(name, known.uid)

    def _schedule(self, key: Key, outcome: Outcome) -> None:
        queue = self._room.queue
        if outcome.failed:
            attempt = queue.failed(key)
            chance = self._room.chance.random()
            delay = retry_delay(attempt, chance, outcome.asked)
            queue.add_after(key, delay, Priority.RETRY)
            return
        queue.succeeded(key)
        if outcome.again_in is not None:
            queue.add_after(key, outcome.again_in, outcome.priority)

    async def _list_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._room.spread(LIST_INTERVAL))
            await self._try_to_heal("Periodic LIST failed")
            self._room.tidy()

    async def _try_to_heal(self, complaint: str) -> bool:
        try:
            await self._heal()
        except ClusterError as error:
            _log.warning("%s: %s", complaint, error.message)
            return False
        return True

    async def _heal(self) -> None:
        """Compare a LIST of each kind with the inventory and take the difference."""
        known_instances = set(self._room.inventory.instances)
        known_policies = set(self._room.inventory.policies)
        instances = await self._reader.list_instances()
        policies, unread = await self._reader.list_policies(
            self._room.inventory.policies
        )
        for instance in instances:
            self.instance_seen(instance)
        for policy in policies:
            self.policy_seen(policy)
        for name in known_instances - {instance.name for instance in instances}:
            await self._reread_instance(name)
        for key in known_policies - {policy.key for policy in policies}:
            if key.namespace not in unread:
                await self._reread_policy(key)
        for policy in list(self._room.inventory.policies.values()):
            # Nobody should be forgotten; whoever was is found here.
            if policy_key(policy.key) not in self._room.queue:
                self._look_later(policy)

    def _add(self, key: Key, *, urgent: bool) -> None:
        self._room.queue.add(key, Priority.DELETE if urgent else Priority.CHANGE)

    def _look_later(self, policy: PolicyObject) -> None:
        instance = self._room.inventory.instances.get(policy.instance)
        if instance is None:
            self._add(policy_key(policy.key), urgent=False)
            return
        interval = self._room.drift.interval(instance)
        if interval is not None:
            delay = interval * self._room.chance.random()
            self._room.queue.add_after(policy_key(policy.key), delay, Priority.DRIFT)

    def _look_sooner(self, instance: InstanceObject) -> None:
        """Plan the drift look-ups anew: how they are made has changed."""
        if self._room.drift.reads_events(instance):
            self._room.queue.add(events_key(instance.name), Priority.RETRY)
        if self._room.drift.interval(instance) is None:
            return
        for key in self._room.inventory.users_of(instance.name):
            delay = instance.poll_interval * self._room.chance.random()
            self._room.queue.add_after(policy_key(key), delay, Priority.DRIFT)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"znp-{name}")
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _passed(self, task: asyncio.Task[None]) -> None:
        self._passes.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._ended(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        self._fail(task.exception() or RuntimeError(f"{task.get_name()} ended"))

    def _fail(self, failure: BaseException) -> None:
        if self.failure is None:
            self.failure = failure
        self.failed.set()


def _drift_settings(instance: InstanceObject) -> tuple[str, float, float]:
    return instance.method, instance.events_interval, instance.poll_interval
