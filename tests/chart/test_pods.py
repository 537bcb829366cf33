"""The pods: restricted, with probes and limits, and with existing options."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from chart.rendering import (
    Document,
    container,
    of_kind,
    only,
    pods,
    refusal,
    render,
)
from zitadel_notification_operator.cli.serving.run import command as run
from zitadel_notification_operator.version import VERSION

VOLUMES = {
    *("configMap", "downwardAPI", "emptyDir", "projected", "secret", "csi"),
    *("persistentVolumeClaim", "ephemeral", "image"),
}
NOT_VALUES = {"kubeconfig", "bind_address"}
"""Options of `znp run` without a value of their own: a pod is in-cluster, and probed
by its address."""


def restricted(pod: Document) -> list[str]:
    """Return violations of the Pod Security Standard restricted, or of our rules."""
    spec = pod["spec"]
    wrong = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    context = spec.get("securityContext", {})
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        wrong.append("seccompProfile")
    for volume in spec.get("volumes", []):
        wrong += sorted(set(volume) - {"name"} - VOLUMES)
    everything = [*spec["containers"], *spec.get("initContainers", [])]
    for one in everything:
        wrong += _wrong_container(one, context)
    if "automountServiceAccountToken" not in spec:
        wrong.append("automountServiceAccountToken")
    if spec.get("enableServiceLinks") is not False:
        wrong.append("enableServiceLinks")
    return wrong


def _wrong_container(one: Document, pod: Document) -> list[str]:
    own = one.get("securityContext", {})
    context = {**pod, **own}
    checks = {
        "runAsNonRoot": context.get("runAsNonRoot") is True,
        # If it is unset, the image's own user applies, which is a number (tests/image).
        "runAsUser": context.get("runAsUser") != 0,
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
        "privileged": not own.get("privileged"),
        "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
        "hostPort": not any("hostPort" in port for port in one.get("ports", [])),
        "lifecycle": "lifecycle" not in one,
        "probe host": not any(
            "host" in one.get(f"{probe}Probe", {}).get("httpGet", {})
            for probe in ("startup", "liveness", "readiness")
        ),
    }
    return [name for name, fine in checks.items() if not fine]


def test_pods_are_restricted(documents: list[Document]) -> None:
    """This holds for the operator's pods and for the test's."""
    found = list(pods(documents))
    assert sorted(kind for kind, _ in found) == ["Deployment", "Pod"]
    for kind, pod in found:
        assert restricted(pod) == [], kind


def refused_by_openshift(pod: Document) -> list[str]:
    """Return what OpenShift's SCC restricted-v2 refuses in a pod.

    Each namespace has its own range of users and groups. A pod that sets one must be in
    that range, which no chart can know. For the rules see `oc get scc restricted-v2 -o
    yaml`.
    """
    spec = pod["spec"]
    contexts = [spec.get("securityContext", {})]
    contexts += [one.get("securityContext", {}) for one in spec["containers"]]
    wrong = [
        key
        for context in contexts
        for key in ("runAsUser", "fsGroup", "supplementalGroups", "seLinuxOptions")
        if key in context
    ]
    for context in contexts:
        if context.get("allowPrivilegeEscalation") or context.get("privileged"):
            wrong.append("privileges")
        if set(context.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
            wrong.append("capabilities")
        if context.get("seccompProfile", {}).get("type", "RuntimeDefault") != (
            "RuntimeDefault"
        ):
            wrong.append("seccompProfile")
    for volume in spec.get("volumes", []):
        wrong += sorted(set(volume) - {"name"} - VOLUMES)
    return wrong


def test_openshift_starts_the_pods(documents: list[Document]) -> None:
    """Otherwise there would be no pod, and only an Event of the ReplicaSet."""
    for kind, pod in pods(documents):
        assert refused_by_openshift(pod) == [], kind


@pytest.mark.parametrize(
    "option",
    [
        "podSecurityContext.runAsUser=65532",
        "podSecurityContext.fsGroup=65532",
        "securityContext.runAsUser=65532",
        "securityContext.privileged=true",
    ],
)
def test_the_check_finds_what_openshift_refuses(option: str) -> None:
    """Otherwise the check would be useless; user values reach both pods."""
    for _, pod in pods(render("--set", option)):
        assert refused_by_openshift(pod) != []


def test_a_mesh_leaves_the_tests_pod_alone(documents: list[Document]) -> None:
    """`helm test` would wait for a sidecar that does not end."""
    pod = only(documents, "Pod")["metadata"]
    assert (
        pod["annotations"].items()
        >= {
            "sidecar.istio.io/inject": "false",
            "linkerd.io/inject": "disabled",
            "helm.sh/hook": "test",
            "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        }.items()
    )
    assert pod["labels"]["sidecar.istio.io/inject"] == "false"
    template = only(documents, "Deployment")["spec"]["template"]["metadata"]
    assert "sidecar.istio.io/inject" not in template["labels"]


def test_the_tests_pod_has_values_of_its_own() -> None:
    """They are added; Helm's and the selectors' labels stay."""
    options = [
        r"helmTest.annotations.linkerd\.io/inject=enabled",
        r"helmTest.annotations.helm\.sh/hook=pre-install",
        r"helmTest.labels.example\.com/a=b",
        r"helmTest.labels.app\.kubernetes\.io/component=operator",
    ]
    pod = only(render(*(p for o in options for p in ("--set-string", o))), "Pod")
    found = pod["metadata"]
    assert found["annotations"]["linkerd.io/inject"] == "enabled"
    assert found["annotations"]["helm.sh/hook"] == "test"
    assert found["labels"]["example.com/a"] == "b"
    assert found["labels"]["app.kubernetes.io/component"] == "test"


def test_values_of_an_older_release_are_enough() -> None:
    """`helm upgrade --reuse-values` has none of the newer keys."""
    options = (
        "helmTest=null",
        "serviceMonitor.namespace=null",
        "dashboard.enabled=true",
    )
    documents = render(*(part for o in options for part in ("--set", o)))
    annotations = only(documents, "Pod")["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "test"
    assert only(documents, "ConfigMap")["metadata"]["namespace"] == "operators"


BREAKS: dict[str, Callable[[Document], object]] = {
    "hostNetwork": lambda spec: spec.update(hostNetwork=True),
    "seccompProfile": lambda spec: spec["securityContext"].pop("seccompProfile"),
    "hostPath": lambda spec: spec["volumes"].append({"name": "h", "hostPath": {}}),
    "runAsNonRoot": lambda spec: spec["securityContext"].pop("runAsNonRoot"),
    "runAsUser": lambda spec: spec["securityContext"].update(runAsUser=0),
    "capabilities": lambda spec: _context(spec).update(capabilities={}),
    "privileged": lambda spec: _context(spec).update(privileged=True),
    "readOnlyRootFilesystem": lambda spec: _context(spec).pop("readOnlyRootFilesystem"),
    "hostPort": lambda spec: spec["containers"][0]["ports"][0].update(hostPort=80),
    "enableServiceLinks": lambda spec: spec.pop("enableServiceLinks"),
}


def _context(spec: Document) -> Any:
    return spec["containers"][0]["securityContext"]


@pytest.mark.parametrize("name", BREAKS)
def test_the_check_finds_what_is_not_restricted(
    name: str, defaults: list[Document]
) -> None:
    """Otherwise the check would be useless."""
    pod = copy.deepcopy(only(defaults, "Deployment")["spec"]["template"])
    BREAKS[name](pod["spec"])
    assert restricted(pod) == [name]


def test_only_tmp_can_be_written(defaults: list[Document]) -> None:
    """It is an emptyDir with a limit."""
    spec = only(defaults, "Deployment")["spec"]["template"]["spec"]
    assert container(defaults)["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - in the pod
    assert spec["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}]


def test_probes_ask_what_they_are_for(documents: list[Document]) -> None:
    """/healthz fails if a restart helps; /readyz waits for CRDs and the cache."""
    operator = container(documents)
    paths = {
        probe: operator[f"{probe}Probe"]["httpGet"]
        for probe in ("startup", "liveness", "readiness")
    }
    assert paths == {
        "startup": {"path": "/healthz", "port": "health"},
        "liveness": {"path": "/healthz", "port": "health"},
        "readiness": {"path": "/readyz", "port": "health"},
    }


def test_resources_are_bounded(documents: list[Document]) -> None:
    """Memory has a limit; a CPU limit is left to the user."""
    resources = container(documents)["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]
    assert "cpu" not in resources["limits"]


def test_there_is_time_to_end(documents: list[Document]) -> None:
    """It is longer than a call to ZITADEL (10 s) and the hand-over."""
    spec = only(documents, "Deployment")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 30


def arguments(documents: list[Document]) -> dict[str, Any]:
    """Return how `znp run` parses the container's arguments."""
    command, *rest = container(documents)["args"]
    assert (container(documents)["command"], command) == (["znp"], "run")
    context = run.make_context("run", rest)
    assert not context.args
    return context.params


