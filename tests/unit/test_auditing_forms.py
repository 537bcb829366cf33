"""What people who audit see: words, CSV, periods and the rights that are named."""

from datetime import UTC, datetime

import pytest

from support.settings import mails
from zitadel_notification_operator.auditing.ledger import (
    Author,
    AuthorKind,
    Change,
    Held,
    Source,
)
from zitadel_notification_operator.auditing.period import parse_since, shown_time
from zitadel_notification_operator.auditing.rights import Purpose, Right
from zitadel_notification_operator.auditing.rows import (
    CHANGE_COLUMNS,
    change_as_cells,
    change_in_words,
    csv_line,
    log_note,
)
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.policy_events import LogStart
from zitadel_notification_operator.core.text import padded

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("30d", "2026-10-31T12:00:00Z"),
        ("1w2d12h30m5s", "2026-11-20T23:29:55Z"),
        ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00Z"),
        ("2026-01-31T08:00:00+02:00", "2026-01-31T06:00:00Z"),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
    ],
)
def test_a_period_begins(text: str, begins: str) -> None:
    assert shown_time(parse_since(text, NOW).isoformat()) == begins


@pytest.mark.parametrize("text", ["", "30", "30 days", "-1d", "yesterday", "9999999w"])
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(ValueError, match=r"30d|calendar"):
        parse_since(text, NOW)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(name: str) -> None:
    assert csv_line([name, "b"]).lstrip('"').startswith("'" + name)
    assert csv_line(["a=1", "b"]) == "a=1,b\n"


def change(name: str = "ACME", author: Author | None = None) -> Change:
    return Change(
        "2026-11-30T01:41:04.857717Z",
        5,
        "101",
        name,
        Held(Source.INHERITED, mails(True)),
        Held(Source.OWN, mails(False)),
        author or Author(AuthorKind.USER, User("u", "Anna")),
    )


def test_a_change_in_words() -> None:
    assert change_in_words(change()) == {
        "time": "2026-11-30T01:41:04Z",
        "of": "ACME (101)",
        "from": "true (inherited)",
        "to": "false",
        "by": "Anna (u)",
    }
    mine = Author(AuthorKind.USER, User("u", ""), is_credential=True)
    assert change_in_words(change(author=mine))["by"] == "u, this credential"
    assert change_in_words(change("", Author()))["by"] == "unknown"
    assert change_in_words(change(""))["of"] == "101"
    forged = change("A\n2026 forged\x1b[2J")
    assert change_in_words(forged)["of"] == "A 2026 forged [2J (101)"


def test_a_change_in_csv_has_a_cell_for_each_column() -> None:
    cells = dict(zip(CHANGE_COLUMNS, change_as_cells(change()), strict=True))
    assert cells["fromPasswordChange"] == "true"
    assert cells["toSource"] == "Own"
    assert cells["byName"] == "Anna"


def test_a_log_that_does_not_reach_back_is_told() -> None:
    assert log_note(LogStart("2026-11-30T01:41:04.8Z", is_complete=True)) == ""
    cut = log_note(LogStart("2026-11-30T01:41:04.8Z", is_complete=False))
    assert "begins at 2026-11-30T01:41:04Z" in cut
    assert "no event" in log_note(LogStart("", is_complete=False))


@pytest.mark.parametrize(
    ("text", "role", "where"),
    [
        ("organizations", "IAM_ORG_MANAGER", "the instance"),
        ("organization=a=b", "ORG_SETTINGS_MANAGER", "organization a=b"),
        ("instance", "IAM_OWNER", "the instance"),
        ("events", "IAM_OWNER_VIEWER", "the instance"),
    ],
)
def test_a_right_names_its_role(text: str, role: str, where: str) -> None:
    right = Right.parse(text)
    assert str(right) == text
    assert right.advice == f"give the user the role {role} in {where}"


@pytest.mark.parametrize(
    "text", ["", "organization", "organization=", "events=1", "Instance", "policies"]
)
def test_what_is_no_right(text: str) -> None:
    with pytest.raises(ValueError, match="is none of organizations"):
        Right.parse(text)


def test_each_purpose_has_its_words() -> None:
    for purpose in Purpose:
        right = Right(purpose, "x" if purpose is Purpose.ORGANIZATION else "")
        assert right.role
        assert "{" not in right.what


def test_columns_of_a_terminal() -> None:
    """Wide characters take two columns, combining accents none."""
    assert padded("ab", 4) == "ab  "
    assert padded("山田", 5) == "山田 "
    assert padded("e\u0301", 3) == "e\u0301  "
    assert padded("too long", 3) == "too long"
