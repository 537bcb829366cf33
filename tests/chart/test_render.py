"""The rendered chart as a whole: its objects, their names and labels."""

import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.rendering import (
    CASES,
    CHART,
    HELMS,
    NAMESPACE,
    ROOT,
    Document,
    named,
    of_kind,
    only,
    pods,
    refusal,
    render,
    render_text,
    run_helm,
    values_of,
)

LABELS = {
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
}
CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
MONITORING = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("case", CASES)
def test_lint_is_quiet(case: str, helm: str) -> None:
    """Helm itself accepts the chart."""
    run_helm("lint", "--strict", str(CHART), *values_of(case), helm=helm)


@pytest.mark.parametrize("case", CASES)
def test_renders_the_same_again(case: str) -> None:
    """GitOps tools render all the time and must see no difference."""
    assert render_text(*values_of(case)) == render_text(*values_of(case))


@pytest.mark.parametrize("helm", HELMS)
def test_the_package_is_whole(tmp_path: Path, helm: str) -> None:
    """The package renders the same, without the values for CI."""
    run_helm("package", str(CHART), "--destination", str(tmp_path), helm=helm)
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "values.schema.json", "files/alerts.yaml"} <= names
    assert not [name for name in names if name.startswith("ci/")]
    assert render_text(chart=package) == render_text()


def test_asks_no_cluster_and_no_chance() -> None:
    """`lookup` is empty in a dry run; random texts differ each time."""
    unstable = r"\b(lookup|rand[A-Z]\w+|gen[A-Z]\w+|uuidv4|now|getHostByName)\b"
    templates = [path for path in CHART.rglob("templates/**/*") if path.is_file()]
    assert len(templates) > 10
    for path in templates:
        actions = re.findall(r"{{-?(.*?)-?}}", path.read_text(), flags=re.DOTALL)
        code = [a for a in actions if not a.lstrip().startswith("/*")]
        assert [a for a in code if re.search(unstable, a)] == [], path


def test_defaults_make_these_objects(defaults: list[Document]) -> None:
    """Optional objects are absent, and so are Secrets and our own kinds."""
    assert sorted(d["kind"] for d in defaults) == sorted(
        ["Deployment", "Pod", "PodDisruptionBudget", "Service", "ServiceAccount"]
        + ["CustomResourceDefinition"] * 3
        + ["ClusterRole"] * 5
        + ["ClusterRoleBinding", "Role", "RoleBinding"]
    )


def test_every_document_has_the_labels(documents: list[Document]) -> None:
    """They are the recommended ones and the chart's, and valid."""
    for document in documents:
        labels = document["metadata"]["labels"]
        assert set(labels) >= LABELS | {"helm.sh/chart"}, document["kind"]
        for value in labels.values():
            assert LABEL.fullmatch(value), value


def test_names_fit(documents: list[Document]) -> None:
    """A DNS label has 63 characters at most; a CRD's name is given."""
    for document in documents:
        name = document["metadata"]["name"]
        if document["kind"] != "CustomResourceDefinition":
            assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name), name


