"""What Artifact Hub shows of the chart agrees with the CRDs, changelog and values.

tests/chart/test_install.py lets a real API server accept the examples.
"""

import re
import tomllib
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, HELMS, ROOT, Document, pods, run_helm
from chart.test_crds import contract

ABOUT: Document = yaml.safe_load((CHART / "Chart.yaml").read_text())
README = (CHART / "README.md").read_text()
PREFIX = "artifacthub.io/"
TEXTS = {
    "category",
    "license",
    "operator",
    "operatorCapabilities",
    "prerelease",
    "containsSecurityUpdates",
}
LISTS = {"changes", "links", "images", "crds", "crdsExamples"}
KINDS_OF_CHANGE = ("added", "changed", "deprecated", "removed", "fixed", "security")
CAPABILITIES = {
    "Basic Install",
    "Seamless Upgrades",
    "Full Lifecycle",
    "Deep Insights",
    "Auto Pilot",
}
SOURCE = "https://github.com/OWNER/zitadel-notification-operator"


def text_of(name: str) -> str:
    """Return an annotation's text."""
    found: str = ABOUT["annotations"][PREFIX + name]
    return found


def list_of(name: str) -> list[dict[str, Any]]:
    """Return the list in an annotation, which is YAML in a text."""
    found: list[dict[str, Any]] = yaml.safe_load(text_of(name))
    assert found
    return found


def test_these_annotations_are_there() -> None:
    """All are texts; Artifact Hub takes no notice of a misspelled one."""
    assert set(ABOUT["annotations"]) == {PREFIX + name for name in TEXTS | LISTS}
    assert all(isinstance(text, str) for text in ABOUT["annotations"].values())


def test_the_texts_are_what_the_project_says() -> None:
    """The license is the package's, and a version below 1.0 is a prerelease."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert text_of("license") == project["license"]
    assert text_of("operator") == "true"
    assert text_of("category") == "security"
    assert text_of("operatorCapabilities") in CAPABILITIES
    version = ABOUT["version"]
    early = version.startswith("0.") or "-" in version
    assert text_of("prerelease") == str(early).lower()


def changelog(version: str) -> dict[str, str]:
    """Return the text of each part of a version's section, such as Added, as one line.

    The changelog is wrapped, and an annotation is not.
    """
    text = (ROOT / "CHANGELOG.md").read_text()
    _, *parts = re.split(r"(?m)^## (\S+).*$", text)
    section = dict(zip(parts[::2], parts[1::2], strict=True))[version]
    _, *parts = re.split(r"(?m)^### (.+)$", section)
    lines = (" ".join(part.split()) for part in parts[1::2])
    return dict(zip(parts[::2], lines, strict=True))


def test_the_changes_are_those_of_the_changelog() -> None:
    """Each is a sentence in this version's section, below its own kind."""
    sections = changelog(ABOUT["version"])
    for change in list_of("changes"):
        assert set(change) == {"kind", "description"}
        assert change["kind"] in KINDS_OF_CHANGE
        below = sections[change["kind"].capitalize()]
        assert f"- {change['description']} " in f"{below} ", change
    security = any(change["kind"] == "security" for change in list_of("changes"))
    assert text_of("containsSecurityUpdates") == str(security).lower()


def test_the_crds_are_those_of_the_contract() -> None:
    """Each version that is served is named, with its kind."""
    served = [
        (crd["spec"]["names"]["kind"], version["name"], crd["metadata"]["name"])
        for crd in contract()
        for version in crd["spec"]["versions"]
        if version["served"]
    ]
    named = [(crd["kind"], crd["version"], crd["name"]) for crd in list_of("crds")]
    assert sorted(named) == sorted(served)
    for crd in list_of("crds"):
        assert crd["displayName"]
        assert crd["description"]


def test_there_is_an_example_of_each_crd() -> None:
    """It is shown beside the CRD, which has the same version."""
    examples = [(one["apiVersion"], one["kind"]) for one in list_of("crdsExamples")]
    group = contract()[0]["spec"]["group"]
    crds = [(f"{group}/{crd['version']}", crd["kind"]) for crd in list_of("crds")]
    assert sorted(examples) == sorted(crds)


def test_the_images_are_those_of_the_pods(defaults: list[Document]) -> None:
    """Artifact Hub scans them; the default has no host, which only a release knows."""
    used = {
        container["image"]
        for _, pod in pods(defaults)
        for container in pod["spec"]["containers"]
    }
    assert [f"ghcr.io/OWNER/{image}" for image in used] == [
        image["image"] for image in list_of("images")
    ]
    guide = (ROOT / "docs" / "how-to" / "build-the-image.md").read_text()
    (platforms,) = re.findall(r"--platform (\S+)", guide)
    assert [image["platforms"] for image in list_of("images")] == [platforms.split(",")]


def test_the_links_lead_to_files_of_the_repository() -> None:
    """`support` is the name that Artifact Hub knows."""
    links = {link["name"]: link["url"] for link in list_of("links")}
    assert links["Source"] == SOURCE
    assert links["support"] == f"{SOURCE}/issues"
    files = re.compile(re.escape(SOURCE) + r"/(?:tree|blob)/main/(.+)")
    for name in set(links) - {"Source", "support"}:
        found = files.fullmatch(links[name])
        assert found, name
        assert (ROOT / found[1]).exists(), name


def test_the_owner_is_left_to_the_release() -> None:
    """It is a placeholder in the two lists that need a host, and nowhere else."""
    for name in TEXTS | LISTS - {"links", "images"}:
        assert "OWNER" not in text_of(name), name
    others = {key: value for key, value in ABOUT.items() if key != "annotations"}
    assert "OWNER" not in str(others)


def test_the_file_about_the_repository_is_beside_the_chart() -> None:
    """It has keys that Artifact Hub knows, and claims nothing in another's name."""
    path = CHART.parent / "artifacthub-repo.yml"
    about = yaml.safe_load(path.read_text())
    assert set(about) <= {"repositoryID", "owners", "ignore"}
    known = about.get("repositoryID", "00000000-0000-0000-0000-000000000000")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", known)
    for owner in about.get("owners", ()):
        assert not re.search(r"OWNER|example\.(com|org)", str(owner))


@pytest.mark.parametrize("helm", HELMS)
def test_helm_shows_the_readme(helm: str) -> None:
    """It is the first thing that a stranger reads of a packaged chart."""
    assert run_helm("show", "readme", str(CHART), helm=helm).stdout.strip() == (
        README.strip()
    )


def test_the_readme_is_read_outside_of_the_repository() -> None:
    """On a terminal and on a page: short lines, and no link into the repository."""
    text, _, table = README.partition("<!-- Generated")
    assert "| `workers` |" in table
    assert [line for line in text.splitlines() if len(line) > 110] == []
    targets = re.findall(r"\]\(([^)]*)\)", README)
    assert [target for target in targets if not target.startswith("https://")] == []


def test_the_readme_names_both_helms() -> None:
    """The notes on what differs are where people install and upgrade."""
    head = README.partition("## Install")[0]
    assert ABOUT["kubeVersion"].removeprefix(">=").partition(".0-0")[0] in head
    for helm in ("Helm 4", "Helm 3"):
        assert helm in head
