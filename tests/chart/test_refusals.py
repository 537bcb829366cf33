"""Values that exclude each other, or would fail in the cluster, are refused."""

import json

import pytest
import yaml
from click import BadParameter

from chart.rendering import (
    CHART,
    HELMS,
    Document,
    container,
    of_kind,
    parse,
    refusal,
    render,
    run_helm,
)
from chart.test_values import VALUES
from zitadel_notification_operator.cli.serving.run import LEASE_DURATION

DURATIONS = {
    "5s": True,
    "5000ms": True,
    "90s": True,
    "08s": True,
    "1m30s": True,
    "59m60s": True,
    "1h": True,
    "4999ms": False,
    "0h4s": False,
    "3601s": False,
    "1h1ms": False,
    "9999999h": False,
}
SECTIONS = [key for key, value in VALUES.items() if isinstance(value, dict)]


def accepts(duration: str) -> bool:
    """Return whether `znp run` accepts a lease duration."""
    try:
        LEASE_DURATION.convert(duration, None, None)
    except BadParameter:
        return False
    return True


@pytest.mark.parametrize("duration", DURATIONS)
def test_a_lease_lasts_what_the_program_takes(duration: str) -> None:
    """The chart has the program's bounds; else the pod would not start."""
    option = f"leaderElection.leaseDuration={duration}"
    assert accepts(duration) == DURATIONS[duration]
    if DURATIONS[duration]:
        arguments = container(render("--set", option))["args"]
        assert f"--lease-duration={duration}" in arguments
    else:
        assert "set it from 5s to 1h" in refusal("--set", option)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"metrics": {"port": 8081}}, "metrics.port and health.port are the same"),
        ({"extraEnv": [{"name": "POD_NAME"}]}, "extraEnv: POD_NAME is the chart's"),
        *(
            (
                {"extraEnv": [{"name": name}], "proxy": {key: "x"}},
                f"extraEnv: {name} goes into proxy",
            )
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "https_proxy")
            for key in ("httpProxy", "noProxy")
        ),
        ({"extraVolumes": [{"name": "tmp"}]}, "give yours another name"),
        (
            {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
            "scraped twice",
        ),
        ({"image": {"repository": "foo:1.2"}}, "at '/image/repository'"),
        ({"image": {"repository": "r:5000/foo:1"}}, "at '/image/repository'"),
        ({"image": {"repository": "foo@sha256:0"}}, "at '/image/repository'"),
        ({"image": {"repository": "https://r/foo"}}, "at '/image/repository'"),
        ({"global": {"imageRegistry": "https://r"}}, "at '/global/imageRegistry'"),
        ({"watchNamespaces": [777]}, "at '/watchNamespaces/0'"),
    ],
    ids=str,
)
@pytest.mark.parametrize("helm", HELMS)
def test_these_are_refused(values: Document, text: str, helm: str) -> None:
    """The message names the value."""
    assert text in refusal(*as_options(values), helm=helm)


@pytest.mark.parametrize(
    "values",
    [
        {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://p"}]},
        {"image": {"repository": "localhost:5000/a/b-c.d__e"}},
        {"image": {"repository": "ghcr.io/a/b"}},
        {"global": {"imageRegistry": "r.example:5000/mirror/"}},
        {"watchNamespaces": ["777"]},
    ],
    ids=str,
)
def test_these_are_not(values: Document) -> None:
    """They are similar, but valid."""
    assert render(*as_options(values))


def as_options(values: Document) -> list[str]:
    """Return the options that set these values."""
    return [
        part
        for key, value in values.items()
        for part in ("--set-json", f"{key}={json.dumps(value)}")
    ]


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize(
    "path", ["watchNamespaces", *SECTIONS, "metrics.port", "image.repository"]
)
def test_null_breaks_no_template(path: str, helm: str) -> None:
    """It removes a value; the schema requires what templates need."""
    command = ("template", "rel", str(CHART), "--set", f"{path}=null")
    done = run_helm(*command, check=False, helm=helm)
    name = path.rpartition(".")[2]
    if f"missing property '{name}'" not in done.stderr:
        assert done.returncode == 0, done.stderr
        assert of_kind(parse(done.stdout), "Deployment")


@pytest.mark.parametrize("key", ["httpProxy", "httpsProxy", "noProxy"])
def test_a_dollar_of_the_user_is_a_dollar(key: str) -> None:
    """Kubernetes turns two into one, and would expand a name in brackets."""
    given = {"httpProxy": "http://a", key: "http://u:p$(POD_NAME)$$x@p"}
    env = container(render(*as_options({"proxy": given})))["env"]
    name = {"httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY"}.get(key, "NO_PROXY")
    (value,) = [one["value"] for one in env if one["name"] == name]
    assert value.endswith("http://u:p$$(POD_NAME)$$$$x@p")
    (exceptions,) = [one["value"] for one in env if one["name"] == "NO_PROXY"]
    assert exceptions.startswith("$(KUBERNETES_SERVICE_HOST),")


def extra(*objects: str | Document) -> list[str]:
    """Return the options that add objects."""
    return as_options({"extraObjects": list(objects)})


def config_map(name: str) -> str:
    """Return the manifest of a ConfigMap."""
    metadata = {"name": name}
    text: str = yaml.safe_dump(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    )
    return text


@pytest.mark.parametrize(
    "between", ["---\n", "--- # next\n", "---\n# none\n---\n", "...\n---\n", "---\r\n"]
)
def test_every_document_of_a_text_is_rendered(between: str) -> None:
    """Each of them has the labels."""
    text = f"---\n{config_map('one')}{between}{config_map('two')}"
    found = of_kind(render(*extra(text, "# nothing\n")), "ConfigMap")
    assert [one["metadata"]["name"] for one in found] == ["one", "two"]
    for one in found:
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "rel"


def test_dashes_in_a_value_part_nothing() -> None:
    """They separate documents only at the start of a line."""
    data = {"text": "a\n---\nb\n"}
    given = {**yaml.safe_load(config_map("one")), "data": data}
    for one in (given, yaml.safe_dump(given, default_style="|")):
        (found,) = of_kind(render(*extra(one)), "ConfigMap")
        assert found["data"] == data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "extraObjects[1] is no map of YAML"),
        ("- a", "extraObjects[1] is no map of YAML"),
        ("words", "extraObjects[1] is no map of YAML"),
        (config_map("two") + "---\n\tbad", "extraObjects[1] is no map of YAML"),
        ("kind: ConfigMap", "extraObjects[1] has no apiVersion or no kind"),
    ],
)
def test_what_is_no_object_is_refused(text: str, message: str) -> None:
    """The message has its place in the list."""
    assert message in refusal(*extra(config_map("one"), text))