def test_names_are_unique(documents: list[Document]) -> None:
    """No object overwrites another one."""
    keys = [
        (d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"])
        for d in documents
    ]
    assert len(keys) == len(set(keys))


def test_every_namespaced_document_says_its_namespace(
    documents: list[Document],
) -> None:
    """`kubectl apply` puts each object where Helm does."""
    for document in documents:
        if document["kind"] not in CLUSTER_SCOPED and not document["metadata"][
            "name"
        ].startswith("extra-"):
            assert document["metadata"].get("namespace"), document["kind"]


def selectors(documents: list[Document]) -> list[dict[str, str]]:
    """Return each selector for the operator's pods."""
    found = [only(documents, "Service")["spec"]["selector"]]
    kinds = ("Deployment", "PodDisruptionBudget", "PodMonitor")
    found += [d["spec"]["selector"]["matchLabels"] for d in of_kind(documents, *kinds)]
    found += [
        d["spec"]["podSelector"]["matchLabels"]
        for d in of_kind(documents, "NetworkPolicy")
    ]
    return found


def fits(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Return whether a selector matches these labels."""
    return selector.items() <= labels.items()


def test_selectors_find_the_operators_pods_only(documents: list[Document]) -> None:
    """Name and instance decide; the test's pod is not selected."""
    labels = {kind: pod["metadata"]["labels"] for kind, pod in pods(documents)}
    found = selectors(documents)
    assert len(found) >= 3
    for selector in found:
        assert set(selector) == {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
        }
        assert fits(selector, labels["Deployment"])
        assert not fits(selector, labels["Pod"])


def test_the_service_monitor_finds_the_service() -> None:
    """Its endpoint is a port of the Service."""
    documents = render("--values", str(CHART / "ci" / "everything-on-values.yaml"))
    service = only(documents, "Service")
    monitor = only(documents, "ServiceMonitor")["spec"]
    assert fits(monitor["selector"]["matchLabels"], service["metadata"]["labels"])
    ports = {port["name"] for port in service["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= ports


ELSEWHERE = {
    "ServiceMonitor": "serviceMonitor",
    "PodMonitor": "podMonitor",
    "PrometheusRule": "prometheusRule",
    "ConfigMap": "dashboard",
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_monitoring_may_be_in_another_namespace(kind: str) -> None:
    """Prometheus may select in its own only; the target stays."""
    on = ("--set", f"{ELSEWHERE[kind]}.enabled=true")
    served = ("--api-versions", "monitoring.coreos.com/v1")
    away = ("--set-string", f"{ELSEWHERE[kind]}.namespace=1e3")
    here, there = (only(render(*on, *served, *o), kind) for o in ((), away))
    assert here["metadata"].pop("namespace") == "operators"
    assert there["metadata"].pop("namespace") == "1e3"
    assert here == there
    if kind.endswith("Monitor"):
        assert there["spec"]["namespaceSelector"] == {"matchNames": ["operators"]}
    others = {
        document["metadata"].get("namespace", "operators")
        for document in render(*on, *served, *away)
        if document["kind"] != kind
    }
    assert others == {"operators"}


@pytest.mark.parametrize(
    ("key", "kind", "endpoints"),
    [
        ("serviceMonitor", "ServiceMonitor", "endpoints"),
        ("podMonitor", "PodMonitor", "podMetricsEndpoints"),
    ],
)
def test_options_of_a_monitor(key: str, kind: str, endpoints: str) -> None:
    """Label options, and endpoint fields that the chart does not know."""
    served = (
        "--set",
        f"{key}.enabled=true",
        "--api-versions",
        "monitoring.coreos.com/v1",
    )
    plain = only(render(*served), kind)["spec"]
    assert plain[endpoints] == [{"port": "metrics", "path": "/metrics"}]
    assert set(plain) == {"selector", "namespaceSelector", endpoints}
    options = [
        *(f"{key}.honorLabels=true", f"{key}.jobLabel=app"),
        *(f"{key}.podTargetLabels={{team,zone}}", f"{key}.interval=30s"),
        *(f"{key}.extraEndpoint.scheme=https", f"{key}.extraEndpoint.interval=1m"),
        *(f"{key}.extraEndpoint.honorLabels=false", f"{key}.scrapeTimeout=5s"),
        f"{key}.extraEndpoint.scrapeTimeout=",
    ]
    monitor = only(render(*served, *(p for o in options for p in ("--set", o))), kind)
    assert monitor["spec"][endpoints] == [
        {
            "port": "metrics",
            "path": "/metrics",
            "honorLabels": False,
            "scheme": "https",
            "interval": "1m",
            "scrapeTimeout": "",
        }
    ]
    assert monitor["spec"]["jobLabel"] == "app"
    assert monitor["spec"]["podTargetLabels"] == ["team", "zone"]


def other_version(folder: Path) -> Path:
    """Return a copy of the chart with another version."""
    copy = folder / "chart"
    shutil.copytree(CHART, copy)
    chart = copy / "Chart.yaml"
    text = re.sub(
        r"(?m)^(version|appVersion): .*", r'\1: "9.8.7+build"', chart.read_text()
    )
    chart.write_text(text)
    return copy


def test_a_new_version_changes_no_selector(tmp_path: Path) -> None:
    """A Deployment's selector is immutable; only two pod labels differ."""
    before, after = render(), render(chart=other_version(tmp_path))
    assert selectors(before) == selectors(after)
    old, new = (only(d, "Deployment")["spec"]["template"] for d in (before, after))
    assert new["metadata"]["labels"].pop("app.kubernetes.io/version") == "9.8.7_build"
    old["metadata"]["labels"].pop("app.kubernetes.io/version")
    for pod in (old, new):
        pod["spec"]["containers"][0].pop("image")
    assert old == new


@pytest.mark.parametrize("kind", MONITORING)
def test_render_modes(kind: str) -> None:
    """They say what happens without Prometheus Operator's CRDs."""
    key = kind[0].lower() + kind[1:]
    on = ("--set", f"{key}.enabled=true")
    assert of_kind(render(*on), kind) == []
    assert of_kind(render(*on, "--set", f"{key}.renderMode=alwaysRender"), kind)
    assert of_kind(render(*on, "--api-versions", "monitoring.coreos.com/v1"), kind)
    message = refusal(*on, "--set", f"{key}.renderMode=failIfMissing")
    assert "install Prometheus Operator's CRDs" in message


def test_files_are_embedded_as_they_are() -> None:
    """Their braces are for Prometheus and Grafana, not for Helm."""
    documents = render("--values", str(CHART / "ci" / "everything-on-values.yaml"))
    (data,) = named(documents, "ConfigMap", "-dashboard")["data"].values()
    assert data.strip() == (CHART / "files" / "dashboard.json").read_text().strip()
    alerts = (CHART / "files" / "alerts.yaml").read_text()
    base = "https://git.example.com/operator/blob/main/"
    for added in ("", base):
        on = ("prometheusRule.enabled=true", "prometheusRule.renderMode=alwaysRender")
        options = [f"--set={text}" for text in on]
        options.append(f"--set=prometheusRule.runbookBaseUrl={added}")
        (rules,) = of_kind(render(*options), "PrometheusRule")
        url = "runbook_url: "
        wanted = alerts.replace(f"{url}docs/", f"{url}{added}docs/")
        assert rules["spec"] == yaml.safe_load(wanted)


def test_dashboard_has_the_sidecars_label() -> None:
    """Grafana's sidecar looks for it by default."""
    documents = render("--set", "dashboard.enabled=true")
    labels = only(documents, "ConfigMap")["metadata"]["labels"]
    assert labels["grafana_dashboard"] == "1"


def test_own_labels_win() -> None:
    """Users cannot break the selectors with labels of their own."""
    key = r"app\.kubernetes\.io/name"
    documents = render(
        *("--set", f"commonLabels.{key}=a", "--set", f"podLabels.{key}=b"),
    )
    for _, pod in pods(documents):
        assert pod["metadata"]["labels"]["app.kubernetes.io/name"] not in {"a", "b"}


def test_a_numeric_release_name_stays_a_text() -> None:
    """YAML would read a bare 123 as a number, which is no label."""
    for document in render("--set", "fullnameOverride=own", release="123"):
        assert document["metadata"]["labels"]["app.kubernetes.io/instance"] == "123"


def test_namespace_can_be_overridden() -> None:
    """This applies to every place that names it."""
    text = render_text("--set", "namespaceOverride=elsewhere")
    assert NAMESPACE not in text
    assert "--namespace=elsewhere" in text


def test_extra_objects_are_templates() -> None:
    """They may be maps or texts, and keep their own labels."""
    documents = render("--values", str(CHART / "ci" / "everything-on-values.yaml"))
    for suffix in ("extra-map", "extra-text"):
        assert named(documents, "ConfigMap", suffix)["data"] == {"release": "rel"}
    labels: dict[str, Any] = named(documents, "ConfigMap", "extra-map")["metadata"][
        "labels"
    ]
    assert labels["app.kubernetes.io/component"] == "extra"


def test_notes_name_the_next_commands() -> None:
    """They create three objects and wait for them."""
    notes = run_helm("install", "rel", str(CHART), "--dry-run=client").stdout
    for text in (
        "create secret generic zitadel-credentials",
        "kind: ZitadelInstance",
        "kind: NotificationPolicy\n",
        "kind: NotificationPolicySet\n",
        "wait --for=condition=Ready zitadelinstance/default",
    ):
        assert text in notes


def test_notes_of_a_class_declare_what_its_operator_serves() -> None:
    """The instance is of the class and has a name of its own, which the others use."""
    command = ("install", "rel", str(CHART), "--dry-run=client", "--set-string")
    notes = run_helm(*command, "class=1").stdout
    assert 'name: "1"\n     spec:\n       class: "1"\n' in notes
    assert notes.count('instanceRef:\n         name: "1"\n') == 2


def test_versions_are_the_projects() -> None:
    """Chart, program and package are released together."""
    project = (ROOT / "pyproject.toml").read_text()
    (version,) = re.findall(r'(?m)^version = "(.*)"$', project)
    chart = run_helm("show", "chart", str(CHART)).stdout
    assert re.findall(r"(?m)^(?:version|appVersion): (\S+)$", chart) == [version] * 2
    assert "kubeVersion: '>=1.31.0-0'" in chart
