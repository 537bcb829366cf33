"""docs/operations/security.md agrees with what the chart renders."""

import re

from chart.rendering import NAMESPACE, Document, render
from chart.test_rbac import operators_rights
from support.documents import ROOT, section

DOCUMENT = ROOT / "docs" / "operations" / "security.md"
PLACES = {
    "the cluster": {""},
    "its namespace": {NAMESPACE},
    "each of them": {"team-a", "team-b"},
    "each of them and `default`": {"team-a", "team-b", "default"},
}
DEFAULTS, WATCHING = 3, 4
"""The columns that say where."""

Rights = set[tuple[str, str, str, str]]


def rows() -> list[list[str]]:
    """Return the cells of the table's rows."""
    lines = re.findall(
        r"(?m)^\| (?:`|core).*\|$", section(DOCUMENT, "The operator's rights")
    )
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(cells) == 6 for cells in found)
    return found


def documented(column: int) -> Rights:
    """Return namespace, group, resource and verb of each documented permission."""
    found: Rights = set()
    for cells in rows():
        group = "" if cells[0] == "core" else cells[0].strip("`")
        resource = cells[1].replace(" named ", ":").replace("`", "")
        for verb in cells[2].split(", "):
            for place in PLACES[cells[column]]:
                right = (place, group, resource, verb)
                assert right not in found, right
                found.add(right)
    return found


def rendered(documents: list[Document]) -> Rights:
    """Return namespace, group, resource and verb of each rendered permission."""
    return {
        (namespace, group, resource, verb)
        for namespace, rights in operators_rights(documents).items()
        for (group, resource), verbs in rights.items()
        for verb in verbs
    }


def test_the_table_is_the_chart() -> None:
    """The chart has its default values."""
    assert documented(DEFAULTS) == rendered(render())


def test_the_table_is_the_chart_for_some_namespaces() -> None:
    """The chart has `watchNamespaces`."""
    documents = render("--set", "watchNamespaces={team-a,team-b}")
    assert documented(WATCHING) == rendered(documents)


def test_each_rule_has_a_reason() -> None:
    """A permission without a reason should not exist."""
    for cells in rows():
        assert cells[5], cells


def test_rights_that_are_not_there_without_a_lease() -> None:
    """The document names these."""
    options = ("--set", "leaderElection.enabled=false", "--set", "replicas=1")
    found = rendered(render(*options))
    assert documented(DEFAULTS) - found == {
        right for right in documented(DEFAULTS) if right[2].startswith("leases")
    }
