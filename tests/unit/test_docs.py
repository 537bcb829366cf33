"""Documents that must agree with the code."""

import ast
import itertools
import re
import tomllib
from pathlib import Path

import yaml

from zitadel_notification_operator.core.mends import MENDS
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.repairs import MOST

ROOT = Path(__file__).parent.parent.parent


REASONS = ROOT / "operator" / "zitadel_notification_operator" / "core" / "reasons.py"
TROUBLESHOOTING = ROOT / "docs" / "operations" / "troubleshooting.md"


def sections() -> dict[str, str]:
    """Return the text below each heading of the troubleshooting document."""
    _, *parts = re.split(r"^## (\w+)$", TROUBLESHOOTING.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def meanings() -> dict[str, str]:
    """Return the meaning of each reason in the code: the docstring below its name."""
    (kind,) = [
        node
        for node in ast.parse(REASONS.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    found = {}
    for name, text in itertools.pairwise(kind.body):
        if isinstance(name, ast.Assign) and isinstance(text, ast.Expr):
            found[ast.literal_eval(name.value)] = str(ast.literal_eval(text.value))
    return found


def test_each_reason_is_documented_and_no_other() -> None:
    """Each reason has a heading, in the order of the code, and the same meaning."""
    assert list(sections()) == [str(reason) for reason in Reason]
    for reason, meaning in meanings().items():
        first = sections()[reason].strip().split("\n\n")[0]
        assert " ".join(first.split()) == " ".join(meaning.split()), reason


def test_each_reason_says_who_fixes_it_and_what_comes_next() -> None:
    """It also names a command if somebody has to act."""
    for reason, text in sections().items():
        assert "\n- Who: " in text, reason
        assert "\n- Next: " in text, reason
        nobody = "nobody has to" in text or "see the reason" in text
        role = reason in {"InsufficientPermissions", "RequestRefused"}
        assert nobody or role or "\n- Command: " in text, reason


def test_the_document_begins_with_what_the_command_line_says() -> None:
    """`znp status` and the paragraph "Who" name the same person and the same act."""
    assert list(MENDS) == list(Reason)
    for reason, mend in MENDS.items():
        found = re.search(
            r"\n- Who: (.*?)(?=\n- |\n\n|\Z)", sections()[reason], re.DOTALL
        )
        assert found is not None, reason
        plain = re.sub(r" \(\[[^]]*\]\([^)]*\)\)", "", " ".join(found[1].split()))
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", plain).replace("`", "")
        assert plain.lower().startswith(mend.lower()), reason


def messages_of_the_engine() -> set[str]:
    """Return all texts in the engine's code, with the repair limit inserted."""
    found = set()
    engine = ROOT / "operator" / "zitadel_notification_operator" / "engine"
    for file in engine.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(part_of(value) for value in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def part_of(value: ast.expr) -> str:
    """Return a part of a text; most fields are omitted."""
    if isinstance(value, ast.Constant):
        return str(value.value)
    is_limit = (
        isinstance(value, ast.FormattedValue) and ast.unparse(value.value) == "MOST"
    )
    return str(MOST) if is_limit else ""


def test_the_messages_of_an_inconsistent_zitadel_are_explained() -> None:
    """The page quotes the texts of the code; "…" stands for the rest."""
    text = sections()["ZitadelInconsistent"]
    quoted = re.findall(r'^\| "(.+?)" \|', text, re.MULTILINE)
    assert len(quoted) == 6
    messages = messages_of_the_engine()
    for quote in quoted:
        words = quote.strip("… ")
        assert any(words in message for message in messages), quote


def test_each_dependency_is_explained() -> None:
    """`docs/dependencies.md` mentions every name of both `pyproject.toml`."""
    folders = (ROOT, ROOT / "emulator")
    project = "".join((f / "pyproject.toml").read_text() for f in folders)
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    names = re.findall(r'^    "([A-Za-z][A-Za-z0-9-]+)[\[><=]', project, re.MULTILINE)
    assert len(names) > 10
    assert [name for name in names if name not in explained] == []


def test_locks_name_no_index() -> None:
    """Lock files have hashes and versions; the reader chooses the package index."""
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--index|--find-links|--trusted", text)


def first(pattern: str, text: str) -> str:
    """Return what the group of a pattern matches first."""
    found = re.search(pattern, text, re.MULTILINE)
    assert found is not None, pattern
    return found[1]


def test_all_files_name_the_same_version() -> None:
    """The chart, the Dockerfile and the newest section of the changelog."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart_file = ROOT / "deploy/helm/zitadel-notification-operator/Chart.yaml"
    chart = yaml.safe_load(chart_file.read_text())
    dockerfile = (ROOT / "Dockerfile").read_text()
    changelog = (ROOT / "CHANGELOG.md").read_text()
    found = {
        "the chart's version": chart["version"],
        "the chart's appVersion": chart["appVersion"],
        "the Dockerfile": first(r"^ARG VERSION=(.+)$", dockerfile),
        "the changelog": first(r"^## (\S+)", changelog),
    }
    assert found == dict.fromkeys(found, project["version"])


def test_every_make_target_that_is_named_exists() -> None:
    """In the hooks, in CI, and in the documents."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    files = [".pre-commit-config.yaml", ".ci/run", ".devcontainer/devcontainer.json"]
    files += [str(path.relative_to(ROOT)) for path in ROOT.glob("*.md")]
    files += [str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")]
    named = re.compile(r"(?:^|`|entry: |&& |\n)make ([a-z-]+)", re.MULTILINE)
    for file in files:
        used = set(named.findall((ROOT / file).read_text()))
        assert used <= targets, file
