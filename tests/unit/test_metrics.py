"""Metrics: calls, ten thousand objects in one scrape, and its cost."""

import re
import time
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.engines import INSTANCE, policy, with_spec
from support.settings import mails
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.instance_object import (
    NOT_PERMITTED,
    DriftDetection,
    DriftMethod,
    InstanceStatus,
)
from zitadel_notification_operator.core.policy_object import PolicyStatus
from zitadel_notification_operator.core.read_side import Missed
from zitadel_notification_operator.core.selection import Selector
from zitadel_notification_operator.core.set_object import (
    Removal,
    SetCounts,
    SetObject,
    SetStatus,
)
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.leader.log_context import (
    LogContext,
    concerning,
)
from zitadel_notification_operator.engine.queue.keys import key_of
from zitadel_notification_operator.engine.queue.workqueue import WorkQueue
from zitadel_notification_operator.telemetry.definitions import definitions
from zitadel_notification_operator.telemetry.metrics import Build, Metrics
from zitadel_notification_operator.telemetry.objects import MANY

WHEN = "2026-01-01T00:00:00Z"
PASS_COST = 6.3e-3
"""Seconds of the processor that one new policy costs (docs/performance.md)."""


def new_metrics(*, leading: bool = True) -> Metrics:
    """Return the metrics of a process."""
    return Metrics(Build("1.2.3", "abc", "canary"), lambda: leading, workers=4)


def text(metrics: Metrics) -> str:
    """Return the text of a scrape."""
    return b"".join(metrics.parts()).decode()


def value(metrics: Metrics, sample: str, **labels: str) -> float | None:
    """Return a sample's value by name and labels, or None if there is none."""
    for family in text_string_to_metric_families(text(metrics)):
        for found in family.samples:
            if found.name == sample and found.labels == labels:
                return float(found.value)
    return None


def names(scrape: str) -> set[str]:
    """Return the names of all families of a scrape."""
    return set(re.findall(r"^# TYPE (\S+) ", scrape, re.MULTILINE))


def test_all_definitions_are_exposed_and_nothing_else() -> None:
    """The client library adds some; there are no `_created` series."""
    found = names(text(new_metrics()))
    own = {definition.name for definition in definitions()}
    assert own <= found
    rest = {
        name for name in found - own if not name.startswith(("process_", "python_"))
    }
    assert not rest
    assert "_created" not in text(new_metrics())


def inventory_of(count: int) -> Inventory:
    """Return an inventory with an instance and this number of healthy policies."""
    inventory = Inventory("own")
    status = InstanceStatus(
        1,
        (Condition("Ready", "Unknown", "Any", "text", 1, WHEN),),
        credential_expires_at="2026-02-01T00:00:00Z",
    )
    inventory.put(replace(INSTANCE, status=status))
    conditions = (
        Condition("Ready", "True", "Succeeded", "text", 1, WHEN),
        Condition("InSync", "True", "InSync", "text", 1, WHEN),
        Condition("SomebodyElse", "True", "Any", "text", 1, WHEN),
    )
    healthy = PolicyStatus(1, conditions)
    for number in range(count):
        inventory.put(replace(policy(f"p{number}", f"o{number}"), status=healthy))
    return inventory


def timed_scrape(metrics: Metrics) -> tuple[list[bytes], list[float]]:
    """Scrape once; return the parts and the processor time of each, in seconds."""
    parts, times = [], []
    last = time.process_time()
    for part in metrics.parts():
        now = time.process_time()
        parts.append(part)
        times.append(now - last)
        last = time.process_time()
    return parts, times


