"""Counts passes and the queue's waiting objects, with controller-runtime's names.

`PrometheusMetrics` has the shape of the engine's `PassMetrics`. A search for an
instance's events is work on that instance and is counted as such.
"""

import time
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.kinds import INSTANCE, KINDS, POLICY, Kind
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.read_side import Missed

from . import definitions as known
from .objects import ObjectMetrics

CONTROLLERS = tuple(kind.name.lower() for kind in KINDS)
"""The kinds that have passes, written as controller-runtime does."""

PRIORITIES = ("delete", "change", "retry", "drift")

_RESULTS = ("success", "error", "requeue", "requeue_after")
_PASSES_OF_INSTANCE = 2

Key = tuple[Kind, str, str]
"""Kind, namespace and name: an item of the queue."""


class Queue(Protocol):
    """The work queue; the engine's class has this shape."""

    def waiting(self) -> Iterable[tuple[Key, IntEnum]]:
        """Return the keys that wait for their turn now, with their priorities."""
        ...


class PrometheusMetrics(Collector):
    """Counts passes and measures their times with the monotonic performance counter.

    It is also a collector of the client library: at each scrape it returns how many
    objects wait and how many passes run.

    Args:
        registry: Where the metrics are registered.
        objects: Where the time of an object's last success is stored.
        workers: How many passes over the policies of one instance may run at once.

    Attributes:
        queue: The queue of the passes; None if there is none yet.
    """

    def __init__(
        self, registry: CollectorRegistry, objects: ObjectMetrics, workers: int
    ) -> None:
        self.queue: Queue | None = None
        self._objects = objects
        self._most = (workers, workers, _PASSES_OF_INSTANCE)
        self._added: dict[Key, float] = {}
        self._taken: dict[Key, float] = {}
        # All children start at zero, so that rates are correct.
        one = [(name,) for name in CONTROLLERS]
        two = [(name, name) for name in CONTROLLERS]
        results = [(name, result) for name in CONTROLLERS for result in _RESULTS]
        self._results = known.RECONCILE_TOTAL.counter(registry, results)
        self._errors = known.RECONCILE_ERRORS.counter(registry, one)
        self._terminal = known.TERMINAL_ERRORS.counter(registry, one)
        self._panics = known.PANICS.counter(registry, one)
        known.TIMEOUTS.counter(registry, one)
        self._time = known.RECONCILE_TIME.histogram(registry, one)
        self._adds = known.ADDS.counter(registry, two)
        self._waited = known.QUEUE_DURATION.histogram(registry, two)
        self._worked = known.WORK_DURATION.histogram(registry, two)
        self._retries = known.RETRIES.counter(registry, two)
        self._corrections = known.DRIFT_CORRECTIONS.counter(registry, [(POLICY.name,)])
        missed = [(str(missed),) for missed in Missed]
        self._repairs = known.READ_SIDE_REPAIRS.counter(registry, missed)
        self._searches = known.EVENT_SEARCH_FAILURES.counter(registry)
        registry.register(self)

    def added(self, key: Key) -> None:
        """Record that a key has begun to wait for its turn."""
        self._added[key] = time.perf_counter()
        self._adds.labels(*_queue_of(key)).inc()

    def taken(self, key: Key) -> None:
        """Record that the turn of a key has begun."""
        self._taken[key] = now = time.perf_counter()
        waited = now - self._added.pop(key, now)
        self._waited.labels(*_queue_of(key)).observe(waited)

    def done(self, key: Key) -> None:
        """Record that the turn of a key is over."""
        now = time.perf_counter()
        worked = now - self._taken.pop(key, now)
        self._worked.labels(*_queue_of(key)).observe(worked)

    def retried(self, key: Key) -> None:
        """Count that a key will be retried after a growing delay."""
        self._retries.labels(*_queue_of(key)).inc()

    def dropped(self, key: Key) -> None:
        """Forget a key that no longer waits."""
        self._added.pop(key, None)

    def passed(self, key: Key, result: str) -> None:
        """Count a pass; the result is one of the engine's `Result`."""
        name, now = controller_of(key), time.perf_counter()
        self._time.labels(name).observe(now - self._taken.get(key, now))
        if result in {"error", "terminal", "fault"}:
            self._results.labels(name, "error").inc()
            self._errors.labels(name).inc()
        else:
            self._results.labels(name, result).inc()
        if result == "terminal":
            self._terminal.labels(name).inc()
        elif result == "fault":
            self._panics.labels(name).inc()

    def corrected(self) -> None:
        """Count a drift that was corrected."""
        self._corrections.labels(POLICY.name).inc()

    def repaired(self, missed: str) -> None:
        """Count a repair of ZITADEL's read side, by the kind of event it had missed."""
        self._repairs.labels(missed).inc()

    def search_failed(self, instance: str) -> None:
        """Count a failed search of an instance's events."""
        self._searches.labels(instance).inc()

    def deprecated(self, instance: str, found: Deprecation | None) -> None:
        """Store which calls an instance's ZITADEL has marked as deprecated."""
        self._objects.deprecated[instance] = found

    def synced(self, about: OwnObject) -> None:
        """Record that a pass over an object has succeeded."""
        self._objects.succeeded(about, time.time())

    def gone(self, key: Key) -> None:
        """Forget an object."""
        kind, namespace, name = key
        self._objects.synced[kind].pop((namespace, name), None)
        if kind is INSTANCE:
            self._searches.remove_by_labels({"name": name})
            self._objects.deprecated.pop(name, None)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics of objects that wait and of passes that run now."""
        active, most = known.ACTIVE_WORKERS.family(), known.MAX_CONCURRENT.family()
        unfinished = known.UNFINISHED_WORK.family()
        longest = known.LONGEST_RUNNING.family()
        inventory, now = self._objects.inventory, time.perf_counter()
        instances = len(inventory.instances) if inventory is not None else 0
        for name, width in zip(CONTROLLERS, self._most, strict=True):
            times = [
                now - since
                for key, since in self._taken.items()
                if controller_of(key) == name
            ]
            active.add_metric([name], len(times))
            most.add_metric([name], width * instances)
            unfinished.add_metric([name, name], sum(times))
            longest.add_metric([name, name], max(times, default=0.0))
        yield from (active, most, self._depth(), unfinished, longest)

    def _depth(self) -> GaugeMetricFamily:
        depth = known.DEPTH.family()
        waiting = self.queue.waiting() if self.queue is not None else ()
        tally = Tally((controller_of(key), int(rank)) for key, rank in waiting)
        for name in CONTROLLERS:
            for rank, priority in enumerate(PRIORITIES):
                depth.add_metric([name, name, priority], tally[name, rank])
        return depth


def controller_of(key: Key) -> str:
    """Return the controller label of a key."""
    kind = key[0] if key[0] in KINDS else INSTANCE
    return kind.name.lower()


def _queue_of(key: Key) -> tuple[str, str]:
    """Return the labels of a key's queue; the queue has the name of the controller."""
    return controller_of(key), controller_of(key)
