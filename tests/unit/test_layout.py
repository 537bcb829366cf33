"""The source root must never become a package: it would shadow the standard library."""

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
    """`import operator` from the repository root is the standard library's."""
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
