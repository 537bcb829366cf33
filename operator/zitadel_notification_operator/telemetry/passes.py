"""Counts passes and the queue's waiting objects, with controller-runtime's names.

`PassMeter` has the shape of the engine's `Meter` and `QueueMeter`. A search for an
instance's events is work on that instance and is counted as such.
"""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.core.read_side import Missed
from zitadel_notification_operator.telemetry import definitions as known
from zitadel_notification_operator.telemetry.objects import (
    INSTANCE,
    POLICY,
    ObjectMetrics,
)

CONTROLLERS = (POLICY.lower(), INSTANCE.lower())
"""The kinds that passes are about, written as controller-runtime does."""

PRIORITIES = ("delete", "change", "retry", "drift")

_RESULTS = ("success", "error", "requeue", "requeue_after")
_PASSES_OF_INSTANCE = 2

Key = tuple[str, str, str]
"""Kind, namespace and name: an item of the queue."""


class Queue(Protocol):
    """The work queue; the engine's class has this shape."""

    def waiting(self) -> Iterable[tuple[Key, IntEnum]]:
        """Return the keys that wait for their turn now, with their priorities."""
        ...


@dataclass(frozen=True, slots=True)
class _Controller:
    """The metrics of one controller, with labels set: no pass has to look them up."""

    results: Mapping[str, Counter]
    errors: Counter
    terminal: Counter
    panics: Counter
    time: Histogram
    adds: Counter
    waited: Histogram
    worked: Histogram
    retries: Counter


class PassMeter:
    """Counts passes and measures their times with the monotonic performance counter.

    Args:
        registry: Where the metrics are registered.
        objects: Receives which objects were synced.
    """

    def __init__(self, registry: CollectorRegistry, objects: ObjectMetrics) -> None:
        self._objects = objects
        self._added: dict[Key, float] = {}
        self._taken: dict[Key, float] = {}
        self._controllers = _controllers(registry)
        self._corrections = known.DRIFT_CORRECTIONS.counter(registry).labels(POLICY)
        self._repairs = known.READ_SIDE_REPAIRS.counter(registry)
        for missed in Missed:
            self._repairs.labels(str(missed))  # so that the first repair is an increase
        self._searches = known.EVENT_SEARCH_FAILURES.counter(registry)

    def added(self, key: Key) -> None:
        """Record that a key has begun to wait for its turn."""
        self._added[key] = time.perf_counter()
        self._of(key).adds.inc()

    def taken(self, key: Key) -> None:
        """Record that the turn of a key has begun."""
        self._taken[key] = now = time.perf_counter()
        self._of(key).waited.observe(now - self._added.pop(key, now))

    def done(self, key: Key) -> None:
        """Record that the turn of a key is over."""
        now = time.perf_counter()
        self._of(key).worked.observe(now - self._taken.pop(key, now))

    def retried(self, key: Key) -> None:
        """Count that a key will be retried after a growing delay."""
        self._of(key).retries.inc()

    def dropped(self, key: Key) -> None:
        """Forget a key that no longer waits."""
        self._added.pop(key, None)

    def passed(self, key: Key, result: str) -> None:
        """Count a pass; the result is one of the engine's `Result`."""
        controller = self._of(key)
        now = time.perf_counter()
        controller.time.observe(now - self._taken.get(key, now))
        if result in {"error", "terminal", "fault"}:
            controller.results["error"].inc()
            controller.errors.inc()
        else:
            controller.results[result].inc()
        if result == "terminal":
            controller.terminal.inc()
        elif result == "fault":
            controller.panics.inc()

    def corrected(self) -> None:
        """Count a drift that was corrected."""
        self._corrections.inc()

    def repaired(self, missed: str) -> None:
        """Count a repair of ZITADEL's read side, by the kind of event it had missed."""
        self._repairs.labels(missed).inc()

    def search_failed(self, instance: str) -> None:
        """Count a failed search of an instance's events."""
        self._searches.labels(instance).inc()

    def deprecated(self, instance: str, found: Deprecation | None) -> None:
        """Store which calls an instance's ZITADEL has marked as deprecated."""
        self._objects.deprecated[instance] = found

    def synced(self, about: PolicyObject | InstanceObject) -> None:
        """Record that an object is now as its spec wants it."""
        key = ("", about.name) if isinstance(about, InstanceObject) else about.key
        self._objects.synced[key] = time.time()

    def gone(self, namespace: str, name: str) -> None:
        """Forget an object; the namespace of an instance is empty."""
        self._objects.synced.pop((namespace, name), None)
        if not namespace:
            self._searches.remove_by_labels({"name": name})
            self._objects.deprecated.pop(name, None)

    def running(self) -> dict[str, list[float]]:
        """Return how long each running pass has taken so far, by controller."""
        now = time.perf_counter()
        found: dict[str, list[float]] = {name: [] for name in CONTROLLERS}
        for key, since in self._taken.items():
            found[controller_of(key)].append(now - since)
        return found

    def _of(self, key: Key) -> _Controller:
        return self._controllers[controller_of(key)]


