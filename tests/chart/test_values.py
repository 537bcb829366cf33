"""Each value has a comment, is in the schema, and is in the README."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, ROOT, refusal, render

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
FREE = {"object", "texts", "quantities", "global"}
"""Maps that may have any key: parts of Kubernetes objects, labels, amounts, and what an
umbrella chart shares among its charts."""


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """Return a node of the schema, or the node that it refers to."""
    if "$ref" not in node:
        return node
    name = node["$ref"].removeprefix("#/definitions/")
    found: dict[str, Any] = SCHEMA["definitions"][name]
    return found


def schema_paths(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the path of each value in the schema."""
    for key, child in node.get("properties", {}).items():
        below = resolve(child)
        yield prefix + key
        yield from schema_paths(below, f"{prefix}{key}.")


def value_paths(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the path of each value in values.yaml."""
    for key, value in values.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from value_paths(value, f"{prefix}{key}.")


def documented() -> list[str]:
    """Return the keys of the README's table."""
    return re.findall(r"(?m)^\| `([\w.]+)` \|", (CHART / "README.md").read_text())


def is_below(path: str, parents: list[str]) -> bool:
    """Return whether a path is one of those, or below one."""
    return any(path == parent or path.startswith(f"{parent}.") for parent in parents)


def test_every_schema_entry_has_a_value() -> None:
    """Otherwise nobody would find it; a free map may have more keys."""
    leaves = documented()
    missing = set(schema_paths(SCHEMA)) - set(value_paths(VALUES))
    assert {path for path in missing if not is_below(path, leaves)} == set()


def test_every_value_has_a_schema_entry() -> None:
    """Free maps are checked by Kubernetes."""
    known = set(schema_paths(SCHEMA))
    leaves = documented()
    assert len(leaves) > 80
    assert [path for path in leaves if path not in known] == []


def test_every_value_has_a_comment() -> None:
    """Each leaf of values.yaml is a row of the table, or inside one."""
    leaves = documented()
    sections = [path for path in value_paths(VALUES) if not is_below(path, leaves)]
    for path in sections:
        assert any(leaf.startswith(f"{path}.") for leaf in leaves), path


def maps(node: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each description of a map in the schema, with its key."""
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield name, node
        for key, child in node.items():
            yield from maps(child, key)


def test_maps_are_closed() -> None:
    """A misspelled key is refused wherever the keys are ours."""
    found = list(maps(SCHEMA))
    assert len(found) > 15
    for name, node in found:
        if name not in FREE:
            assert node.get("additionalProperties") is False, name


@pytest.mark.parametrize(
    "option",
    [
        "replica=2",
        "image.tags=x",
        "networkPolicy.zitadel.cidr={10.0.0.0/8}",
        "livenessProbe.period=3",
        "resources.limit.memory=1Gi",
        "serviceMonitor.label.a=b",
        "affinity.podAffinitty.a=b",
    ],
)
def test_unknown_keys_are_refused(option: str) -> None:
    """The message has the key."""
    key = option.partition("=")[0].split(".")[-1]
    message = refusal("--set", option)
    assert "not allowed" in message
    assert key in message or option.split(".")[1] in message


@pytest.mark.parametrize(
    "option",
    [
        "logLevel=verbose",
        "logFormat=xml",
        "workers=0",
        "metrics.port=80",
        "image.digest=sha256:abc",
        "watchNamespaces={Team_A}",
        "leaderElection.leaseDuration=15",
        "fullnameOverride=Upper",
        "serviceMonitor.renderMode=maybe",
        "terminationGracePeriodSeconds=1",
        "networkPolicy.apiServer.cidrs={example.com}",
        f"nameOverride={'a' * 64}",
    ],
)
def test_wrong_values_are_refused(option: str) -> None:
    """The message has the path, and nothing is installed."""
    message = refusal("--set", option)
    assert f"at '/{option.partition('=')[0].replace('.', '/')}" in message


def test_an_umbrella_chart_may_share_values() -> None:
    """`global` belongs to all charts below it."""
    assert render("--set", "global.others.key=1")


def test_templates_use_every_value_and_no_other() -> None:
    """Each value is used, and each used value exists."""
    text = "".join(
        path.read_text() for path in CHART.rglob("templates/**/*") if path.is_file()
    )
    used = set(re.findall(r"\.Values\.([\w.]+)", text))
    assert [path for path in used if path not in set(value_paths(VALUES))] == []
    assert {path.partition(".")[0] for path in used} == set(VALUES)


def test_no_value_holds_a_secret() -> None:
    """Credentials are in Secrets that the chart does not create."""
    secretive = re.compile(
        r"password|token|credential|privatekey|apikey", re.IGNORECASE
    )
    assert [path for path in value_paths(VALUES) if secretive.search(path)] == []


def run_generator(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run tools/chart.py of a checkout."""
    return subprocess.run(
        [sys.executable, str(root / "tools" / "chart.py"), *options],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that tools/chart.py reads and writes."""
    (tmp_path / "tools").mkdir()
    for name in ("chart.py", "generated_files.py"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    return tmp_path


def test_what_is_derived_is_up_to_date() -> None:
    """This holds for the README and the copies of the CRDs."""
    done = run_generator(ROOT, "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("values.yaml", "replicas: 2", "replicas: 3"),
        ("values.yaml", "# -- How many policies", "# -- How few policies"),
        ("files/crds/zitadel-notification.dev_zitadelinstances.yaml", "URL", "Url"),
        ("README.md", "| `workers` |", "| `worker` |"),
    ],
)
def test_a_difference_is_found_and_repaired(
    checkout: Path, file: str, old: str, new: str
) -> None:
    """The check says what to run, and passes after that."""
    path = checkout / CHART.relative_to(ROOT) / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    done = run_generator(checkout, "--check")
    assert done.returncode == 1
    assert "Run: make generate" in done.stderr
    assert run_generator(checkout).returncode == 0
    assert run_generator(checkout, "--check").returncode == 0


def test_a_copy_without_an_original_goes(checkout: Path) -> None:
    """The chart has no CRD of a removed kind."""
    stale = checkout / CHART.relative_to(ROOT) / "files" / "crds" / "old.yaml"
    stale.write_text("kind: Old\n")
    assert run_generator(checkout, "--check").returncode == 1
    assert run_generator(checkout).returncode == 0
    assert not stale.exists()


def test_a_value_without_a_comment_is_named(checkout: Path) -> None:
    """The message has its line."""
    path = checkout / CHART.relative_to(ROOT) / "values.yaml"
    path.write_text(path.read_text() + "\nnew:\n  value: 1\n")
    done = run_generator(checkout, "--check")
    assert done.returncode == 1
    assert re.search(r"values\.yaml:\d+: new\.value needs a comment", done.stderr)
