"""Defines every metric in one place: name, type, labels and meaning.

`docs/reference/metrics.md` is generated from this file (`tools/metrics_page.py`). A
metric that controller-runtime has, too, has the same name here, so that existing
dashboards work. Every label is bounded: there are no ids, addresses or error texts.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

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


Labels = tuple[str, ...]
M = TypeVar("M", Counter, Histogram)


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition of one metric.

    Attributes:
        kind: `counter`, `gauge` or `histogram`.
        help: A sentence for people; `/metrics` shows it, too.
        buckets: The upper bounds in seconds; only for histograms.
    """

    kind: str
    name: str
    labels: Labels
    help: str
    buckets: tuple[float, ...] = ()

    def counter(
        self, registry: CollectorRegistry, children: Iterable[Labels] = ()
    ) -> Counter:
        """Register the counter and return it; its `children` start at zero."""
        made = Counter(self.name, self.help, self.labels, registry=registry)
        return _with(children, made)

    def gauge(
        self, registry: CollectorRegistry, value: Callable[[], float], *labels: str
    ) -> None:
        """Register a gauge whose value is computed at each scrape."""
        gauge = Gauge(self.name, self.help, self.labels, registry=registry)
        gauge.labels(*labels).set_function(value)

    def histogram(
        self, registry: CollectorRegistry, children: Iterable[Labels] = ()
    ) -> Histogram:
        """Register the histogram and return it; its `children` start at zero."""
        made = Histogram(
            self.name, self.help, self.labels, registry=registry, buckets=self.buckets
        )
        return _with(children, made)

    def family(self) -> GaugeMetricFamily:
        """Return an empty family, for values that are collected at each scrape."""
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)

    def head(self) -> str:
        """Return the HELP and TYPE lines that precede the samples."""
        return f"# HELP {self.name} {self.help}\n# TYPE {self.name} {self.kind}\n"


def _with(children: Iterable[Labels], made: M) -> M:
    for child in children:
        made.labels(*child)
    return made


_counter = partial(Definition, "counter")
_gauge = partial(Definition, "gauge")
_histogram = partial(Definition, "histogram")

_CONTROLLER = ("controller",)
_QUEUE = ("name", "controller")
_NAME = ("name",)
_OBJECT = ("kind", "namespace", "name")