def test_arguments_are_what_the_program_takes(documents: list[Document]) -> None:
    """click would refuse an option that is misspelled or out of bounds."""
    found = arguments(documents)
    operator = container(documents)
    ports = {port["name"]: port["containerPort"] for port in operator["ports"]}
    assert ports == {
        "metrics": found["metrics_port"],
        "health": found["health_port"],
    }
    (namespace,) = {
        d["metadata"]["namespace"] for d in of_kind(documents, "Deployment")
    }
    assert found["namespace"] == namespace


def test_everything_on_reaches_the_program() -> None:
    """Each value has its effect."""
    options = [
        *("logLevel=debug", "logFormat=text", "workers=4", "allowLocalUrls=true"),
        *("leaderElection.leaseDuration=30s", "watchNamespaces={a,b}"),
        *("metrics.port=9080", "metrics.perPolicy=false", "health.port=9081"),
        "class=canary",
    ]
    found = arguments(render(*(part for o in options for part in ("--set", o))))
    wanted = {
        "log_level": "debug",
        "log_format": "text",
        "workers": 4,
        "allow_local_urls": True,
        "operator_class": "canary",
        "lease_duration": 30.0,
        "leader_elect": True,
        "watch_namespaces": ("a", "b"),
        "metrics_port": 9080,
        "object_metrics": False,
        "health_port": 9081,
        "namespace": "operators",
    }
    assert {key: found[key] for key in wanted} == wanted
    assert {option.name for option in run.params} - NOT_VALUES == set(wanted)


