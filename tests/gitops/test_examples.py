"""`examples/gitops` contains what Argo CD, Flux and the CRDs accept, in order.

Argo CD and Flux do not run here, but their CRDs are installed (`tests/data/crd`): the
API server checks each manifest in a dry run, including unknown fields.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.judges import FLUX
from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent.parent
GITOPS = ROOT / "examples" / "gitops"
VENDORED = sorted((ROOT / "tests" / "data" / "crd").glob("*/*.yaml"))
KUSTOMIZATIONS = sorted(GITOPS.rglob("kustomization.yaml"))
OURS = {"NotificationPolicy", "NotificationPolicySet", "ZitadelInstance"}
OPERATOR = "zitadel-notification-operator"
VALUES = {"image": {"repository": f"registry.example.com/{OPERATOR}"}}
"""The chart's own has no host: no image is published."""

Json = dict[str, Any]


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane with the kinds of Argo CD, Flux and External Secrets."""
    files = [f"--filename={file}" for file in VENDORED]
    control_plane.kubectl("create", *files)
    control_plane.kubectl("wait", "--for=condition=Established", *files)
    for name in ("argocd", "flux-system", "team-a"):
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name},
        }
        control_plane.kubectl("apply", "-f-", stdin=json.dumps(namespace))
    yield control_plane
    control_plane.kubectl("delete", *files)


def documents(folder: Path) -> list[Json]:
    """Return the manifests in a folder, without those that only kustomize reads."""
    return [
        document
        for file in sorted(folder.rglob("*.yaml"))
        if file.name != "kustomization.yaml"
        for document in yaml.safe_load_all(file.read_text())
    ]


def named(folder: Path, kind: str) -> dict[str, Json]:
    """Return the manifests of a kind by name."""
    return {d["metadata"]["name"]: d for d in documents(folder) if d["kind"] == kind}


@pytest.mark.parametrize(
    "file", KUSTOMIZATIONS, ids=lambda f: str(f.parent.relative_to(GITOPS))
)
def test_a_folder_is_accepted(cluster: ControlPlane, file: Path) -> None:
    """kustomize builds it, with every file of the folder."""
    built = cluster.kubectl("kustomize", str(file.parent)).stdout
    found = list(yaml.safe_load_all(built))
    key = lambda d: (d["kind"], d["metadata"]["name"])  # noqa: E731 - used twice, here
    assert sorted(found, key=key) == sorted(documents(file.parent), key=key)
    done = cluster.kubectl("apply", "--dry-run=server", "-f-", stdin=built)
    assert len(done.stdout.splitlines()) == len(found)


def test_the_application_is_accepted(cluster: ControlPlane) -> None:
    """A person applies it, so it belongs to no kustomization."""
    file = GITOPS / "argocd" / "application.yaml"
    cluster.kubectl("apply", "--dry-run=server", "-f", str(file))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("argocd/application.yaml", "selfHeal: true", "selfheal: true"),
        ("argocd/zitadel/instance.yaml", "url: https://", "url: http://"),
        ("argocd/zitadel/external-secret.yaml", "secretKey: token", "secret: token"),
        ("argocd/zitadel/customers.yaml", "name: sandbox-*", 'name: "*"'),
        ("flux/policies/customers.yaml", "all: true", "all: false"),
        ("flux/cluster/policies.yaml", "WaitForTermination", "Wait"),
        ("flux/cluster/policies.yaml", "current: >-", "ready: >-"),
        ("flux/cluster/sources.yaml", "interval: 5m", "interval: soon"),
        ("flux/operator/release.yaml", "kind: OCIRepository\n    name", "name"),
    ],
)
def test_a_mistake_is_refused(
    cluster: ControlPlane, file: str, old: str, new: str
) -> None:
    """This shows that the tests above can fail."""
    text = (GITOPS / file).read_text()
    assert old in text
    done = cluster.kubectl(
        *("apply", "--dry-run=server", "-f-"),
        stdin=text.replace(old, new),
        check=False,
    )
    assert done.returncode


def test_each_manifest_is_in_reach() -> None:
    """Each folder has a kustomization, which has every file but one."""
    covered = {file.parent for file in KUSTOMIZATIONS}
    others = [f for f in GITOPS.rglob("*.yaml") if f.parent not in covered]
    assert others == [GITOPS / "argocd" / "application.yaml"]


def test_no_secret_and_no_real_host() -> None:
    """Credentials are references, and addresses use the reserved domain."""
    text = "".join(file.read_text() for file in GITOPS.rglob("*.yaml"))
    hosts = re.findall(r"(?:https|oci)://([^/\s]+)|repoURL: ([a-z0-9.-]+)/", text)
    names = {name for pair in hosts for name in pair if name}
    assert len(names) > 2
    cluster = {"kubernetes.default.svc"}
    assert {n for n in names if not n.endswith(".example.com")} == cluster
    assert "Secret" not in {d["kind"] for d in documents(GITOPS)}


def test_waves_of_argo() -> None:
    """Secret and instance come before policies; CRDs may be late."""
    waves: dict[str, set[str]] = {}
    for document in documents(GITOPS / "argocd" / "zitadel"):
        notes = document["metadata"]["annotations"]
        waves.setdefault(document["kind"], set()).add(
            notes["argocd.argoproj.io/sync-wave"]
        )
        options = notes.get("argocd.argoproj.io/sync-options", "")
        skips = "SkipDryRunOnMissingResource=true" in options
        assert skips == (document["kind"] in OURS)
    assert waves == {
        "Namespace": {"1"},
        "ExternalSecret": {"1"},
        "ZitadelInstance": {"1"},
        "NotificationPolicy": {"2"},
        "NotificationPolicySet": {"2"},
    }


def test_the_application_has_chart_and_folder() -> None:
    """One Application has both, so its deletion reverses the waves."""
    application = named(GITOPS / "argocd", "Application")["zitadel-notification"]
    chart, folder = application["spec"]["sources"]
    assert chart["chart"] == OPERATOR
    assert chart["targetRevision"] == version()
    assert chart["helm"]["valuesObject"] == VALUES
    assert (ROOT / folder["path"] / "kustomization.yaml").is_file()
    assert application["metadata"]["finalizers"]
    assert "ignoreDifferences" not in application["spec"]


def version() -> str:
    """Return the version of the project, which is also that of the chart."""
    text = (ROOT / "pyproject.toml").read_text()
    return str(tomllib.loads(text)["project"]["version"])


def test_order_of_flux() -> None:
    """Operator, connection, policies: each waits for the one before."""
    steps = named(FLUX.parent, "Kustomization")
    after = {
        name: [d["name"] for d in step["spec"].get("dependsOn", [])]
        for name, step in steps.items()
    }
    assert after == {
        OPERATOR: [],
        "zitadel-connection": [OPERATOR],
        "zitadel-policies": ["zitadel-connection"],
    }
    sources = named(FLUX.parent, "GitRepository")
    for step in steps.values():
        spec = step["spec"]
        assert spec["wait"]
        assert spec["prune"]
        assert spec["sourceRef"]["name"] in sources
        assert (ROOT / spec["path"] / "kustomization.yaml").is_file()


def test_the_release_of_flux() -> None:
    """It has the chart's name and a range for this version."""
    folder = GITOPS / "flux" / "operator"
    release = named(folder, "HelmRelease")[OPERATOR]["spec"]
    chart = named(folder, "OCIRepository")[release["chartRef"]["name"]]["spec"]
    assert chart["url"].endswith(f"/{OPERATOR}")
    assert release["values"] == VALUES
    assert chart["ref"]["semver"] == version().rpartition(".")[0] + ".x"


