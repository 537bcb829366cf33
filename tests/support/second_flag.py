"""A copy of the operator in which one line declares a second flag, `emailChange`.

Nothing else in the copied code is changed; the copies of the CRDs get the property. So
the copy shows that a new flag needs its declaration and nothing more.
"""

import shutil
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "operator" / "zitadel_notification_operator"
CRDS = ROOT / "deploy" / "crds"

FIRST = '    Flag("passwordChange", zitadel_name="passwordChange", is_required=True),\n'
SECOND = '    Flag("emailChange", zitadel_name="emailChange"),\n'


def copy_package(folder: Path) -> Path:
    """Copy the package with the second flag; return the folder for PYTHONPATH."""
    root = folder / "second-flag"
    copy = root / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    declarations = copy / "core" / "settings.py"
    text = declarations.read_text()
    assert text.count(FIRST) == 1
    declarations.write_text(text.replace(FIRST, FIRST + SECOND))
    return root


def copy_crds(folder: Path) -> Path:
    """Copy the CRDs with `emailChange` beside each `passwordChange`."""
    copies = folder / "crds"
    copies.mkdir()
    for path in CRDS.glob("*.yaml"):
        document = yaml.safe_load(path.read_text())
        _add_property(document)
        (copies / path.name).write_text(yaml.safe_dump(document))
    return copies


def _add_property(node: Any) -> None:
    """Add the property to all schemas below this node that have the first one."""
    if isinstance(node, list):
        for item in node:
            _add_property(item)
    if not isinstance(node, dict):
        return
    properties = node.get("properties")
    if isinstance(properties, dict) and "passwordChange" in properties:
        properties["emailChange"] = {"type": "boolean"}
    for value in node.values():
        _add_property(value)