RECONCILE_TOTAL = _counter(
    "controller_runtime_reconcile_total",
    ("controller", "result"),
    "Passes by result: success, error, requeue (overtaken by a change) or "
    "requeue_after (a later pass is planned).",
)
RECONCILE_ERRORS = _counter(
    "controller_runtime_reconcile_errors_total", _CONTROLLER, "Passes that failed."
)
TERMINAL_ERRORS = _counter(
    "controller_runtime_terminal_reconcile_errors_total",
    _CONTROLLER,
    "Passes that failed for a cause that somebody has to fix.",
)
PANICS = _counter(
    "controller_runtime_reconcile_panics_total",
    _CONTROLLER,
    "Passes that failed by a fault of the operator; the log has the traceback.",
)
TIMEOUTS = _counter(
    "controller_runtime_reconcile_timeouts_total",
    _CONTROLLER,
    "Always 0: calls have time limits here, passes have none.",
)
RECONCILE_TIME = _histogram(
    "controller_runtime_reconcile_time_seconds",
    _CONTROLLER,
    "Time that passes took.",
    RECONCILE_BUCKETS,
)
MAX_CONCURRENT = _gauge(
    "controller_runtime_max_concurrent_reconciles",
    _CONTROLLER,
    "Passes that may run at one time: --workers for the policies of each "
    "ZitadelInstance and as many for its sets, two for the instance itself.",
)
ACTIVE_WORKERS = _gauge(
    "controller_runtime_active_workers", _CONTROLLER, "Passes that run now."
)
DEPTH = _gauge(
    "workqueue_depth",
    ("name", "controller", "priority"),
    "Objects that wait in the queue; priority is delete, change, retry or drift. "
    "Changes of the policies of sets have the last one.",
)
ADDS = _counter(
    "workqueue_adds_total", _QUEUE, "How often an object was put into the queue."
)
QUEUE_DURATION = _histogram(
    "workqueue_queue_duration_seconds",
    _QUEUE,
    "Time that objects waited in the queue.",
    QUEUE_BUCKETS,
)
WORK_DURATION = _histogram(
    "workqueue_work_duration_seconds",
    _QUEUE,
    "Time that objects were worked on.",
    QUEUE_BUCKETS,
)
UNFINISHED_WORK = _gauge(
    "workqueue_unfinished_work_seconds",
    _QUEUE,
    "Time that the running passes have taken so far, added up.",
)
LONGEST_RUNNING = _gauge(
    "workqueue_longest_running_processor_seconds",
    _QUEUE,
    "Time that the longest running pass has taken so far.",
)
RETRIES = _counter(
    "workqueue_retries_total",
    _QUEUE,
    "Passes that are tried again after a growing delay.",
)
REST_REQUESTS = _counter(
    "rest_client_requests_total",
    ("code", "method", "host"),
    "Calls to the API server; code <error> means that no response came. Watches are "
    "not counted.",
)
LEADER = _gauge(
    "leader_election_master_status",
    _NAME,
    "1 while this replica leads, 0 while it stands by.",
)
BUILD_INFO = _gauge(
    "znp_build_info",
    ("version", "revision", "class"),
    "Always 1; the labels name version, commit and class of the operator.",
)
REMOTE_REQUESTS = _counter(
    "znp_remote_requests_total",
    ("method", "endpoint", "code"),
    "Calls to ZITADEL; code error means that no response came. The endpoint is a path "
    "without ids.",
)
REMOTE_DURATION = _histogram(
    "znp_remote_request_duration_seconds",
    ("method", "endpoint"),
    "Time from sending a call to ZITADEL to the end of the response.",
    REMOTE_BUCKETS,
)
RATE_LIMITED = _counter(
    "znp_remote_rate_limited_total",
    (),
    "Calls that ZITADEL rejected with HTTP 429 (too many requests).",
)
DRIFT_CORRECTIONS = _counter(
    "znp_drift_corrections_total",
    ("kind",),
    "Changes that others made in ZITADEL and that were corrected.",
)
READ_SIDE_REPAIRS = _counter(
    "znp_read_side_repairs_total",
    ("missed",),
    "Repairs of ZITADEL's read side, by the kind of event that it had missed: added, "
    "changed or removed.",
)
EVENT_SEARCH_FAILURES = _counter(
    "znp_event_search_failures_total",
    _NAME,
    "Searches of the events of a ZitadelInstance that failed, or whose response cannot "
    "be right.",
)
DRIFT_DETECTION = _gauge(
    "znp_drift_detection",
    ("name", "method"),
    "How drift of a ZitadelInstance is detected: 1 for the method in use, which is "
    "Events, Poll or Disabled, else 0.",
)
DRIFT_DEGRADED = _gauge(
    "znp_drift_detection_degraded",
    _NAME,
    "1 while a ZitadelInstance is polled for drift because its events cannot be used, "
    "though the spec asks for them; else 0.",
)
LAST_SYNC = _gauge(
    "znp_last_successful_sync_timestamp_seconds",
    _OBJECT,
    "When a pass of this process over the object last succeeded; absent before that.",
)
STATUS_CONDITION = _gauge(
    "znp_status_condition",
    ("kind", "namespace", "name", "type", "status"),
    "1 for the status that a condition has, else 0. Status Unknown has a series only "
    "while it applies.",
)
ZITADEL_INCONSISTENT = _gauge(
    "znp_zitadel_inconsistent",
    _OBJECT,
    "1 while the Ready condition of an object has the reason ZitadelInconsistent; "
    "otherwise absent.",
)
POLICIES = _gauge(
    "znp_policies",
    ("ready",),
    "NotificationPolicy objects by the status of their Ready condition: True, False or "
    "Unknown, which is also that of a new one.",
)
SET_ORGANIZATIONS = _gauge(
    "znp_set_organizations",
    ("namespace", "name", "result"),
    "Organizations of a NotificationPolicySet by result, which is ready, overridden, "
    "failed or pending.",
)
SET_REMOVAL_WAITING = _gauge(
    "znp_set_removal_waiting",
    ("namespace", "name"),
    "Policies of a NotificationPolicySet whose removal waits for an approval; "
    "otherwise absent.",
)
CREDENTIAL_EXPIRY = _gauge(
    "znp_credential_expiry_timestamp_seconds",
    _NAME,
    "When the credential of a ZitadelInstance expires, where that is known.",
)
DEPRECATED_CALLS = _gauge(
    "znp_zitadel_deprecated_calls",
    _NAME,
    "Kinds of calls that the ZITADEL of a ZitadelInstance marks as deprecated.",
)
SUNSET = _gauge(
    "znp_zitadel_sunset_timestamp_seconds",
    _NAME,
    "When the ZITADEL of a ZitadelInstance will stop serving the first of its "
    "deprecated calls, where it announces that.",
)
SERVED_ELSEWHERE = _gauge(
    "znp_instance_served_elsewhere",
    _NAME,
    "1 while another installation of this operator's class serves a ZitadelInstance, "
    "so that this one leaves it alone; otherwise absent.",
)


def definitions() -> Iterator[Definition]:
    """Yield all definitions, in the order of this file."""
    for value in list(globals().values()):
        if isinstance(value, Definition):
            yield value
