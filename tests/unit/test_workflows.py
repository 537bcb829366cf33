"""The workflows agree with the project, and keep the rules that linters do not know."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.documents import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
IDS = [path.stem for path in WORKFLOWS]
CHART = ROOT / "deploy" / "helm" / "zitadel-notification-operator"

Json = dict[str, Any]


def load(path: Path) -> Json:
    """Return a YAML file; "on" stays a text, as GitHub reads it."""
    found: Json = yaml.load(path.read_text(), yaml.BaseLoader)  # noqa: S506 - texts only
    return found


def jobs_of(path: Path) -> Json:
    """Return the jobs of a workflow by name."""
    found: Json = load(path)["jobs"]
    return found


def steps_of(path: Path) -> Iterator[Json]:
    """Yield the steps of a workflow or an action."""
    whole = load(path)
    if "runs" in whole:
        yield from whole["runs"]["steps"]
    for job in whole.get("jobs", {}).values():
        yield from job.get("steps", ())


def matrix(workflow: str, job: str, key: str) -> list[str]:
    """Return the values of a key in a job's matrix."""
    path = GITHUB / "workflows" / f"{workflow}.yml"
    found: list[str] = jobs_of(path)[job]["strategy"]["matrix"][key]
    return found


def programs() -> str:
    """Return the source that lists what tools/build.py can build."""
    return "".join(path.read_text() for path in (ROOT / "tools").glob("*.py"))


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: path.stem)
def test_each_action_is_a_commit_with_its_version(path: Path) -> None:
    """Linters require the commit; the version beside it is for people."""
    used = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert used
    for name, rest in used:
        if not name.startswith("./"):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name), name
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", rest), name + rest


