"""Renders the chart with the real Helm, 4 or 3, and finds objects in the result."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from zitadel_notification_operator.demo.binaries import find_binaries

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "deploy" / "helm" / "zitadel-notification-operator"
CASES = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
"""Each is a file of values that the chart must render with."""
HELM_4, HELM_3 = "helm", "helm3"
HELMS = (HELM_4, HELM_3)
"""The names of the two programs in .tools/bin."""
NAMESPACE = "operators"
LONGEST = "r" + "0123456789" * 5 + "rr"
"""A release name of 53 characters: Helm takes no longer one."""

Document = dict[str, Any]


class UniqueKeys(yaml.SafeLoader):
    """Refuses duplicate keys, which different tools read differently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        """Return the map."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice: {node.start_mark}"
        return super().construct_mapping(node, deep)


def run_helm(
    *arguments: str,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
    helm: str = HELM_4,
) -> subprocess.CompletedProcess[str]:
    """Run Helm without the configuration of the machine's user."""
    program = find_binaries((helm,)) / helm
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [str(program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": home,
                "KUBECONFIG": f"{home}/none",
                **(environment or {}),
            },
        )
    if check:
        assert done.returncode == 0, done.stderr
    return done


def render_text(
    *options: str, release: str = "rel", chart: Path = CHART, helm: str = HELM_4
) -> str:
    """Return the output of `helm template`."""
    command = ["template", release, str(chart), "--namespace", NAMESPACE]
    return run_helm(*command, *options, helm=helm).stdout


def refusal(*options: str, release: str = "rel", helm: str = HELM_4) -> str:
    """Return the error of Helm if it renders nothing."""
    command = ("template", release, str(CHART), *options)
    done = run_helm(*command, check=False, helm=helm)
    assert done.returncode != 0, "Helm rendered it"
    return done.stderr


def parse(text: str) -> list[Document]:
    """Return the documents in a YAML text."""
    found = yaml.load_all(text, Loader=UniqueKeys)
    return [document for document in found if document is not None]


def render(
    *options: str, release: str = "rel", chart: Path = CHART, helm: str = HELM_4
) -> list[Document]:
    """Return the documents that Helm renders."""
    return parse(render_text(*options, release=release, chart=chart, helm=helm))


@cache
def render_case(case: str) -> list[Document]:
    """Return the documents of a file of values; they are cached, so change none."""
    return render(*values_of(case), release=release_of(case))


def values_of(case: str) -> tuple[str, str]:
    """Return the options for a file of values."""
    return "--values", str(CHART / "ci" / case)


def release_of(case: str) -> str:
    """Return the name of the release that a file of values is rendered for."""
    return LONGEST if case.startswith("long-names") else "rel"


def of_kind(documents: list[Document], *kinds: str) -> list[Document]:
    """Return the documents of some kinds."""
    return [document for document in documents if document["kind"] in kinds]


def only(documents: list[Document], kind: str) -> Document:
    """Return the only document of a kind."""
    (found,) = of_kind(documents, kind)
    return found


def named(documents: list[Document], kind: str, suffix: str) -> Document:
    """Return the only document of a kind whose name has this ending."""
    (found,) = [
        document
        for document in of_kind(documents, kind)
        if document["metadata"]["name"].endswith(suffix)
    ]
    return found


def pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Yield each pod or template of pods, and the kind that contains it."""
    for document in documents:
        if document["kind"] == "Pod":
            yield "Pod", document
        elif "template" in document.get("spec", {}):
            yield document["kind"], document["spec"]["template"]


def container(documents: list[Document]) -> Document:
    """Return the operator's container."""
    spec = only(documents, "Deployment")["spec"]["template"]["spec"]
    (found,) = spec["containers"]
    assert isinstance(found, dict)
    return found