def test_ten_thousand_objects_are_scraped_in_small_parts() -> None:
    """Five series a policy take a second at most; no part blocks the loop."""
    metrics = new_metrics()
    inventory = inventory_of(10_000)
    metrics.watch(WorkQueue(metrics.passes), inventory)
    for one in inventory.policies.values():
        metrics.passes.synced(one)
    # The best of three: a garbage collection that other tests have brought about would
    # count as part of one.
    scrapes = [timed_scrape(metrics) for _ in range(3)]
    assert min(sum(times) for _, times in scrapes) < 1
    assert min(max(times) for _, times in scrapes) < 0.1
    parts, _ = scrapes[0]
    assert max(len(part) for part in parts) < 200_000
    lines = b"".join(parts).decode()
    assert lines.count('kind="NotificationPolicy",namespace="own"') == 50_000
    assert "SomebodyElse" not in lines
    assert len(lines) < 10e6


def test_the_policies_can_be_left_out() -> None:
    """Instances have their series, and policies are counted by their Ready."""
    metrics = Metrics(Build("1.2.3", "abc"), lambda: True, workers=4, of_policies=False)
    inventory = inventory_of(3)
    inventory.put(policy("fresh", "o-fresh"))
    metrics.watch(WorkQueue(metrics.passes), inventory)
    for one in (INSTANCE, *inventory.policies.values()):
        metrics.passes.synced(one)
    found = text(metrics)
    assert 'kind="NotificationPolicy",' not in found
    assert found.count('kind="ZitadelInstance"') >= 2
    assert value(metrics, "znp_policies", ready="True") == 3
    assert value(metrics, "znp_policies", ready="False") == 0
    assert value(metrics, "znp_policies", ready="Unknown") == 1


def test_a_standby_counts_no_policies() -> None:
    metrics = new_metrics(leading=False)
    metrics.watch(WorkQueue(metrics.passes), inventory_of(1))
    assert value(metrics, "znp_policies", ready="True") is None


@pytest.mark.parametrize(
    ("count", "of_policies", "lines"),
    [(MANY, True, 1), (MANY - 1, True, 0), (MANY, False, 0)],
)
def test_many_policies_are_noted_once(
    count: int, lines: int, caplog: pytest.LogCaptureFixture, *, of_policies: bool
) -> None:
    """The line says how large a scrape is, and how to make it small."""
    metrics = Metrics(Build("1", "a"), lambda: True, workers=4, of_policies=of_policies)
    inventory = Inventory("own")
    one = policy("p")
    many = {PolicyKey("own", f"p{number}"): one for number in range(count)}
    inventory.policies.update(many)
    metrics.watch(WorkQueue(metrics.passes), inventory)
    for _ in range(2):
        for _part in metrics.parts():
            pass
    assert len(caplog.messages) == lines
    if lines:
        assert f"{MANY} policies" in caplog.text
        assert "14 MB" in caplog.text
        assert "--no-object-metrics" in caplog.text


def test_objects_are_reported_by_the_leader_alone() -> None:
    """A standby has them, too, but each object is reported once."""
    for leading in (True, False):
        metrics = new_metrics(leading=leading)
        metrics.watch(WorkQueue(metrics.passes), inventory_of(1))
        lease = "zitadel-notification-operator-canary"
        status = value(metrics, "leader_election_master_status", name=lease)
        assert status == int(leading)
        expiry = value(
            metrics, "znp_credential_expiry_timestamp_seconds", name="default"
        )
        of_instance = {"kind": "ZitadelInstance", "namespace": "", "name": "default"}
        unknown = value(
            metrics,
            "znp_status_condition",
            **of_instance,
            type="Ready",
            status="Unknown",
        )
        assert (expiry, unknown) == ((1769904000, 1) if leading else (None, None))