class AtScrape(Collector):
    """Collects at each scrape what waits and what runs.

    Args:
        meter: Knows the running passes.
        queue: Returns the queue, or None if there is none yet.
        instances: Returns the number of instances.
        workers: How many passes over the policies of one instance may run at once.
    """

    def __init__(
        self,
        meter: PassMeter,
        queue: Callable[[], Queue | None],
        instances: Callable[[], int],
        workers: int,
    ) -> None:
        self._meter = meter
        self._queue = queue
        self._instances = instances
        self._workers = workers

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metric families."""
        active, most = known.ACTIVE_WORKERS.family(), known.MAX_CONCURRENT.family()
        unfinished, longest = (
            known.UNFINISHED_WORK.family(),
            known.LONGEST_RUNNING.family(),
        )
        widths = (self._workers, _PASSES_OF_INSTANCE)
        for width, (name, times) in zip(
            widths, self._meter.running().items(), strict=True
        ):
            active.add_metric([name], len(times))
            most.add_metric([name], width * self._instances())
            unfinished.add_metric([name, name], sum(times))
            longest.add_metric([name, name], max(times, default=0.0))
        yield from (active, most, self._depth(), unfinished, longest)

    def _depth(self) -> GaugeMetricFamily:
        depth = known.DEPTH.family()
        queue = self._queue()
        waiting = queue.waiting() if queue is not None else ()
        tally = Tally((controller_of(key), int(rank)) for key, rank in waiting)
        for name in CONTROLLERS:
            for rank, priority in enumerate(PRIORITIES):
                depth.add_metric([name, name, priority], tally[name, rank])
        return depth


def controller_of(key: Key) -> str:
    """Return the controller label of a key."""
    return CONTROLLERS[0] if key[0] == POLICY else CONTROLLERS[1]


def _controllers(registry: CollectorRegistry) -> dict[str, _Controller]:
    """Register the metrics; all children start at zero, so that rates are correct."""
    results = known.RECONCILE_TOTAL.counter(registry)
    errors = known.RECONCILE_ERRORS.counter(registry)
    terminal = known.TERMINAL_ERRORS.counter(registry)
    panics = known.PANICS.counter(registry)
    timeouts = known.TIMEOUTS.counter(registry)
    times = known.RECONCILE_TIME.histogram(registry)
    adds = known.ADDS.counter(registry)
    waited = known.QUEUE_DURATION.histogram(registry)
    worked = known.WORK_DURATION.histogram(registry)
    retries = known.RETRIES.counter(registry)
    made = {}
    for name in CONTROLLERS:
        timeouts.labels(name)
        made[name] = _Controller(
            {result: results.labels(name, result) for result in _RESULTS},
            errors.labels(name),
            terminal.labels(name),
            panics.labels(name),
            times.labels(name),
            adds.labels(name, name),
            waited.labels(name, name),
            worked.labels(name, name),
            retries.labels(name, name),
        )
    return made
