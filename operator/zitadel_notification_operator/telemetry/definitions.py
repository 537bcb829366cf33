"""Defines every metric in one place: name, type, labels and meaning.

`docs/reference/metrics.md` is generated from this file (`tools/metrics_page.py`). A
metric that controller-runtime has, too, has the same name here, so that existing
dashboards work. Every label is bounded: there are no ids, addresses or error texts
(conventions 4.1-4.3).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

RECONCILE_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5),
    *(0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
    *(10, 15, 20, 25, 30, 40, 50, 60),
)
"""In seconds; the same as in controller-runtime."""

QUEUE_BUCKETS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10, 100, 1000)
"""In seconds; the same as in controller-runtime."""

REMOTE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""In seconds; a call may take ten."""


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition of one metric.

    Attributes:
        kind: `counter`, `gauge` or `histogram`.
        help: A sentence for people; `/metrics` shows it, too.
        buckets: The upper bounds in seconds; only for histograms.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()

    def counter(self, registry: CollectorRegistry) -> Counter:
        """Register the counter and return it."""
        return Counter(self.name, self.help, self.labels, registry=registry)

    def gauge(
        self, registry: CollectorRegistry, value: Callable[[], float], *labels: str
    ) -> None:
        """Register a gauge whose value is computed at each scrape."""
        gauge = Gauge(self.name, self.help, self.labels, registry=registry)
        gauge.labels(*labels).set_function(value)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        """Register the histogram and return it."""
        return Histogram(
            self.name, self.help, self.labels, registry=registry, buckets=self.buckets
        )

    def family(self) -> GaugeMetricFamily:
        """Return an empty family, for values that are collected at each scrape."""
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)

    def head(self) -> str:
        """Return the HELP and TYPE lines that precede the samples."""
        return f"# HELP {self.name} {self.help}\n# TYPE {self.name} {self.kind}\n"


_CONTROLLER = ("controller",)
_QUEUE = ("name", "controller")

