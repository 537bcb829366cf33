"""Collects all metrics of the process; `definitions` says what each one means.

The engine reports to `passes`, and the adapters report each call to the two observer
methods of `Metrics`. What can be computed is computed at each scrape.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest

from zitadel_notification_operator.core.lease import name_of_lease

from . import definitions as known
from .objects import Inventory, ObjectMetrics
from .passes import PrometheusMetrics, Queue

_TOO_MANY_REQUESTS = "429"


class Build(NamedTuple):
    """What runs here.

    Attributes:
        version: The version of the operator.
        revision: The commit that it was built from.
        operator_class: The class of the instances that it serves.
    """

    version: str
    revision: str
    operator_class: str = ""


class Metrics:
    """All metrics of one process.

    Args:
        build: What runs here.
        leading: Called at each scrape; returns whether this replica leads.
        workers: How many passes over the policies of one instance may run at once.
        of_policies: Whether there are series for each policy.
    """

    def __init__(
        self,
        build: Build,
        leading: Callable[[], bool],
        workers: int,
        *,
        of_policies: bool = True,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self._objects = ObjectMetrics(leading, of_policies=of_policies)
        self.passes = PrometheusMetrics(registry, self._objects, workers)
        # Finding the child for some labels costs more than counting with it.
        self._kubernetes = cache(known.REST_REQUESTS.counter(registry).labels)
        self._zitadel = cache(known.REMOTE_REQUESTS.counter(registry).labels)
        self._zitadel_time = cache(known.REMOTE_DURATION.histogram(registry).labels)
        self._limited = known.RATE_LIMITED.counter(registry)
        lease = name_of_lease(build.operator_class)
        known.LEADER.gauge(registry, leading, lease)
        known.BUILD_INFO.gauge(registry, lambda: 1, *build)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    def watch(
        self,
        queue: Queue,
        inventory: Inventory,
        refused: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """Read these at each scrape from now on.

        Args:
            queue: The queue of the passes.
            inventory: The objects that this operator serves.
            refused: Returns the names of the instances of its class that another
                installation serves.
        """
        self.passes.queue = queue
        self._objects.inventory = inventory
        self._objects.refused = refused

    def zitadel_called(
        self, method: str, endpoint: str, code: str, seconds: float
    ) -> None:
        """Count a call to ZITADEL.

        Args:
            method: The HTTP method.
            endpoint: A path of `zitadel.calls`; there are few, and none contains an id.
            code: The HTTP status, or `error` if there was no response.
            seconds: The time from sending the request to the end of the response.
        """
        self._zitadel(method, endpoint, code).inc()
        self._zitadel_time(method, endpoint).observe(seconds)
        if code == _TOO_MANY_REQUESTS:
            self._limited.inc()

    def kubernetes_called(self, method: str, code: str, host: str) -> None:
        """Count a call to the API server; the code is an HTTP status or `<error>`."""
        self._kubernetes(code, method, host).inc()

    def parts(self) -> Iterator[bytes]:
        """Return the text of a scrape in parts that take about a millisecond each."""
        yield generate_latest(self.registry)
        yield from self._objects.parts()