def test_an_action_has_the_same_commit_everywhere() -> None:
    """Otherwise an update has missed a place."""
    commits: dict[str, set[str]] = {}
    for path in [*WORKFLOWS, *ACTIONS]:
        for name, pin in re.findall(r"uses: ([\w./-]+)@(.+)", path.read_text()):
            commits.setdefault(name, set()).add(pin)
    assert len(commits) > 10
    assert {name: pins for name, pins in commits.items() if len(pins) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_no_workflow_has_a_secret(path: Path) -> None:
    """GitHub's own token is in `github.token`."""
    assert "secrets" not in path.read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_rights_are_given_to_jobs_one_by_one(path: Path) -> None:
    """A whole workflow may at most read; each right to write says what it is for."""
    assert load(path)["permissions"] in ({"contents": "read"}, "{}", {})
    for line in path.read_text().splitlines():
        if re.search(r"^\s+[\w-]+: write\b", line):
            assert re.search(r"write # \w+", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_no_checkout_keeps_its_credentials(path: Path) -> None:
    """Whatever runs after it could use them."""
    for step in steps_of(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_no_owner_is_fixed(path: Path) -> None:
    """A workflow works wherever the repository is."""
    for owner in re.findall(r"(?:ghcr\.io|github\.com)/(\S+)", path.read_text()):
        assert owner.startswith(("$", "OWNER")), owner


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_its_head_says_what_it_does_and_what_was_never_tried(path: Path) -> None:
    """For whoever reads it first, or sees it fail."""
    head = path.read_text().partition("\nname: ")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert re.search(r"never tried|No part of it has run|was tried before", head), head


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_each_job_ends(path: Path) -> None:
    """A job without a limit of its own may run for six hours."""
    for name, job in jobs_of(path).items():
        assert "timeout-minutes" in job or "uses" in job, name


def test_the_release_uses_no_cache() -> None:
    """It builds by itself, and not with the action that has caches."""
    release = GITHUB / "workflows" / "release.yml"
    assert "./.github/actions/prepare" not in release.read_text()
    for step in steps_of(release):
        given = step.get("with", {})
        assert not {key for key in given if key.startswith("cache")} - {"cache"}
        assert given.get("cache", "false") == "false", step
        if step.get("uses", "").startswith("actions/setup-go@"):
            assert "cache" in given, "setup-go has a cache unless it is told otherwise"


def test_only_tags_and_rehearsals_start_the_release() -> None:
    """A rehearsal skips each job that publishes."""
    release = GITHUB / "workflows" / "release.yml"
    assert load(release)["on"] == {"push": {"tags": ["v*"]}, "workflow_dispatch": ""}
    for name, job in jobs_of(release).items():
        if name not in {"ci", "build", "image"}:
            assert job["if"] == "github.event_name == 'push'", name
    image = jobs_of(release)["image"]["steps"]
    for step in image:
        used = step.get("uses", step.get("run", ""))
        if re.search("login|cosign|attest", used):
            assert step["if"] == "github.event_name == 'push'", used
    assert any("push=${{ github.event_name == 'push' }}" in str(step) for step in image)


def test_pythons_are_those_of_the_classifiers() -> None:
    """A version that is promised is tested."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    promised = [
        version[1]
        for text in project["classifiers"]
        if (version := re.fullmatch(r".*Python :: (\d+\.\d+)", text))
    ]
    assert matrix("ci", "check", "python") == promised
    supported = (ROOT / "SECURITY.md").read_text()
    assert f"Python {promised[0]} to {promised[-1]}," in supported


def test_the_older_kubernetes_is_each_that_can_be_built() -> None:
    """CI runs on all of them, and the nightly faults also on the newest."""
    older = re.findall(r'^OLDER = \{"([\d.]+)": ', programs(), re.MULTILINE)
    assert older
    assert matrix("ci", "kubernetes", "kubernetes") == older
    assert matrix("nightly", "faults", "kubernetes") == ["", *older]
    modules = (ROOT / "tools" / "kubernetes" / "go.mod").read_text()
    (newest,) = re.findall(r"k8s\.io/kubernetes v(\d+\.\d+)\.", modules)
    promised = " ".join((ROOT / "SECURITY.md").read_text().split())
    assert (
        f"all tests run on {newest}, and those that need a cluster also on {older[0]},"
    ) in promised


def test_kind_has_every_supported_kubernetes() -> None:
    """The ends are in CI, what is between them in the nightly run."""
    nodes = re.findall(
        r"^([\d.]+) kindest/node:v\1\.\d+@sha256:[0-9a-f]{64}$",
        (ROOT / "tests" / "kind" / "nodes.txt").read_text(),
        re.MULTILINE,
    )
    supported = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]
    assert supported == f">={nodes[0]}.0-0"
    assert nodes == [f"1.{minor}" for minor in range(31, 31 + len(nodes))]
    assert matrix("ci", "kind", "kubernetes") == [nodes[0], nodes[-1]]
    assert matrix("nightly", "kind", "kubernetes") == nodes[1:-1]
    promised = (ROOT / "SECURITY.md").read_text()
    assert f"Kubernetes {nodes[0]} to {nodes[-1]}," in promised


def test_all_tests_run_where_the_whole_history_is() -> None:
    """`tools/last_release.py` needs it to find the version to upgrade from."""
    checkout, *_, last = jobs_of(GITHUB / "workflows" / "ci.yml")["check"]["steps"]
    assert last["run"] == ".ci/run"
    assert checkout["with"]["fetch-depth"] == "0"


def test_programs_that_workflows_build_exist() -> None:
    """By their name, and by the go.sum that is the key of the cache."""
    known = programs()
    for helm in matrix("ci", "kind", "helm"):
        assert f'"{helm}": ' in known, helm
        assert (ROOT / "tools" / helm / "go.sum").is_file()
    for path in WORKFLOWS:
        for folder in re.findall(r"tools/([\w.-]+)/go\.(?:sum|mod)", path.read_text()):
            assert (ROOT / "tools" / folder / "go.sum").is_file(), folder


def test_each_go_module_has_its_checksums() -> None:
    """Go refuses a module that has another one."""
    modules = [path.parent for path in (ROOT / "tools").glob("*/go.mod")]
    assert len(modules) > 5
    for folder in modules:
        required = re.findall(
            r"^\s*(?:require )?(\S+\.\S+/\S+|\S+\.\S+) (v\S+)",
            (folder / "go.mod").read_text(),
            re.MULTILINE,
        )
        sums = (folder / "go.sum").read_text()
        assert required
        for name, version in required:
            assert f"{name} {version}/go.mod h1:" in sums, f"{folder.name}: {name}"


def test_go_is_the_one_that_the_newest_module_needs() -> None:
    """setup-go forbids Go to download a newer one by itself."""
    needed = {
        path.parent.name: tuple(map(int, version.split(".")))
        for path in (ROOT / "tools").glob("*/go.mod")
        for version in re.findall(r"^go ([\d.]+)$", path.read_text(), re.MULTILINE)
    }
    prepare = (GITHUB / "actions" / "prepare" / "action.yml").read_text()
    (named,) = re.findall(r"go-version-file: tools/([\w.-]+)/go\.mod", prepare)
    assert needed[named] == max(needed.values())


def test_dependabot_looks_into_each_folder_with_pins() -> None:
    """A folder that it does not know would never get an update."""
    updates = load(GITHUB / "dependabot.yml")["updates"]
    looked = {
        (update["package-ecosystem"], folder)
        for update in updates
        for folder in update.get("directories", [update.get("directory")])
    }
    modules = {
        ("gomod", f"/tools/{path.parent.name}")
        for path in (ROOT / "tools").glob("*/go.mod")
    }
    actions = {
        ("github-actions", f"/.github/actions/{path.parent.name}") for path in ACTIONS
    }
    assert looked == modules | actions | {
        ("github-actions", "/"),
        ("pip", "/requirements"),
        ("docker", "/requirements/base-image"),
        ("docker-compose", "/tests/smoke"),
    }


def test_the_pinned_base_image_is_the_dockerfiles() -> None:
    """Its digest is given to the build, and its name is that of the Dockerfile."""
    command = [sys.executable, str(ROOT / "tools" / "base_image.py")]
    whole = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    name, digest = whole.strip().split("@")
    dockerfile = (ROOT / "Dockerfile").read_text()
    for argument in ("BUILDER_IMAGE", "BASE_IMAGE"):
        assert f"\nARG {argument}={name}\n" in dockerfile
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    only = subprocess.run(
        [*command, "--digest"], capture_output=True, text=True, check=True
    ).stdout
    assert only == digest + "\n"


def test_the_release_types_what_security_md_says(tmp_path: Path) -> None:
    """With the owner, the repository and the version of the release."""
    release = GITHUB / "workflows" / "release.yml"
    verify = jobs_of(release)["verify"]["steps"][-1]["run"]
    (tmp_path / "SECURITY.md").write_text((ROOT / "SECURITY.md").read_text())
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cosign", "gh", "pip", "pypi-attestations", "docker"):
        program = tools / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> "$HOME/typed"\n')
        program.chmod(0o755)
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "a.whl").touch()
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", verify],
        check=True,
        cwd=tmp_path,
        env={
            "PATH": f"{tools}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "GITHUB_REPOSITORY_OWNER": "Acme",
            "GITHUB_REF_NAME": "v1.2.3",
        },
    )
    typed = (tmp_path / "typed").read_text()
    assert "OWNER" not in typed
    assert "0.1.0" not in typed
    operator = "zitadel-notification-operator"
    identity = rf"^https://github\.com/Acme/{operator}/\.github/workflows/release\.yml"
    for image in (f"ghcr.io/acme/{operator}", f"ghcr.io/acme/charts/{operator}"):
        assert f"cosign verify {image}:1.2.3 --certificate-identity" in typed
        assert f"gh attestation verify oci://{image}:1.2.3 --repo Acme/" in typed
    assert identity in typed
    assert "gh attestation verify downloads/a.whl" in typed
    assert "pypi:zitadel_emulator-1.2.3-py3-none-any.whl" in typed
    assert f"imagetools inspect ghcr.io/acme/{operator}:1.2.3" in typed


def own_files() -> list[str]:
    """Return the paths of all files that are not made here.

    Not by git, which refuses to list a checkout that belongs to another user.
    """
    found: list[str] = []
    for parent, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name == ".github" or not name.startswith((".", "__"))
        ]
        found += [(Path(parent) / name).relative_to(ROOT).as_posix() for name in names]
    return found


def test_the_places_of_the_owner_are_those_of_the_guide() -> None:
    """docs/how-to/release.md lists each file in which OWNER stands."""
    guide = ROOT / "docs" / "how-to" / "release.md"
    listed = re.findall(r"^   - `(\S+)`$", guide.read_text(), re.MULTILINE)
    owner = re.compile(r"(?<=[/@])OWNER\b(?!/REPOSITORY)|\bOWNER/(?!REPOSITORY)")
    known = (".github/workflows", "tests/", "tools/release_chart.py")
    found = {
        name
        for name in own_files()
        if (ROOT / name).suffix in {".md", ".yml", ".yaml", ".toml", ".py", ""}
        and (ROOT / name).is_file()
        and owner.search((ROOT / name).read_text())
        and not name.startswith(known)
    }
    assert found == set(listed)
