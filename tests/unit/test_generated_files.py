"""The scripts that write files of the checkout, as `make generate` runs them.

tests/chart and tests/gitops have more about the files of the chart and of Argo CD.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCHEMAS = "operator/zitadel_notification_operator/manifests/schemas.json"
GENERATED = {
    "argocd_patch.py": "deploy/argocd/argocd-cm.yaml",
    "chart.py": "deploy/helm/zitadel-notification-operator/README.md",
    "commands_page.py": "docs/reference/commands.md",
    "crds_page.py": "docs/reference/crds.md",
    "metrics_page.py": "docs/reference/metrics.md",
    "schemas.py": SCHEMAS,
}
"""The scripts, each with a file that it writes."""


def run(root: Path, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a script of a checkout."""
    return subprocess.run(
        [sys.executable, str(root / "tools" / script), *options],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the scripts read and write."""
    for folder in ("deploy", "docs/reference", "operator"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "tools").mkdir()
    for path in (ROOT / "tools").glob("*.py"):
        shutil.copy(path, tmp_path / "tools")
    return tmp_path


def test_all_of_them_are_run() -> None:
    """`make generate` writes each, and `make lint` compares each."""
    makefile = (ROOT / "Makefile").read_text()
    scripts = [
        path.name
        for path in (ROOT / "tools").glob("*.py")
        if "generated_files.run(" in path.read_text()
    ]
    assert sorted(scripts) == sorted(GENERATED)
    for ending in ("", " --check"):
        called = re.findall(rf"(?m)/python tools/(\w+\.py){ending}$", makefile)
        assert set(scripts) <= set(called)


@pytest.mark.parametrize("script", GENERATED)
def test_what_is_committed_is_up_to_date(script: str) -> None:
    done = run(ROOT, script, "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("script", "file"), GENERATED.items())
def test_an_old_file_is_found_and_written(
    checkout: Path, script: str, file: str
) -> None:
    """The check changes nothing, names the file, and says what to run."""
    target = checkout / file
    fresh = target.read_text()
    old = fresh.replace("a", "A", 50)
    assert old != fresh
    if script == "chart.py":  # only a part of its README is generated
        old = fresh.replace("| `workers` |", "| `worker` |")
    target.write_text(old)
    done = run(checkout, script, "--check")
    assert done.returncode == 1
    assert f"{file} is out of date" in done.stderr
    assert "Run: make generate" in done.stderr
    assert target.read_text() == old
    assert run(checkout, script).returncode == 0
    assert target.read_text() == fresh


@pytest.mark.parametrize(("script", "file"), GENERATED.items())
def test_a_missing_file_is_written(checkout: Path, script: str, file: str) -> None:
    """All but the README of the chart, of which only a part is generated."""
    if script == "chart.py":
        file = "deploy/helm/zitadel-notification-operator/files/crds"
        (checkout / file / "zitadel-notification.dev_zitadelinstances.yaml").unlink()
    else:
        (checkout / file).unlink()
    assert run(checkout, script, "--check").returncode == 1
    assert run(checkout, script).returncode == 0
    assert run(checkout, script, "--check").returncode == 0
