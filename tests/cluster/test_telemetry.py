"""Metrics and log lines of a running operator, compared with the servers' logs.

It has a separate control plane, so that it knows of everything that is counted.
"""

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from cluster.conftest import System
from support.audit import AuditLog
from support.planes import ready_plane
from support.running import TOKEN, EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.binaries import find_binaries
from zitadel_notification_operator.zitadel import calls

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "metrics.md"
NAMESPACE = "team-a"
POLICY_PATH = "/management/v1/policies/notification"
PATHS = {
    *(calls.ORGANIZATION_POLICY, calls.DEFAULT_POLICY, calls.INSTANCE_POLICY),
    *(calls.ORGANIZATION, calls.ORGANIZATIONS, calls.INSTANCE, calls.USER),
    *(calls.PERMISSIONS, calls.MEMBERSHIPS, calls.DISCOVERY, calls.TOKEN, calls.EVENTS),
}
"""What may stand in the label `endpoint`."""

pytestmark = pytest.mark.clock

Labels = frozenset[tuple[str, str]]


class Scrape:
    """One response of /metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = frozenset(sample.labels.items())
                self.samples.setdefault(sample.name, {})[labels] = sample.value

    def one(self, name: str, /, **labels: str) -> float | None:
        """Return the value of the sample with exactly these labels, or None."""
        return self.samples.get(name, {}).get(frozenset(labels.items()))

    def total(self, name: str, /, **labels: str) -> float:
        """Return the sum of all samples that have at least these labels."""
        wanted = set(labels.items())
        found = self.samples.get(name, {}).items()
        return sum(value for having, value in found if wanted <= having)

    def condition(self, name: str, type_: str, status: str) -> float | None:
        """Return the value of a policy's condition metric."""
        return self.one(
            "znp_status_condition",
            kind="NotificationPolicy",
            namespace=NAMESPACE,
            name=name,
            type=type_,
            status=status,
        )