def test_defaults_are_the_programs(defaults: list[Document]) -> None:
    """An unset value changes nothing."""
    found = arguments(defaults)
    plain = run.make_context("run", ["--namespace", "operators"]).params
    assert found == plain


def test_without_a_lease_there_is_never_a_second_one() -> None:
    """One replica ends before the next one starts; two are refused."""
    off = ("--set", "leaderElection.enabled=false")
    documents = render(*off, "--set", "replicas=1")
    assert arguments(documents)["leader_elect"] is False
    spec = only(documents, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert "replicas above 1 need leaderElection.enabled" in refusal(*off)


def test_the_pod_knows_its_name(defaults: list[Document]) -> None:
    """It is in the Lease."""
    assert container(defaults)["env"] == [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    ]


@pytest.mark.parametrize("which", ["httpProxy", "httpsProxy"])
def test_the_api_server_is_reached_without_the_proxy(which: str) -> None:
    """Its address in the environment and its name are both exceptions."""
    documents = render(
        *("--set", f"proxy.{which}=http://p:1", "--set", r"proxy.noProxy=.a\,.b")
    )
    env = {e["name"]: e.get("value") for e in container(documents)["env"]}
    assert env["NO_PROXY"] == (
        "$(KUBERNETES_SERVICE_HOST),kubernetes.default.svc,.a,.b"
    )
    assert env[{"httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY"}[which]]


@pytest.mark.parametrize(
    ("options", "image"),
    [
        ([], f"zitadel-notification-operator:{VERSION}"),
        (["image.tag=x"], "zitadel-notification-operator:x"),
        (
            ["global.imageRegistry=r.example/m"],
            f"r.example/m/zitadel-notification-operator:{VERSION}",
        ),
        (
            ["image.repository=r/i", f"image.digest=sha256:{'0' * 64}"],
            f"r/i@sha256:{'0' * 64}",
        ),
    ],
)
def test_image(options: list[str], image: str) -> None:
    """Registry, repository, then digest or tag; both pods have the same image."""
    documents = render(*(part for o in options for part in ("--set", o)))
    for _, pod in pods(documents):
        assert pod["spec"]["containers"][0]["image"] == image


def test_pull_secrets_of_both_places() -> None:
    """These are the umbrella chart's and the chart's own."""
    documents = render(
        *("--set", "global.imagePullSecrets[0].name=a"),
        *("--set", "imagePullSecrets[0].name=b"),
    )
    for _, pod in pods(documents):
        assert pod["spec"]["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]


def test_pods_spread(defaults: list[Document]) -> None:
    """They prefer different nodes; the constraint counts the operator's pods."""
    deployment = only(defaults, "Deployment")["spec"]
    assert deployment["template"]["spec"]["topologySpreadConstraints"] == [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": deployment["selector"],
        }
    ]


def test_given_spread_selector_stays() -> None:
    """The chart's own selector is used only if there is none."""
    key = "topologySpreadConstraints[0]"
    given = '{"maxSkew":1,"labelSelector":{"matchLabels":{"a":"b"}}}'
    documents = render("--set-json", f"{key}={given}")
    spec = only(documents, "Deployment")["spec"]["template"]["spec"]
    (constraint,) = spec["topologySpreadConstraints"]
    assert constraint["labelSelector"] == {"matchLabels": {"a": "b"}}


def test_the_budget_never_blocks(documents: list[Document]) -> None:
    """At least one pod may be evicted, and every pod that is not ready."""
    spec = only(documents, "PodDisruptionBudget")["spec"]
    assert "minAvailable" not in spec
    most = spec["maxUnavailable"]
    assert int(str(most).removesuffix("%")) >= 1
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("value", ["0", "0%", "-1", "x"])
def test_a_blocking_budget_is_refused(value: str) -> None:
    """The schema refuses it."""
    message = refusal("--set", f"podDisruptionBudget.maxUnavailable={value}")
    assert "maxUnavailable" in message


def test_network_policy_lets_through_what_is_needed() -> None:
    """Prometheus and the test may connect; DNS, API server and ZITADEL are reached."""
    policy = only(render("--set", "networkPolicy.enabled=true"), "NetworkPolicy")[
        "spec"
    ]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    into = {
        port["port"]: rule["from"]
        for rule in policy["ingress"]
        for port in rule["ports"]
    }
    assert set(into) == {"metrics", "health"}
    assert all(into.values())
    out = [
        [(p["protocol"], p["port"]) for p in rule["ports"]] for rule in policy["egress"]
    ]
    assert out == [
        [("UDP", 53), ("TCP", 53)],
        [("TCP", 443), ("TCP", 6443)],
        [("TCP", 443)],
    ]


def test_network_policy_lets_the_test_in() -> None:
    """The rule's selector matches the pod of `helm test`."""
    documents = render("--set", "networkPolicy.enabled=true")
    (pod,) = of_kind(documents, "Pod")
    (selector,) = [
        peer["podSelector"]["matchLabels"]
        for rule in only(documents, "NetworkPolicy")["spec"]["ingress"]
        for peer in rule["from"]
        if "podSelector" in peer
    ]
    assert selector.items() <= pod["metadata"]["labels"].items()


def test_nobody_scrapes_unless_named() -> None:
    """An empty list of peers would mean everybody."""
    documents = render(
        *("--set", "networkPolicy.enabled=true", "--set-json"),
        "networkPolicy.metricsFrom=[]",
    )
    rules = only(documents, "NetworkPolicy")["spec"]["ingress"]
    assert [p["port"] for rule in rules for p in rule["ports"]] == ["health"]
