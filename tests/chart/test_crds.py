"""The CRDs in the chart are those of deploy/crds, with labels and annotations."""

import pytest
import yaml

from chart.rendering import ROOT, Document, of_kind, render

CRD = "CustomResourceDefinition"
KEEP = "helm.sh/resource-policy"
ARGO_CD = "argocd.argoproj.io/sync-options"


def contract() -> list[Document]:
    """Return the CRDs of deploy/crds."""
    paths = sorted((ROOT / "deploy" / "crds").glob("*.yaml"))
    assert len(paths) == 3
    return [yaml.safe_load(path.read_text()) for path in paths]


def test_they_are_the_contract(documents: list[Document]) -> None:
    """Only labels and annotations are added, and numbers stay as they are."""
    rendered = sorted(of_kind(documents, CRD), key=lambda d: d["metadata"]["name"])
    assert len(rendered) == 3
    for ours, theirs in zip(contract(), rendered, strict=True):
        assert {**theirs, "metadata": None} == {**ours, "metadata": None}
        metadata = theirs["metadata"]
        assert set(metadata) == {"name", "labels", "annotations"}
        assert metadata["name"] == ours["metadata"]["name"]
        assert (
            metadata["annotations"].items() >= ours["metadata"]["annotations"].items()
        )


def annotations(*options: str) -> list[dict[str, str]]:
    """Return the annotations of each CRD."""
    found = of_kind(render(*options), CRD)
    assert len(found) == 3
    return [crd["metadata"]["annotations"] for crd in found]


def test_an_uninstall_and_a_sync_keep_them(defaults: list[Document]) -> None:
    """Without them all policies would go; Argo CD prunes what Helm keeps."""
    for crd in of_kind(defaults, CRD):
        assert crd["metadata"]["annotations"][KEEP] == "keep"
        assert crd["metadata"]["annotations"][ARGO_CD] == "Prune=false"


def test_keeping_is_a_choice() -> None:
    """The annotation is left out; the CRD's own annotations stay."""
    for crd in of_kind(render("--set", "crds.keep=false"), CRD):
        assert set(crd["metadata"]["annotations"]) == {
            "kustomize.toolkit.fluxcd.io/substitute"
        }


def test_more_annotations() -> None:
    """They are added to each CRD."""
    for found in annotations("--set", r"crds.annotations.example\.com/a=b"):
        assert found["example.com/a"] == "b"
        assert found[KEEP] == "keep"
        assert found[ARGO_CD] == "Prune=false"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("ServerSideApply=true", "ServerSideApply=true,Prune=false"),
        (
            r"Replace=true\,Validate=false",
            "Replace=true,Validate=false,Prune=false",
        ),
        ("Prune=true", "Prune=true"),
        (r"Delete=false\, Prune=confirm", "Delete=false, Prune=confirm"),
        ("PruneLast=true", "PruneLast=true,Prune=false"),
    ],
)
def test_other_options_of_argo_cd_stay(given: str, wanted: str) -> None:
    """One annotation has all of them; the user decides about pruning."""
    option = rf"crds.annotations.argocd\.argoproj\.io/sync-options={given}"
    for found in annotations("--set", option):
        assert found[ARGO_CD] == wanted
        assert found[KEEP] == "keep"
    for found in annotations("--set", option, "--set", "crds.keep=false"):
        assert found[ARGO_CD] == given.replace("\\", "")


def test_they_can_be_left_to_others() -> None:
    """An administrator may manage them."""
    assert of_kind(render("--set", "crds.install=false"), CRD) == []