@dataclass
class Story:
    """What has happened, and how it was reported."""

    system: System
    audit: AuditLog
    own_calls: Counter[tuple[str, str]] = field(default_factory=Counter)

    def scrape(self) -> Scrape:
        """Return a scrape of the operator."""
        return Scrape(self.system.operator.metrics())

    def organization(self) -> str:
        """Create an organization."""
        self.own_calls["POST", "/management/v1/orgs"] += 1
        return self.system.organization()

    def drift(self, org: str) -> None:
        """Change the policy as somebody else, and wait until it is corrected."""
        somebody = self.system.emulator.user("IAM_ORG_MANAGER", credential="token")
        body = {"passwordChange": False}
        token = somebody["token"]
        call = ("PUT", POLICY_PATH)
        self.own_calls[call] += 1
        self.system.emulator.call(*call, body, organization=org, token=token)
        eventually(lambda: self.drifts() == 1, 20, "the correction")

    def drifts(self) -> float:
        """Return the number of corrections in the metrics."""
        return self.scrape().total("znp_drift_corrections_total")

    def by_log(self) -> Counter[tuple[str, str]]:
        """Return the operator's calls by method and path, from ZITADEL's own log."""
        requests = self.system.emulator.requests()
        log = Counter((one["method"], one["path"]) for one in requests)
        return log - self.own_calls

    def by_metrics(self) -> Counter[tuple[str, str]]:
        """Return the operator's calls by method and path, from its metrics."""
        found: Counter[tuple[str, str]] = Counter()
        samples = self.scrape().samples["znp_remote_requests_total"]
        for labels, value in samples.items():
            known = dict(labels)
            found[known["method"], known["endpoint"]] += int(value)
        return found


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Creations, a change, drift, two failures, a rate limit, a deletion."""
    folder = tmp_path_factory.mktemp("telemetry")
    with ready_plane() as plane:
        plane.kubectl("create", "namespace", NAMESPACE)
        create_secret(plane, "zitadel-credentials")
        audit = AuditLog(plane)
        emulator = EmulatorProcess(folder)
        environment = {"NO_PROXY": "*", "POD_NAME": "znp-0", "ZNP_REVISION": "0123abc"}
        operator = OperatorProcess(plane, folder, environment=environment)
        with emulator.program, operator.program:
            operator.wait_ready()
            made = Story(System(plane, emulator, operator, folder), audit)
            _tell(made)
            yield made
            assert operator.program.stop() == 0


def _tell(story: Story) -> None:
    system = story.system
    system.instance("shared", system.emulator.url)
    system.wait_for("", "shared", kind="zni")
    org = story.organization()
    system.policy(NAMESPACE, "acme", org, passwordChange=False)
    system.wait_for(NAMESPACE, "acme")
    system.policy(NAMESPACE, "acme", org, passwordChange=True)
    system.wait_for(NAMESPACE, "acme")
    time.sleep(6)
    story.drift(org)
    system.policy(NAMESPACE, "lost", "280000000000000999")
    system.wait_for(NAMESPACE, "lost", ("False", "OrganizationNotFound"))
    fault = {"path": POLICY_PATH, "status": 429, "times": 1}
    system.emulator.call("POST", "/emulator/v1/faults", fault)
    system.policy(NAMESPACE, "late", story.organization())
    system.wait_for(NAMESPACE, "late")
    system.policy(NAMESPACE, "brief", story.organization())
    system.wait_for(NAMESPACE, "brief")
    eventually(
        lambda: story.scrape().condition("brief", "Ready", "True") == 1, 10, "brief"
    )
    system.delete("brief", NAMESPACE)
    system.gone("znp", "brief", NAMESPACE)


def test_the_page_names_what_is_there(story: Story) -> None:
    """It has all metrics with their types; promtool accepts them."""
    text = story.scrape().text
    exported = set(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    assert exported == set(rows)
    promtool = find_binaries(("promtool",)) / "promtool"
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_calls_to_zitadel_are_those_in_its_own_log(story: Story) -> None:
    """They agree by method and path; paths contain no ids."""
    eventually(
        lambda: story.by_metrics() == story.by_log(),
        20,
        f"{story.by_metrics()} to be {story.by_log()}",
    )
    assert story.by_metrics()["PUT", POLICY_PATH] == 2
    assert story.by_metrics()["POST", POLICY_PATH] == 3
    assert story.by_metrics()["DELETE", POLICY_PATH] == 1
    assert {path for _, path in story.by_metrics()} <= PATHS
    scrape = story.scrape()
    of_policy = {"method": "GET", "endpoint": POLICY_PATH}
    calls_ = "znp_remote_requests_total"
    assert scrape.one(calls_, **of_policy, code="429") == 1
    assert scrape.one("znp_remote_rate_limited_total") == 1
    timed = scrape.total("znp_remote_request_duration_seconds_count", **of_policy)
    assert timed == scrape.total(calls_, **of_policy)


def test_calls_to_kubernetes_are_those_in_its_own_log(story: Story) -> None:
    """All writes agree; the host is that of the kubeconfig."""
    kubeconfig = yaml.safe_load(story.system.plane.kubeconfig.read_text())
    host = urlsplit(kubeconfig["clusters"][0]["cluster"]["server"]).netloc

    def agree() -> bool:
        logged = Counter(
            {"patch": "PATCH", "create": "POST"}[write.verb]
            for write in story.audit.by_operator()
            if write.user_agent.startswith("zitadel-notification-operator/")
        )
        scrape = story.scrape()
        name = "rest_client_requests_total"
        by_metrics = {
            method: scrape.total(name, method=method, host=host)
            for method in ("PATCH", "POST")
        }
        assert scrape.total(name) == scrape.total(name, host=host)
        return logged["PATCH"] > 8 and by_metrics == dict(logged)

    eventually(agree, 20)


def test_passes_are_reported_by_how_they_ended(story: Story) -> None:
    """Failures count as failures, and each turn in the queue was a pass."""
    scrape = story.scrape()
    mine = {"controller": "notificationpolicy"}
    errors = scrape.one("controller_runtime_reconcile_errors_total", **mine) or 0
    terminal = scrape.one("controller_runtime_terminal_reconcile_errors_total", **mine)
    assert errors >= 2
    assert terminal is not None
    assert 1 <= terminal < errors
    total = "controller_runtime_reconcile_total"
    assert scrape.one(total, **mine, result="error") == errors
    assert scrape.total(total, **mine, result="success") >= 4
    assert scrape.total("controller_runtime_reconcile_panics_total") == 0
    assert scrape.total("workqueue_retries_total", **mine) >= 1

    def is_quiet() -> bool:
        now = story.scrape()
        passes = now.total(total, **mine)
        turns = {
            now.total(name, **mine)
            for name in (
                "workqueue_adds_total",
                "workqueue_queue_duration_seconds_count",
                "workqueue_work_duration_seconds_count",
                "controller_runtime_reconcile_time_seconds_count",
            )
        }
        return now.total("workqueue_depth", **mine) == 0 and turns == {passes}

    eventually(is_quiet, 10)


def test_objects_are_reported_as_they_are(story: Story) -> None:
    """Each has conditions and success; deleted objects have no series."""
    scrape = story.scrape()
    assert scrape.condition("acme", "Ready", "True") == 1
    assert scrape.condition("acme", "Ready", "False") == 0
    assert scrape.condition("acme", "InSync", "True") == 1
    assert scrape.condition("acme", "Stalled", "True") is None
    assert scrape.condition("lost", "Ready", "True") == 0
    assert scrape.condition("lost", "Stalled", "True") == 1
    assert scrape.condition("lost", "InSync", "Unknown") == 1
    synced = "znp_last_successful_sync_timestamp_seconds"
    policy = {"kind": "NotificationPolicy", "namespace": NAMESPACE}
    assert abs((scrape.one(synced, **policy, name="acme") or 0) - time.time()) < 120
    assert scrape.one(synced, **policy, name="lost") is None
    of_instance = {"kind": "ZitadelInstance", "namespace": "", "name": "shared"}
    assert scrape.one(synced, **of_instance) is not None
    ready = {"type": "Ready", "status": "True"}
    assert scrape.one("znp_status_condition", **of_instance, **ready) == 1
    eventually(lambda: 'name="brief"' not in story.scrape().text, 10, "its end")
    assert scrape.one("znp_drift_corrections_total", kind="NotificationPolicy") == 1
    lease = "zitadel-notification-operator"
    assert scrape.one("leader_election_master_status", name=lease) == 1
    (build,) = scrape.samples["znp_build_info"]
    assert dict(build)["revision"] == "0123abc"


def test_the_end_of_a_credential_is_reported(story: Story) -> None:
    """It is known for key files."""
    system = story.system
    made = system.emulator.user("IAM_OWNER", credential="key")
    key = json.dumps({**made["keyFile"], "expirationDate": "2036-01-01T00:00:00Z"})
    create_secret(system.plane, "key", **{"key.json": key})
    credentials = {"privateKeyJWT": {"secretRef": {"name": "key"}}}
    system.instance("by-key", system.emulator.url, credentials=credentials)
    body = system.wait_for("", "by-key", kind="zni")
    expires = body["status"]["credentialExpiresAt"]
    end = datetime.fromisoformat(expires).astimezone(UTC).timestamp()
    name = "znp_credential_expiry_timestamp_seconds"
    eventually(lambda: story.scrape().one(name, name="by-key") == end, 10)
    assert story.scrape().one(name, name="shared") is None
    system.plane.kubectl("delete", "zni", "by-key")
    eventually(lambda: 'name="by-key"' not in story.scrape().text, 10)


def test_each_log_line_is_json_and_says_whose_it_is(story: Story) -> None:
    """Changes and failures name the object; no secret is in the log."""
    text = story.system.operator.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert {"timestamp", "level", "logger", "message"} <= line.keys()
        assert datetime.fromisoformat(line["timestamp"]).tzinfo == UTC
        known = {"kind", "namespace", "name", "generation", "reason", "exc_info"}
        assert line.keys() - {"timestamp", "level", "logger", "message"} <= known
    logged = {
        (line["reason"], line["name"]): line
        for line in lines
        if "reason" in line and line.get("kind") == "NotificationPolicy"
    }
    expected = {("Created", "acme"): 1, ("Updated", "acme"): 2}
    expected |= {("DriftCorrected", "acme"): 2, ("OrganizationNotFound", "lost"): 1}
    for event, generation in expected.items():
        line = logged[event]
        assert (line["namespace"], line["generation"]) == (NAMESPACE, generation)
    assert ("Deleted", "brief") in logged
    posts = [line for line in lines if line["message"].startswith("POST /management")]
    assert {line["name"] for line in posts} == {"acme", "late", "brief"}
    assert any(line["logger"].startswith("kopf.") for line in lines)
    for secret in (TOKEN, "Bearer ", "eyJ"):
        assert secret not in text
        assert secret not in story.scrape().text


def test_events_name_pod_and_instance(story: Story) -> None:
    """reportingInstance is the pod; related of a policy is its instance."""
    get = ("get", "events.events.k8s.io", "-n", NAMESPACE, "--output=json")
    events = json.loads(story.system.plane.kubectl(*get).stdout)["items"]
    assert {event["reportingInstance"] for event in events} == {"znp-0"}
    assert {event["related"]["name"] for event in events} == {"shared"}
    found = {(event["reason"], event["regarding"]["name"]) for event in events}
    wanted = {("Created", "acme"), ("Updated", "acme"), ("DriftCorrected", "acme")}
    assert wanted <= found
