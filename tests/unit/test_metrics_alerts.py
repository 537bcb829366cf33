"""Alerts and dashboard: they parse, fire, and use only metrics that exist."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from zitadel_notification_operator.demo.binaries import find_binaries
from zitadel_notification_operator.telemetry.metrics import Build, Metrics

ROOT = Path(__file__).parent.parent.parent
FILES = ROOT / "deploy" / "helm" / "zitadel-notification-operator" / "files"
ALERTS = FILES / "alerts.yaml"
DASHBOARD = FILES / "dashboard.json"
RULE_TESTS = ROOT / "tests" / "data" / "alerts_test.yaml"
RUNBOOKS = ROOT / "docs" / "operations" / "alerts.md"
PREFIX = "ZitadelNotification"
MINIMUM = (
    *("OperatorDown", "NoLeader", "ReconcileErrors", "QueueStuck"),
    *("RemoteApiFailing", "RemoteRateLimited", "PolicyNotReady"),
    "CredentialExpiring",
)
CRITICAL = {"ZitadelNotificationOperatorDown", "ZitadelNotificationNoLeader"}

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load(ALERTS.read_text())["groups"]
    for rule in group["rules"]
]
ALERT_RULES = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}

WORD = r"[a-zA-Z_:][a-zA-Z0-9_:]*"


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool, which `make tools` builds."""
    program = find_binaries(("promtool",)) / "promtool"
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False
    )


def exposed() -> set[str]:
    """Return the names of all series that the process may expose."""
    text = b"".join(Metrics(Build("1", "r"), lambda: True, 1).parts()).decode()
    found = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        found.add(name)
        if kind == "histogram":
            found |= {f"{name}_bucket", f"{name}_count", f"{name}_sum"}
    return found


def metrics_in(expression: str) -> set[str]:
    """Return the metrics that an expression of PromQL names."""
    # Without texts, matchers, ranges, and lists of labels.
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|without|on|ignoring) *\([^)]*\)", "", bare)
    words = set(re.findall(rf"{WORD}(?! *\()\b", bare))
    return {word for word in words if "_" in word or ":" in word} - {"absent"}


def expressions() -> list[tuple[str, str]]:
    """Return all expressions and where they are."""
    found = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        found += [(panel["title"], t["expr"]) for t in panel.get("targets", ())]
    return found


def test_metrics_are_found_in_expressions() -> None:
    """The next test relies on this function."""
    expression = (
        'sum by (a_b, name) (rate(one_total{c_d="e_f"}[5m])) / on (g_h) two:x_y:z > 0'
    )
    assert metrics_in(expression) == {"one_total", "two:x_y:z"}


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_each_metric_is_one_that_there_is(where: str, expression: str) -> None:
    """The process exposes it, or a rule records it."""
    used = metrics_in(expression)
    assert used, where
    assert used <= exposed() | RECORDED


def test_the_minimum_is_there() -> None:
    """Conventions 4.6: the names are CamelCase with the product's prefix."""
    names = [rule["alert"] for rule in ALERT_RULES]
    assert {PREFIX + name for name in MINIMUM} <= set(names)
    assert all(re.fullmatch(rf"{PREFIX}([A-Z][a-z]+)+", name) for name in names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("rule", ALERT_RULES, ids=lambda rule: rule["alert"])
def test_each_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """It has severity, texts, an existing runbook, and fires after minutes."""
    critical = rule["alert"] in CRITICAL
    assert rule["labels"] == {"severity": "critical" if critical else "warning"}
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert all(annotations.values())
    anchor = rule["alert"].lower()
    assert annotations["runbook_url"] == f"docs/operations/alerts.md#{anchor}"
    lasts = re.fullmatch(r"(\d+)([mh])", rule["for"])
    assert lasts is not None
    number, unit = lasts.groups()
    assert int(number) * {"m": 1, "h": 60}[unit] >= 5


def test_each_alert_has_a_runbook_and_no_other() -> None:
    """Each alert has a heading in the order of the rules, with three points."""
    _, *parts = re.split(r"^## (\w+)$", RUNBOOKS.read_text(), flags=re.MULTILINE)
    assert parts[::2] == [rule["alert"] for rule in ALERT_RULES]
    for text in parts[1::2]:
        for word in ("Effect", "Check", "Fix"):
            assert f"\n- {word}: " in text


def test_the_table_is_the_rules() -> None:
    """It has the alerts, their severity, and the time before they fire."""
    shown = re.findall(
        r"^\| \[(\w+)\]\(#(\w+)\) \| (\w+) \| (\w+) \|$",
        RUNBOOKS.read_text(),
        re.MULTILINE,
    )
    assert shown == [
        (name, name.lower(), rule["labels"]["severity"], rule["for"])
        for rule in ALERT_RULES
        for name in [rule["alert"]]
    ]


def test_links_of_the_runbooks_lead_somewhere() -> None:
    """The files, and the headings in them, exist."""
    for text, target in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", RUNBOOKS.read_text()):
        path, _, anchor = target.partition("#")
        file = (RUNBOOKS.parent / path).resolve() if path else RUNBOOKS
        assert file.exists(), text
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {one.lower().replace(" ", "-") for one in headings}


def test_rules_are_ones_that_prometheus_takes() -> None:
    """Promtool accepts them."""
    done = promtool("check", "rules", "--lint-fatal", str(ALERTS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_alerts_fire_when_they_should_and_else_not() -> None:
    """Promtool runs the stories in tests/data/alerts_test.yaml."""
    done = promtool("test", "rules", str(RULE_TESTS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_once_in_the_stories() -> None:
    """None of them fires in the first story."""
    quiet, *stories = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    names = {rule["alert"] for rule in ALERT_RULES}
    assert {test["alertname"] for test in quiet["alert_rule_test"]} == names
    assert not any("exp_alerts" in test for test in quiet["alert_rule_test"])
    fires = {
        test["alertname"]
        for story in stories
        for test in story.get("alert_rule_test", ())
        if test.get("exp_alerts")
    }
    for story in stories:
        for test in story.get("promql_expr_test", ()):
            if test["exp_samples"]:
                fires |= set(re.findall(r'alertname="(\w+)"', test["expr"]))
    assert fires == names


def test_the_dashboard_fits_any_grafana() -> None:
    """The data source is a variable, nothing has a uid; panels do not overlap."""
    dashboard = json.loads(DASHBOARD.read_text())
    assert not {"uid", "id"} & set(dashboard)
    variables = {v["name"]: v["type"] for v in dashboard["templating"]["list"]}
    assert variables == {"datasource": "datasource", "namespace": "query"} | {
        "job": "query"
    }
    uids = re.findall(r'"uid": "([^"]*)"', DASHBOARD.read_text())
    assert set(uids) == {"${datasource}"}
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert at["x"] + at["w"] <= 24
        assert panel["type"] == "row" or panel["targets"]
    for where, expression in expressions():
        if "$" in expression:
            assert 'job=~"$job"' in expression, where
