"""The engine takes watch events, keeps the work queue and runs the passes.

It also compares a periodic LIST with its cache, to find what a watch has lost.
Everything runs in one event loop. If a background task dies, the engine has failed:
`failure` then holds the exception, and the process must exit with a non-zero code.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from zitadel_notification_operator.core.backoff import bounded_delay, retry_delay
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.engine.crds import Crds
from zitadel_notification_operator.engine.events_pass import EventsPass
from zitadel_notification_operator.engine.healing import Healing
from zitadel_notification_operator.engine.instance_pass import (
    SECRET_INTERVAL,
    InstancePass,
)
from zitadel_notification_operator.engine.keys import (
    EVENTS,
    INSTANCE,
    POLICY,
    Key,
    events_key,
    instance_key,
    policy_key,
)
from zitadel_notification_operator.engine.lanes import Lanes
from zitadel_notification_operator.engine.meter import Result
from zitadel_notification_operator.engine.outcome import (
    AGAIN,
    WAIT,
    LookAgain,
    Outcome,
    Superseded,
    back_off,
    retry_in,
)
from zitadel_notification_operator.engine.owners import Owners
from zitadel_notification_operator.engine.policy_pass import PolicyPass
from zitadel_notification_operator.engine.ports import ObjectReader
from zitadel_notification_operator.engine.room import Room
from zitadel_notification_operator.engine.subject import (
    concerning,
    subject_of,
    uid_of,
)
from zitadel_notification_operator.engine.workqueue import Priority

STOP_PATIENCE = 12.0
"""Seconds that running passes get to end: enough for the longest call to ZITADEL and
the status write after it."""


OFTEN = 3
"""Consecutive failures of a key after which a refused write is logged as a warning."""

FAULT = "Failed a pass by a fault of the operator"
"""Is logged, with a traceback, when a pass ends with an unexpected exception."""

_log = logging.getLogger(__name__)


class Engine:
    """The engine of one operator process; start it once and stop it once.

    Attributes:
        filled: Set when the first LIST of each kind is in the inventory.
        failed: Set when the engine has failed.
        failure: The exception that the engine has failed with.
    """

    def __init__(self, room: Room, reader: ObjectReader, workers: int) -> None:
        self._room = room
        self._healing = Healing(room, reader, self)
        self._crds = Crds(reader.crd_is_ending, self._crd_ending)
        owners = Owners(room.inventory, self._healing.reread_policy)
        self._policies = PolicyPass(room, owners, self._crds)
        self._instances = InstancePass(room, self._crds)
        self._events = EventsPass(room)
        lanes = Lanes(room.inventory, workers)
        room.queue.divide(lanes.lane_of, workers, lanes.retries_of)
        room.queue.close()
        self._tasks: list[asyncio.Task[None]] = []
        self._passes: set[asyncio.Task[None]] = set()
        self.filled = asyncio.Event()
        self.failed = asyncio.Event()
        self.failure: BaseException | None = None

    async def start(self) -> None:
        """Fill the inventory with one LIST of each kind and keep it up to date.

        No pass runs before `lead`.

        Raises:
            ClusterError: The first LIST failed.
        """
        await self._heal()
        self.filled.set()
        self._spawn(self._list_for_ever(), "list")

    async def lead(self, *, fresh: bool = False) -> None:
        """Queue the passes that are due and begin to run them.

        A policy whose stored status still holds is not queued: the first verdict on its
        instance schedules its drift check.

        Args:
            fresh: Whether nobody else can have written since `start`. Otherwise all
                objects are listed once more, because the watch may not have delivered
                yet what the last leader wrote.
        """
        attempt = 0
        while not fresh:
            trouble = await self._try_to_heal("A take-over waits for a LIST")
            fresh, attempt = trouble is None, attempt + 1
            if trouble is not None:
                chance = self._room.chance.random()
                asked = trouble.retry_after
                await asyncio.sleep(bounded_delay(attempt, chance, asked))
        room = self._room
        room.queue.open()
        for instance in room.inventory.instances.values():
            self._add(instance_key(instance.name), urgent=instance.deleting)
        for policy in room.inventory.policies.values():
            if not room.news.is_settled(policy):
                self._add(policy_key(policy.key), urgent=policy.deleting)
        self._spawn(self._work(), "work")

    async def stop(self) -> None:
        """Begin no new pass, and let running ones end with the call they are making.

        A write to ZITADEL under way is awaited: a cancelled one might take effect after
        a write of the next leader.
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
        """Cancel all passes, wherever they are, and mark the engine as failed."""
        self._room.term.end()
        self._room.queue.close()
        for task in [*self._tasks, *self._passes]:
            task.cancel()
        self._fail(failure)

    def doubt(self) -> None:
        """Trust no cached object any longer: Kubernetes has gone back to older data."""
        self._room.doubts.set()

    def has_policy(self, key: PolicyKey, uid: str, resource_version: str) -> bool:
        """Return whether this version or a newer one is known already.

        Such an event needs no parsing.
        """
        return self._room.inventory.has_policy(key, uid, resource_version)

    def policy_seen(self, policy: PolicyObject) -> None:
        """Store a policy that the watch delivered and queue the policies it affects.

        An event that only echoes what is known already queues nothing.
        """
        known = self._room.inventory.policies.get(policy.key)
        is_echo = self._room.own_writes.explains(known, policy)
        concerned = self._room.inventory.put_policy(policy)
        if self._room.inventory.newest(policy) is None:
            return  # a late event of an object that is known to be deleted
        if policy.deleting:
            self._crds.seen(policy.uid)
        if known is None or known.uid != policy.uid:
            # The failures of an earlier object of this name do not count for this one.
            self._room.queue.succeeded(policy_key(policy.key))
        if known is not None and known.uid != policy.uid:
            self._room.drift.forget(policy.key)
            self._room.drift.reported(policy.key)
            self._room.contests.forget(policy.key)
            self._room.meter.gone(*policy.key)
        if is_echo:
            concerned.discard(policy.key)
        if known is None and self._room.news.is_settled(policy):
            # A stored status from before the start of this process still holds. Only
            # the drift check is left, and the instance's first verdict schedules that.
            concerned.discard(policy.key)
            if self._room.connections.line(policy.instance).checked:
                self._look_later(policy)
        for key in concerned:
            urgent = key == policy.key and policy.deleting
            self._add(policy_key(key), urgent=urgent)

    def policy_gone(self, key: PolicyKey, uid: str = "") -> None:
        """Forget a policy whose deletion the watch reported.

        Nothing happens if the name belongs to a different object by now.
        """
        policy = self._room.inventory.policies.get(key)
        self._crds.forget(uid)
        if self._room.inventory.ended.is_of_another(policy, uid):
            return
        if policy is not None:
            self._room.news.gone(policy)
        self._room.drift.forget(key)
        self._room.drift.reported(key)
        self._room.contests.forget(key)
        self._room.accounts.forget(key)
        self._room.meter.gone(*key)
        self._room.queue.forget(policy_key(key))

    def instance_seen(self, instance: InstanceObject) -> None:
        """Store an instance that the watch delivered and queue what it affects."""
        known = self._room.inventory.instances.get(instance.name)
        if instance.deleting:
            self._crds.seen(instance.uid)
        moved = self._room.inventory.put_instance(instance)
        if moved is None:
            return
        if known is None or known.uid != instance.uid:
            # As for policies.
            self._room.queue.succeeded(instance_key(instance.name))
            self._room.queue.succeeded(events_key(instance.name))
        if known is not None and known.uid != instance.uid:
            self._room.meter.gone("", instance.name)
            # What was found out about the earlier object does not apply to this one.
            self._room.connections.drop(instance.name)
            self._room.news.concerned(self._room.inventory.users_of(instance.name))
        self._room.news.concerned(moved)
        self._add(instance_key(instance.name), urgent=instance.deleting)
        if known is None or known.grants != instance.grants:
            self._room.news.regranted(instance.name)
        if known is not None and _drift_settings(known) != _drift_settings(instance):
            self._look_sooner(instance)

    def instance_gone(self, name: str, uid: str = "") -> None:
        """Forget an instance whose deletion the watch reported.

        Nothing happens if the name belongs to a different object by now.
        """
        known = self._room.inventory.instances.get(name)
        if self._room.inventory.ended.is_of_another(known, uid):
            return
        self._room.news.concerned(self._room.inventory.drop_instance(name))
        self._room.connections.drop(name)
        self._room.drift.drop(name)
        self._room.meter.gone("", name)
        self._events.forget(name)
        self._room.queue.succeeded(events_key(name))
        self._room.queue.succeeded(instance_key(name))
        # The pass over an instance that is gone closes its connections.
        self._room.queue.add(instance_key(name), Priority.DRIFT)
        self._room.news.concerned(self._room.inventory.users_of(name))

    def _crd_ending(self, kind: str) -> None:
        """Queue all objects of a kind that are being deleted.

        Their CRD is being deleted too, so they need not wait for anything any longer.
        """
        inventory = self._room.inventory
        dying = [i for i in inventory.instances.values() if i.deleting]
        keys = [instance_key(instance.name) for instance in dying]
        if kind == POLICY:
            keys = [
                policy_key(p.key) for p in inventory.policies.values() if p.deleting
            ]
        for key in keys:
            self._add(key, urgent=True)

    async def _work(self) -> None:
        """Begin a pass for each key; the queue limits how many run at once."""
        loop = asyncio.get_running_loop()
        while True:
            key = await self._room.queue.get()
            task = loop.create_task(self._pass(key), name=f"znp-pass {key}")
            self._passes.add(task)
            task.add_done_callback(self._passed)

    async def _pass(self, key: Key) -> None:
        self._room.queue.begin(key)
        about = uid_of(key, self._room.inventory)
        try:
            with concerning(subject_of(key, self._room.inventory)):
                outcome = await self._look_at(key)
            self._room.meter.passed(key, outcome.result)
            if outcome.failed and uid_of(key, self._room.inventory) != about:
                # The name belongs to a different object by now: the failure does not
                # count against that one.
                self._room.queue.succeeded(key)
                outcome = AGAIN
            self._schedule(key, outcome)
        finally:
            self._room.queue.done(key)

    async def _look_at(self, key: Key) -> Outcome:
        """Run one pass; errors of Kubernetes and our own bugs end in a backoff."""
        try:
            return await self._dispatch(key)
        except (ObjectGone, ObjectChanged) as error:
            if self._room.queue.failures(key) >= OFTEN:
                # Fewer failures only mean that somebody else wrote first. Kubernetes
                # answers 422 both to such a conflict and to a write that it refuses.
                _log.warning("%s", error.message)
            await self._reread(key)
            return Outcome(priority=Priority.RETRY, failed=True)
        except Superseded:
            return AGAIN
        except LookAgain as wait:
            return retry_in(self._room.spread(wait.seconds))
        except ClusterError as error:
            _log.log(_level(error), "%s", error.message)
            return back_off(error.retry_after)
        except Exception:
            # A bug of ours must not stop the other policies. It is logged with its
            # traceback, and this key is retried with a growing delay.
            _log.exception(FAULT)
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
        """Read an object again, because a write found a different version than ours."""
        try:
            if key.kind == POLICY:
                await self._healing.reread_policy(key.policy)
            else:
                await self._healing.reread_instance(key.name)
        except ClusterError as error:
            _log.log(_level(error), "%s", error.message)

    def _schedule(self, key: Key, outcome: Outcome) -> None:
        queue = self._room.queue
        if outcome.failed:
            attempt = queue.failed(key)
            chance = self._room.chance.random()
            delay = retry_delay(attempt, chance, outcome.asked)
            if key.kind == INSTANCE:
                # The Secret is still read regularly, however long ZITADEL asks us to
                # wait.
                delay = min(delay, self._room.spread(SECRET_INTERVAL))
            queue.add_after(key, delay, Priority.RETRY)
            return
        queue.succeeded(key)
        if outcome.again_in is not None:
            queue.add_after(key, outcome.again_in, outcome.priority)

    async def _list_for_ever(self) -> None:
        while True:
            await self._healing.wait()
            await self._try_to_heal("Periodic LIST failed")
            self._crds.keep(self._room.tidy())

    async def _try_to_heal(self, complaint: str) -> ClusterError | None:
        try:
            await self._heal()
        except ClusterError as error:
            _log.log(_level(error), "%s: %s", complaint, error.message)
            return error
        return None

    async def _heal(self) -> None:
        """List each kind, store what differs, and schedule checks that are missing."""
        await self._healing.run()
        for policy in list(self._room.inventory.policies.values()):
            # Where drift is polled, every policy should have a check scheduled; one
            # that has none gets it here.
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
        """Reschedule the drift checks, because their method or interval has changed."""
        if self._room.drift.searches(instance):
            self._room.queue.add(events_key(instance.name), Priority.RETRY)
        interval = self._room.drift.interval(instance)
        if interval is None:
            return
        for key in self._room.inventory.users_of(instance.name):
            delay = interval * self._room.chance.random()
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


def _level(error: ClusterError) -> int:
    """Return the log level for an error: a warning the first time, else debug."""
    return logging.WARNING if error.claim_telling() else logging.DEBUG


def _drift_settings(instance: InstanceObject) -> tuple[str, float, float]:
    return instance.method, instance.events_interval, instance.poll_interval
