"""Runs the passes that are due, and decides when each key is due again."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from zitadel_notification_operator.core.backoff import retry_delay, spread
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.kinds import INSTANCE
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.instances.instance_pass import SECRET_INTERVAL
from zitadel_notification_operator.engine.queue.engine_metrics import (
    PassMetrics,
    Result,
)
from zitadel_notification_operator.engine.queue.keys import Key
from zitadel_notification_operator.engine.queue.outcome import (
    AGAIN,
    Outcome,
    RequeueAfter,
    StalePass,
)
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue
from zitadel_notification_operator.engine.reporting.event_outbox import level_of

from .log_context import concerning, log_context_of, uid_of
from .resync import Resync
from .serving_pass import ServingPass

OFTEN = 3
"""Consecutive failures of a key after which a refused write is logged as a warning."""

FAULT = "Failed a pass by a fault of the operator"
"""Is logged, with a traceback, when a pass ends with an unexpected exception."""

_log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class Passes:
    """Runs passes, each in a task of its own.

    Args:
        queue: Says which keys are due, and how many passes may run at once.
        inventory: Holds the objects.
        serving: Runs the pass over an object that this operator serves.
        resync: Reads an object again after a write has found another version.
        metrics: Counts the results.
        chance: The source of jitter.

    Attributes:
        running: The tasks of the passes that run now.
    """

    _queue: WorkQueue
    _inventory: Inventory
    _serving: ServingPass
    _resync: Resync
    _metrics: PassMetrics
    _chance: random.Random
    running: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def work(self, died: Callable[[asyncio.Task[None]], None]) -> None:
        """Begin a pass for each key; the queue limits how many run at once.

        Args:
            died: Called with the task of a pass that ended with an exception.
        """
        loop = asyncio.get_running_loop()

        def passed(task: asyncio.Task[None]) -> None:
            self.running.discard(task)
            if not task.cancelled() and task.exception() is not None:
                died(task)

        while True:
            key = await self._queue.get()
            task = loop.create_task(self._pass(key), name=f"znp-pass {key}")
            self.running.add(task)
            task.add_done_callback(passed)

    async def _pass(self, key: Key) -> None:
        self._queue.begin(key)
        about = uid_of(key, self._inventory)
        try:
            with concerning(log_context_of(key, self._inventory)):
                outcome = await self._look_at(key)
            self._metrics.passed(key, outcome.result)
            if outcome.failed and uid_of(key, self._inventory) != about:
                # The name belongs to a different object by now: the failure does not
                # count against that one.
                self._queue.succeeded(key)
                outcome = AGAIN
            self._schedule(key, outcome)
        finally:
            self._queue.done(key)

    async def _look_at(self, key: Key) -> Outcome:
        """Run one pass; errors of Kubernetes and our own bugs end in a backoff."""
        failures = self._queue.failures(key)
        try:
            return await self._serving.run(key, failures)
        except (ObjectGone, ObjectChanged) as error:
            if self._queue.failures(key) >= OFTEN:
                # Fewer failures only mean that somebody else wrote first. Kubernetes
                # answers 422 both to such a conflict and to a write that it refuses.
                _log.warning("%s", error.message)
            await self._resync.try_to_reread(key)
            return Outcome.back_off()
        except StalePass:
            return AGAIN
        except RequeueAfter as wait:
            return Outcome.retry_in(spread(wait.seconds, self._chance.random()))
        except ClusterError as error:
            _log.log(level_of(error), "%s", error.message)
            return Outcome.back_off(error.retry_after)
        except Exception:
            # A bug of ours must not stop the other policies. It is logged with its
            # traceback, and this key is retried with a growing delay.
            _log.exception(FAULT)
            return Outcome(priority=Priority.RETRY, failed=True, counts_as=Result.FAULT)

    def _schedule(self, key: Key, outcome: Outcome) -> None:
        queue = self._queue
        if outcome.failed:
            attempt = queue.failed(key)
            delay = retry_delay(attempt, self._chance.random(), outcome.asked)
            if key.kind is INSTANCE:
                # The Secret is still read regularly, however long ZITADEL asks us to
                # wait.
                delay = min(delay, spread(SECRET_INTERVAL, self._chance.random()))
            queue.add_after(key, delay, Priority.RETRY)
            return
        queue.succeeded(key)
        if outcome.again_in is not None:
            queue.add_after(key, outcome.again_in, outcome.priority)
