"""What Prometheus may scrape: names of controller-runtime where it has them.

The set is small on purpose; every label is bounded (conventions 4.1-4.3).
"""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)


def build_metrics(
    version: str, depth: Callable[[], int], leading: Callable[[], bool]
) -> CollectorRegistry:
    """Return a registry with build, process and work queue figures.

    Args:
        version: Of the operator.
        depth: Asked at each scrape: how many keys wait for a worker.
        leading: Likewise: whether this replica may act.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    Info("znp_build", "The operator's version.", registry=registry).info(
        {"version": version}
    )
    waiting = Gauge(
        "workqueue_depth",
        "Keys that wait for a worker.",
        ["name"],
        registry=registry,
    )
    waiting.labels(name="operator").set_function(depth)
    leads = Gauge(
        "leader_election_master_status",
        "1 while this replica leads, 0 while it stands by.",
        ["name"],
        registry=registry,
    )
    leads.labels(name="zitadel-notification-operator").set_function(leading)
    return registry