@pytest.mark.parametrize("leading", [True, False])
def test_objects_that_find_zitadel_inconsistent_are_reported(*, leading: bool) -> None:
    """Only the leader reports them, while Ready has that reason."""
    inventory = inventory_of(3)
    ready, in_sync, _ = inventory.policies[PolicyKey("own", "p0")].status.conditions
    reason = "ZitadelInconsistent"
    lost = replace(ready, status="False", reason=reason)
    elsewhere = replace(in_sync, status="Unknown", reason=reason)
    for name, conditions in (("p1", (lost, in_sync)), ("p2", (ready, elsewhere))):
        stored = inventory.policies[PolicyKey("own", name)]
        status = replace(stored.status, conditions=conditions)
        inventory.put(replace(stored, status=status))
    metrics = new_metrics(leading=leading)
    metrics.watch(WorkQueue(metrics.passes), inventory)
    gauge = "znp_zitadel_inconsistent"

    def inconsistent(kind: str, namespace: str, name: str) -> float | None:
        labels = {"kind": kind, "namespace": namespace, "name": name}
        return value(metrics, gauge, **labels)

    expected = 1 if leading else None
    assert inconsistent("NotificationPolicy", "own", "p1") == expected
    assert text(metrics).count(f"{gauge}{{") == (1 if leading else 0)
    instance = inventory.instances["default"]
    reported = replace(instance.status, conditions=(lost,))
    inventory.put(replace(instance, status=reported))
    assert inconsistent("ZitadelInstance", "", "default") == expected
    inventory.put(instance)
    assert inconsistent("ZitadelInstance", "", "default") is None


@pytest.mark.parametrize("leading", [True, False])
async def test_sets_are_reported_by_result(*, leading: bool) -> None:
    """Also what waits for an approval, as long as something does."""
    one = SetObject(
        key=PolicyKey("own", "customers"),
        uid="uid-customers",
        generation=1,
        created=WHEN,
        organizations=Selector(all=True),
        settings=mails(True),
    )
    counts = SetCounts(matched=10, ready=4, overridden=3, failed=2, pending=1)
    removal = Removal(count=37, digest="d")
    inventory = inventory_of(1)
    inventory.put(one)
    inventory.put(
        replace(
            one,
            key=PolicyKey("own", "new"),
            uid="uid-new",
            status=SetStatus(1, organizations=counts, removal=removal),
        )
    )
    metrics = new_metrics(leading=leading)
    metrics.watch(WorkQueue(metrics.passes), inventory)
    of_new = {"namespace": "own", "name": "new"}
    found = {
        result: value(metrics, "znp_set_organizations", **of_new, result=result)
        for result in ("ready", "overridden", "failed", "pending")
    }
    shown = {"ready": 4, "overridden": 3, "failed": 2, "pending": 1}
    assert found == (shown if leading else dict.fromkeys(shown))
    waiting = value(metrics, "znp_set_removal_waiting", **of_new)
    assert waiting == (37 if leading else None)
    assert 'name="customers"' not in text(metrics)


def test_repairs_are_counted_from_zero() -> None:
    """So the first repair of each kind is an increase, which an alert needs."""
    metrics = new_metrics()
    repairs = "znp_read_side_repairs_total"
    kinds = [str(missed) for missed in Missed]
    assert [value(metrics, repairs, missed=kind) for kind in kinds] == [0, 0, 0]
    metrics.passes.repaired("removed")
    assert [value(metrics, repairs, missed=kind) for kind in kinds] == [0, 0, 1]


@pytest.mark.parametrize("leading", [True, False])
def test_deprecated_calls_are_reported_of_instances_that_are_there(
    *, leading: bool
) -> None:
    """Only the leader reports them; without marks the value is zero."""
    metrics = new_metrics(leading=leading)
    metrics.watch(WorkQueue(metrics.passes), inventory_of(1))
    found = Deprecation(("GET /a", "GET /b"), "2026-01-01", "2027-01-15", 1.8e9)
    names = ("znp_zitadel_deprecated_calls", "znp_zitadel_sunset_timestamp_seconds")
    for marks, number, sunset in ((found, 2, 1.8e9), (None, 0, None)):
        metrics.passes.deprecated("default", marks)
        metrics.passes.deprecated("gone", marks)
        values = [value(metrics, name, name="default") for name in names]
        assert values == ([number, sunset] if leading else [None, None])
        assert value(metrics, names[0], name="gone") is None