def test_the_guide_shows_the_expressions() -> None:
    """They are those of the example, which the tests use."""
    guide = (ROOT / "docs" / "how-to" / "gitops-flux.md").read_text()
    (shown,) = re.findall(r"```yaml\n(healthCheckExprs:.*?)```", guide, re.DOTALL)
    spec = yaml.safe_load(FLUX.read_text())["spec"]
    expressions = spec["healthCheckExprs"]
    assert yaml.safe_load(shown) == {"healthCheckExprs": expressions}
    kinds = {one["kind"] for one in expressions}
    assert kinds == {"NotificationPolicy", "NotificationPolicySet"}


def test_both_declare_the_same() -> None:
    """Both tools declare the same objects for ZITADEL."""
    argocd, flux = (
        {
            (d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]): d[
                "spec"
            ]
            for d in documents(GITOPS / tool)
            if d["kind"] in OURS
        }
        for tool in ("argocd", "flux")
    )
    assert {kind for kind, *_ in argocd} == OURS
    assert len(argocd) == 4
    assert argocd == flux


def test_a_removed_file_of_a_set_changes_nothing_in_zitadel() -> None:
    """The set leaves deletionPolicy to its default, Retain, and suspend to people."""
    (of_argo,) = named(GITOPS / "argocd", "NotificationPolicySet").values()
    assert not {"deletionPolicy", "suspend"} & of_argo["spec"].keys()