RECONCILE_TOTAL = Definition(
    "controller_runtime_reconcile_total",
    "counter",
    ("controller", "result"),
    "Passes by how they ended: success, error, requeue (overtaken by a change) or "
    "requeue_after (a later look is planned).",
)
RECONCILE_ERRORS = Definition(
    "controller_runtime_reconcile_errors_total",
    "counter",
    _CONTROLLER,
    "Passes that failed.",
)
TERMINAL_ERRORS = Definition(
    "controller_runtime_terminal_reconcile_errors_total",
    "counter",
    _CONTROLLER,
    "Passes that failed for a cause that somebody has to mend.",
)
PANICS = Definition(
    "controller_runtime_reconcile_panics_total",
    "counter",
    _CONTROLLER,
    "Passes that failed by a fault of the operator; the log has the traceback.",
)
TIMEOUTS = Definition(
    "controller_runtime_reconcile_timeouts_total",
    "counter",
    _CONTROLLER,
    "Always 0: calls have time limits here, passes have none.",
)
RECONCILE_TIME = Definition(
    "controller_runtime_reconcile_time_seconds",
    "histogram",
    _CONTROLLER,
    "Time that passes took.",
    RECONCILE_BUCKETS,
)
MAX_CONCURRENT = Definition(
    "controller_runtime_max_concurrent_reconciles",
    "gauge",
    _CONTROLLER,
    "Passes that may run at one time: --workers for the policies of each "
    "ZitadelInstance, two for the instance itself.",
)
ACTIVE_WORKERS = Definition(
    "controller_runtime_active_workers",
    "gauge",
    _CONTROLLER,
    "Passes that run now.",
)
DEPTH = Definition(
    "workqueue_depth",
    "gauge",
    ("name", "controller", "priority"),
    "Objects that wait for their turn; priority is delete, change, retry or drift.",
)
ADDS = Definition(
    "workqueue_adds_total",
    "counter",
    _QUEUE,
    "How often an object was put into the queue.",
)
QUEUE_DURATION = Definition(
    "workqueue_queue_duration_seconds",
    "histogram",
    _QUEUE,
    "Time that objects waited for their turn.",
    QUEUE_BUCKETS,
)
WORK_DURATION = Definition(
    "workqueue_work_duration_seconds",
    "histogram",
    _QUEUE,
    "Time that objects were worked on.",
    QUEUE_BUCKETS,
)
UNFINISHED_WORK = Definition(
    "workqueue_unfinished_work_seconds",
    "gauge",
    _QUEUE,
    "Time that the running passes have taken so far, all together.",
)
LONGEST_RUNNING = Definition(
    "workqueue_longest_running_processor_seconds",
    "gauge",
    _QUEUE,
    "Time that the longest running pass has taken so far.",
)
RETRIES = Definition(
    "workqueue_retries_total",
    "counter",
    _QUEUE,
    "Passes that are tried again after a growing delay.",
)
REST_REQUESTS = Definition(
    "rest_client_requests_total",
    "counter",
    ("code", "method", "host"),
    "Calls to the API server; code <error> got no answer. The watches are not counted.",
)
LEADER = Definition(
    "leader_election_master_status",
    "gauge",
    ("name",),
    "1 while this replica leads, 0 while it stands by.",
)
BUILD_INFO = Definition(
    "znp_build_info",
    "gauge",
    ("version", "revision"),
    "Always 1; the labels tell version and commit of the operator.",
)
REMOTE_REQUESTS = Definition(
    "znp_remote_requests_total",
    "counter",
    ("method", "endpoint", "code"),
    "Calls to ZITADEL; code error got no answer. The endpoint is a path without ids.",
)
REMOTE_DURATION = Definition(
    "znp_remote_request_duration_seconds",
    "histogram",
    ("method", "endpoint"),
    "Time from sending a call to ZITADEL to the end of its answer.",
    REMOTE_BUCKETS,
)
RATE_LIMITED = Definition(
    "znp_remote_rate_limited_total",
    "counter",
    (),
    "Answers of ZITADEL that it is asked too often (HTTP 429).",
)
DRIFT_CORRECTIONS = Definition(
    "znp_drift_corrections_total",
    "counter",
    ("kind",),
    "Changes of others in ZITADEL that were put right.",
)
READ_SIDE_REPAIRS = Definition(
    "znp_read_side_repairs_total",
    "counter",
    ("missed",),
    "Repairs of ZITADEL's read side, by the kind of event that it had missed: added, "
    "changed or removed.",
)
EVENT_SEARCH_FAILURES = Definition(
    "znp_event_search_failures_total",
    "counter",
    ("name",),
    "Searches of the events of a ZitadelInstance that failed, or whose answer cannot "
    "be right.",
)
DRIFT_DETECTION = Definition(
    "znp_drift_detection",
    "gauge",
    ("name", "method"),
    "How drift is looked for at a ZitadelInstance: 1 for the method in use, which is "
    "Events, Poll or Disabled, else 0.",
)
DRIFT_DEGRADED = Definition(
    "znp_drift_detection_degraded",
    "gauge",
    ("name",),
    "1 while a ZitadelInstance is polled for drift because its events cannot be used, "
    "though the spec asks for them; else 0.",
)
LAST_SYNC = Definition(
    "znp_last_successful_sync_timestamp_seconds",
    "gauge",
    ("kind", "namespace", "name"),
    "When a pass of this process last reached its end; absent before the first.",
)
STATUS_CONDITION = Definition(
    "znp_status_condition",
    "gauge",
    ("kind", "namespace", "name", "type", "status"),
    "1 for the status that a condition has: True and False always, Unknown while it "
    "is so.",
)
ZITADEL_INCONSISTENT = Definition(
    "znp_zitadel_inconsistent",
    "gauge",
    ("kind", "namespace", "name"),
    "1 while the Ready condition of an object has the reason ZitadelInconsistent; "
    "absent while it has not.",
)
CREDENTIAL_EXPIRY = Definition(
    "znp_credential_expiry_timestamp_seconds",
    "gauge",
    ("name",),
    "When the credential of a ZitadelInstance ends, where that is known.",
)

DEPRECATED_CALLS = Definition(
    "znp_zitadel_deprecated_calls",
    "gauge",
    ("name",),
    "Kinds of calls that the ZITADEL of a ZitadelInstance marks as deprecated.",
)
SUNSET = Definition(
    "znp_zitadel_sunset_timestamp_seconds",
    "gauge",
    ("name",),
    "When the ZITADEL of a ZitadelInstance will serve the first of them no longer, "
    "where it says so.",
)


def definitions() -> Iterator[Definition]:
    """Yield all definitions, in the order of this file."""
    for value in list(globals().values()):
        if isinstance(value, Definition):
            yield value
