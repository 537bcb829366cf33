"""`docs/operations/threat-model.md` names every rule, and tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from support.documents import ROOT, section

MODEL = ROOT / "docs" / "operations" / "threat-model.md"
RULES = ROOT / "docs" / "operations" / "security.md"
PROMISES = ROOT / "SECURITY.md"


class Row(NamedTuple):
    """A row of the threat model: the rule and the tests that hold it."""

    rule: str
    tests: tuple[str, ...]


def plain(text: str) -> str:
    """Return a text without line breaks and links, to compare it with another one."""
    return " ".join(re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).split())


def rows() -> list[Row]:
    """Return the rows of all tables of the page."""
    found = []
    for line in MODEL.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] != "rule":
            found.append(Row(plain(cells[0]), tuple(re.findall(r"`(\S+)`", cells[2]))))
    return found


@cache
def functions_of(file: Path) -> frozenset[str]:
    """Return the names of a file's functions."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, kinds)
    )


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.rule[:50])
def test_each_rule_is_held_by_tests_that_exist(row: Row) -> None:
    """A test that was renamed or removed leaves its rule behind."""
    assert row.tests
    for named in row.tests:
        path, _, function = named.partition("::")
        assert function.startswith("test_"), named
        assert (ROOT / path).is_file(), named
        assert function in functions_of(ROOT / path), named


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.rule[:50])
def test_each_rule_stands_where_users_read_it(row: Row) -> None:
    """The page makes no rules of its own."""
    assert row.rule in plain(RULES.read_text() + PROMISES.read_text())


def test_no_promise_is_left_out() -> None:
    """Each guarantee of SECURITY.md has a row."""
    text = section(PROMISES, "What the operator guarantees")
    promises = [plain(line.strip("- ;.")) for line in text.splitlines() if "- " in line]
    assert len(promises) == 6
    assert set(promises) <= {row.rule for row in rows()}


def test_nothing_that_a_tenant_cannot_do_is_left_out() -> None:
    """Each cell of the column "cannot" has a row."""
    table = section(RULES, "What a tenant can do")
    cells = [
        plain(line.strip("| ").split(" | ")[1])
        for line in table.splitlines()
        if line.startswith("| ") and not line.startswith("| can ")
    ]
    assert len(cells) == 9
    assert set(cells) <= {row.rule for row in rows()}
