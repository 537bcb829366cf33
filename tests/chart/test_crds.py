"""The CRDs in the chart: the contract of deploy/crds, with labels and annotations."""

import yaml

from chart.rendering import ROOT, Document, of_kind, render

CRD = "CustomResourceDefinition"
KEEP = "helm.sh/resource-policy"


def contract() -> list[Document]:
    """Return the CRDs as they are applied without Helm."""
    paths = sorted((ROOT / "deploy" / "crds").glob("*.yaml"))
    assert len(paths) == 2
    return [yaml.safe_load(path.read_text()) for path in paths]


def test_they_are_the_contract(documents: list[Document]) -> None:
    """Nothing but labels and annotations is added; numbers stay what they are."""
    rendered = sorted(of_kind(documents, CRD), key=lambda d: d["metadata"]["name"])
    assert len(rendered) == 2
    for ours, theirs in zip(contract(), rendered, strict=True):
        assert {**theirs, "metadata": None} == {**ours, "metadata": None}
        metadata = theirs["metadata"]
        assert set(metadata) == {"name", "labels", "annotations"}
        assert metadata["name"] == ours["metadata"]["name"]
        assert (
            metadata["annotations"].items() >= ours["metadata"]["annotations"].items()
        )


def test_an_uninstall_keeps_them(defaults: list[Document]) -> None:
    """With them would go every policy."""
    for crd in of_kind(defaults, CRD):
        assert crd["metadata"]["annotations"][KEEP] == "keep"


def test_keeping_is_a_choice() -> None:
    """The annotation goes; the CRD's own stay."""
    for crd in of_kind(render("--set", "crds.keep=false"), CRD):
        assert set(crd["metadata"]["annotations"]) == {
            "kustomize.toolkit.fluxcd.io/substitute"
        }


def test_more_annotations() -> None:
    """They are added to each."""
    option = r"crds.annotations.argocd\.argoproj\.io/sync-options=ServerSideApply=true"
    crds = of_kind(render("--set", option), CRD)
    assert len(crds) == 2
    for crd in crds:
        annotations = crd["metadata"]["annotations"]
        assert annotations["argocd.argoproj.io/sync-options"] == "ServerSideApply=true"
        assert annotations[KEEP] == "keep"


def test_they_can_be_left_to_others() -> None:
    """An administrator may own them."""
    assert of_kind(render("--set", "crds.install=false"), CRD) == []
