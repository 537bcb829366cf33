"""`tools/release_chart.py`: the published chart names its image and its owner."""

import filecmp
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.documents import ROOT

SCRIPT = ROOT / "tools" / "release_chart.py"
CHART = ROOT / "deploy" / "helm" / "zitadel-notification-operator"
IMAGE = "ghcr.io/acme/zitadel-notification-operator"
VALUES = "image:\n  repository: zitadel-notification-operator\n"
README = """| `image.repository` | string | `"zitadel-notification-operator"` | x |
github.com/OWNER/x, ghcr.io/OWNER/x, IAM_OWNER
"""


def write(folder: Path, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    """Run the script for the owner Acme."""
    command = [sys.executable, str(script), "--owner", "Acme", "--image", IMAGE]
    return subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, check=False
    )


def test_the_copy_names_the_image(tmp_path: Path) -> None:
    """In the values, and in the README's table; all else of the values stays."""
    done = write(tmp_path / "chart")
    assert (done.returncode, done.stderr) == (0, "")
    before = yaml.safe_load((CHART / "values.yaml").read_text())
    after = yaml.safe_load((tmp_path / "chart" / "values.yaml").read_text())
    assert after["image"].pop("repository") == IMAGE
    assert before["image"].pop("repository") == "zitadel-notification-operator"
    assert after == before
    readme = (tmp_path / "chart" / "README.md").read_text()
    assert f'| `image.repository` | string | `"{IMAGE}"` |' in readme


def test_no_owner_is_left_open(tmp_path: Path) -> None:
    """Paths in the registry have small letters, as the registry wants them."""
    assert write(tmp_path / "chart").returncode == 0
    for path in (tmp_path / "chart").rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert not re.search(r"\bOWNER\b", text), path
            assert "ghcr.io/Acme" not in text, path


def test_all_other_files_are_the_charts(tmp_path: Path) -> None:
    """Templates, CRDs and schemas are published as they were tested."""
    assert write(tmp_path / "chart").returncode == 0
    changed = {"Chart.yaml", "README.md", "values.yaml"}
    names = {str(p.relative_to(CHART)) for p in CHART.rglob("*") if p.is_file()}
    copied = tmp_path / "chart"
    assert names == {
        str(p.relative_to(copied)) for p in copied.rglob("*") if p.is_file()
    }
    _, different, missing = filecmp.cmpfiles(
        CHART, copied, sorted(names - changed), shallow=False
    )
    assert (different, missing) == ([], [])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the script, and with a small chart."""
    (tmp_path / "tools").mkdir()
    shutil.copy(SCRIPT, tmp_path / "tools")
    chart = tmp_path / "deploy" / "helm" / "zitadel-notification-operator"
    chart.mkdir(parents=True)
    (chart / "Chart.yaml").write_text("name: zitadel-notification-operator\n")
    (chart / "values.yaml").write_text(VALUES)
    (chart / "README.md").write_text(README)
    return tmp_path


def test_owners_in_texts_become_the_owner(checkout: Path) -> None:
    """Names that only end in OWNER are roles of ZITADEL."""
    done = write(checkout / "out", checkout / "tools" / "release_chart.py")
    assert (done.returncode, done.stderr) == (0, "")
    text = (checkout / "out" / "README.md").read_text()
    assert text.endswith("github.com/Acme/x, ghcr.io/acme/x, IAM_OWNER\n")


@pytest.mark.parametrize("name", ["values.yaml", "README.md"])
@pytest.mark.parametrize("places", [0, 2])
def test_a_chart_without_its_one_place_is_not_published(
    checkout: Path, name: str, places: int
) -> None:
    """Otherwise an image without a host would be, and nobody could install it."""
    path = checkout / "deploy" / "helm" / "zitadel-notification-operator" / name
    path.write_text("" if places == 0 else path.read_text() * 2)
    done = write(checkout / "out", checkout / "tools" / "release_chart.py")
    assert done.returncode == 1
    assert f"{name} of the chart has {places} places" in done.stderr


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    """It may be another chart."""
    done = write(tmp_path)
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
    assert list(tmp_path.iterdir()) == []
