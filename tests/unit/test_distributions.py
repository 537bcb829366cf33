"""Operator and emulator have one version and licence, and nothing of each other."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent.parent
EMULATOR = ROOT / "emulator"


def project(folder: Path) -> dict[str, Any]:
    """Return the metadata of a distribution."""
    text = (folder / "pyproject.toml").read_text()
    found: dict[str, Any] = tomllib.loads(text)["project"]
    return found


def test_both_have_one_version() -> None:
    """The extra `[demo]` names exactly that version of the emulator."""
    operator, emulator = project(ROOT), project(EMULATOR)
    assert operator["version"] == emulator["version"]
    wanted = f"{emulator['name']}=={emulator['version']}"
    assert wanted in operator["optional-dependencies"]["demo"]
    assert operator["requires-python"] == emulator["requires-python"]


def test_both_have_one_licence() -> None:
    """A distribution cannot contain a file from above its folder."""
    assert (EMULATOR / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_both_allow_the_same_versions_of_a_package() -> None:
    """The emulator needs nothing that the operator does not."""
    assert set(project(EMULATOR)["dependencies"]) <= set(project(ROOT)["dependencies"])


@pytest.mark.parametrize(
    ("folder", "package"),
    [(ROOT, "zitadel_notification_operator"), (EMULATOR, "zitadel_emulator")],
    ids=["operator", "emulator"],
)
def test_a_wheel_contains_its_own_package_only(
    folder: Path, package: str, tmp_path: Path
) -> None:
    """It has type information and the licence."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run([*command, "-d", str(tmp_path)], cwd=folder, check=True)
    (wheel,) = tmp_path.iterdir()
    names = ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {
        package
    }
    assert f"{package}/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_emulator_and_its_tests_import_nothing_of_the_operator() -> None:
    """import-linter reads the package only, not the tests and the example."""
    files = list(EMULATOR.rglob("*.py"))
    assert len(files) > 40
    foreign = re.compile(
        r"^\s*(from|import) (zitadel_notification_operator|support)\b", re.MULTILINE
    )
    assert [str(file) for file in files if foreign.search(file.read_text())] == []
