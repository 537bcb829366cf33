"""The source root is no package, and the engine's constructors have few parts."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_operator_folder_is_no_package() -> None:
    """`operator/` holds one package and no Python file of its own."""
    assert not list((ROOT / "operator").glob("*.py"))
    packages = [p.name for p in (ROOT / "operator").iterdir() if p.is_dir()]
    assert [p for p in packages if p != "__pycache__"] == [
        "zitadel_notification_operator"
    ]


def test_standard_library_operator_wins_in_the_checkout() -> None:
    """`import operator` in the repository root imports the standard library's."""
    code = "import collections, operator; print(operator.eq(1, 1), operator.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("True")
    assert str(ROOT) not in done.stdout


def test_a_part_of_the_engine_names_at_most_eight_others() -> None:
    """Ruff counts arguments, but not the fields from which a constructor is made."""
    engine = ROOT / "operator" / "zitadel_notification_operator" / "engine"
    sizes = {
        found.name: len([field for field in found.body if _is_argument(field)])
        for path in engine.rglob("*.py")
        for found in ast.walk(ast.parse(path.read_text()))
        if isinstance(found, ast.ClassDef) and found.decorator_list
    }
    assert sizes["PolicyReport"] == 8
    assert {name: size for name, size in sizes.items() if size > 8} == {}


def _is_argument(line: ast.stmt) -> bool:
    return isinstance(line, ast.AnnAssign) and line.value is None