@pytest.mark.parametrize(
    ("wanted", "reason", "degraded"),
    [
        (DriftMethod.EVENTS, "", 0.0),
        (DriftMethod.AUTO, f"{NOT_PERMITTED}: may not read", 0.0),
        (
            DriftMethod.EVENTS,
            f"{NOT_PERMITTED}: may not read",
            1.0,
        ),
        (DriftMethod.AUTO, "ServerError: searches of ZITADEL's events fail", 1.0),
    ],
)
def test_the_method_of_drift_detection_is_reported(
    wanted: DriftMethod, reason: str, degraded: float
) -> None:
    """One method is 1, the others are 0; degraded means not as the spec asks."""
    metrics, inventory = new_metrics(), inventory_of(0)
    metrics.watch(WorkQueue(metrics.passes), inventory)
    assert value(metrics, "znp_drift_detection_degraded", name="default") is None
    used = DriftMethod.POLL if reason else DriftMethod.EVENTS
    instance = with_spec(inventory.instances["default"], method=wanted)
    detection = DriftDetection(used, reason)
    status = replace(instance.status, drift_detection=detection)
    inventory.put(replace(instance, status=status))
    methods = {
        method: value(metrics, "znp_drift_detection", name="default", method=method)
        for method in ("Events", "Poll", "Disabled")
    }
    assert methods == {
        method: float(method == used) for method in ("Events", "Poll", "Disabled")
    }
    found = value(metrics, "znp_drift_detection_degraded", name="default")
    assert found == degraded


def test_failed_searches_are_counted_by_instance() -> None:
    """Only failed searches are counted."""
    metrics = new_metrics()
    name = "znp_event_search_failures_total"
    for instance in ("a", "b", "a"):
        metrics.passes.search_failed(instance)
    assert value(metrics, name, name="a") == 2
    assert value(metrics, name, name="b") == 1
    assert value(metrics, name, name="c") is None


def test_calls_are_counted_by_what_came_back() -> None:
    """429 has a counter of its own; the build has its version."""
    metrics = new_metrics()
    for code in ("200", "429", "429", "error"):
        metrics.zitadel_called("GET", "/a", code, 0.2)
    metrics.kubernetes_called("PATCH", "200", "10.0.0.1:443")
    calls = "znp_remote_requests_total"
    assert value(metrics, calls, method="GET", endpoint="/a", code="429") == 2
    assert value(metrics, calls, method="GET", endpoint="/a", code="error") == 1
    assert value(metrics, "znp_remote_rate_limited_total") == 2
    took = "znp_remote_request_duration_seconds_sum"
    assert value(metrics, took, method="GET", endpoint="/a") == pytest.approx(0.8)
    labels = {"code": "200", "method": "PATCH", "host": "10.0.0.1:443"}
    assert value(metrics, "rest_client_requests_total", **labels) == 1
    build = {"version": "1.2.3", "revision": "abc", "class": "canary"}
    assert value(metrics, "znp_build_info", **build) == 1


@pytest.mark.clock
def test_counting_costs_less_than_two_percent_of_a_pass() -> None:
    """A new policy counts its pass, three calls to ZITADEL, three to Kubernetes."""
    metrics = new_metrics()
    passes, about = metrics.passes, policy("p")
    key = key_of(about)

    def one_pass() -> None:
        passes.added(key)
        passes.taken(key)
        with concerning(LogContext("NotificationPolicy", "own", "p", 1)):
            for method in ("GET", "GET", "POST"):
                metrics.zitadel_called(method, "/a", "200", 0.01)
            for method in ("PATCH", "PATCH", "POST"):
                metrics.kubernetes_called(method, "200", "10.0.0.1:443")
        passes.synced(about)
        passes.passed(key, "requeue_after")
        passes.done(key)

    one_pass()
    began = time.process_time()
    for _ in range(1000):
        one_pass()
    assert (time.process_time() - began) / 1000 < 0.02 * PASS_COST
