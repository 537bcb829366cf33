"""Documents that must not fall behind the code."""

import re
from pathlib import Path

from zitadel_notification_operator.core.reasons import Reason

ROOT = Path(__file__).parent.parent.parent


def test_each_reason_is_documented_and_no_other() -> None:
    """One heading a reason, in `docs/reference/conditions.md`."""
    text = (ROOT / "docs" / "reference" / "conditions.md").read_text()
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == [str(r) for r in Reason]


def test_each_dependency_is_explained() -> None:
    """Every name of `pyproject.toml` stands in `docs/dependencies.md`."""
    project = (ROOT / "pyproject.toml").read_text()
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    names = re.findall(r'^    "([a-z][a-z0-9-]+)[><=]', project, re.MULTILINE)
    assert len(names) > 10
    assert [name for name in names if name not in explained] == []


def test_locks_name_no_index() -> None:
    """Hashes and versions only: where packages come from is the reader's matter."""
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--index|--find-links|--trusted", text)
