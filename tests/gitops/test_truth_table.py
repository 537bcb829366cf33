"""The truth table of the conventions sheet, 2.8, with all three judges."""

from typing import Any

import pytest

from support import judges
from support.kstatus import Status, kstatus

Json = dict[str, Any]

SUSPENDABLE = ("NotificationPolicy", "NotificationPolicySet")
KINDS = (*SUSPENDABLE, "ZitadelInstance")
NOW = 3
"""The generation of the spec in all rows."""


def condition(kind: str, status: str, observed: int | None = NOW) -> Json:
    """Return a condition of this generation, or of an older one."""
    found: Json = {"type": kind, "status": status, "reason": "R", "message": "words"}
    return found if observed is None else {**found, "observedGeneration": observed}


READY = condition("Ready", "True")
STALE = condition("Ready", "True", NOW - 1)
NOT_READY = condition("Ready", "False")
UNKNOWN = condition("Ready", "Unknown")
RECONCILING = condition("Reconciling", "True")
STALLED = condition("Stalled", "True")
IN_SYNC = condition("InSync", "True")

CURRENT, WAITS, FAILED = Status.CURRENT, Status.IN_PROGRESS, Status.FAILED

ROWS: dict[str, tuple[int | None, list[Json] | None, Status, str, Status]] = {
    # root, conditions; kstatus, Argo CD, Flux's expressions
    # (The first is an error in Flux's own CEL, and then it waits, too.)
    "no status": (None, None, CURRENT, "Progressing", WAITS),
    "-1": (-1, None, WAITS, "Progressing", WAITS),
    "no conditions": (NOW, [], CURRENT, "Progressing", WAITS),
    "Ready": (NOW, [READY, IN_SYNC], CURRENT, "Healthy", CURRENT),
    "stale": (NOW - 1, [STALE], WAITS, "Progressing", WAITS),
    "stale, no root": (None, [STALE], CURRENT, "Progressing", WAITS),
    "stale, root new": (NOW, [STALE], CURRENT, "Progressing", WAITS),
    "Reconciling": (NOW, [RECONCILING, NOT_READY], WAITS, "Progressing", WAITS),
    "Reconciling last": (NOW, [NOT_READY, RECONCILING], WAITS, "Progressing", WAITS),
    "progressing": (NOW, [RECONCILING, UNKNOWN], WAITS, "Progressing", WAITS),
    "Stalled": (NOW, [STALLED, NOT_READY], FAILED, "Degraded", FAILED),
    "Stalled, old": (NOW - 1, [STALLED, NOT_READY], WAITS, "Progressing", WAITS),
    "not Ready alone": (NOW, [NOT_READY], WAITS, "Degraded", WAITS),
    "Unknown alone": (NOW, [UNKNOWN], WAITS, "Progressing", WAITS),
    "no Ready": (NOW, [IN_SYNC], CURRENT, "Progressing", WAITS),
    "not Stalled": (
        NOW,
        [condition("Stalled", "False"), READY],
        CURRENT,
        "Healthy",
        CURRENT,
    ),
}


def body(
    kind: str, root: int | None, conditions: list[Json] | None, **spec: Any
) -> Json:
    """Return an object with this status."""
    status: Json = {}
    if root is not None:
        status["observedGeneration"] = root
    if conditions is not None:
        status["conditions"] = conditions
    whole: Json = {"kind": kind, "metadata": {"generation": NOW}, "spec": spec}
    return {**whole, "status": status} if status else whole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ROWS)
def test_each_judge_says_what_the_table_says(kind: str, row: str) -> None:
    """This holds for all kinds."""
    root, conditions, by_kstatus, by_argo, by_flux = ROWS[row]
    judged = body(kind, root, conditions)
    assert kstatus(judged) is by_kstatus
    assert judges.argo(judged)[0] == by_argo
    assert judges.flux(judged) is by_flux


@pytest.mark.parametrize("kind", SUSPENDABLE)
@pytest.mark.parametrize("row", ROWS)
def test_suspended_is_suspended(kind: str, row: str) -> None:
    """Argo CD shows it for any status; Flux's expressions count it as done."""
    root, conditions, by_kstatus, _, by_flux = ROWS[row]
    judged = body(kind, root, conditions, suspend=True)
    assert judges.argo(judged)[0] == "Suspended"
    assert kstatus(judged) is by_kstatus
    if {RECONCILING["type"], STALLED["type"]}.isdisjoint(true_ones(conditions)):
        wanted = by_flux if root == NOW - 1 or root == -1 else CURRENT
        assert judges.flux(judged) is wanted


def true_ones(conditions: list[Json] | None) -> set[str]:
    """Return the types of the conditions that are True."""
    return {c["type"] for c in conditions or [] if c["status"] == "True"}


@pytest.mark.parametrize("kind", SUSPENDABLE)
@pytest.mark.parametrize("row", ROWS)
def test_deleted_is_terminating(kind: str, row: str) -> None:
    """Only Flux's expressions still use the conditions."""
    root, conditions, *_ = ROWS[row]
    judged = body(kind, root, conditions, suspend=True)
    judged["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert kstatus(judged) is Status.TERMINATING
    assert judges.argo(judged)[0] == "Progressing"


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("Ready", ""),
        ("-1", ""),
        ("Reconciling", ""),
        ("Stalled", ""),
        ("stale, root new", "2.8"),
        ("not Ready alone", "2.8"),
        ("no conditions", "2.8"),
    ],
)
def test_the_oracle_complains_where_they_differ(row: str, complaint: str) -> None:
    """No status of the operator may be such a row."""
    root, conditions, *_ = ROWS[row]
    found = judges.disagreements(body("NotificationPolicy", root, conditions))
    assert [text[:3] for text in found][:1] == ([complaint] if complaint else [])


def test_a_suspended_failure_is_a_complaint() -> None:
    """A suspended policy drops Stalled, because nobody has to act now."""
    judged = body("NotificationPolicy", NOW, [STALLED, NOT_READY], suspend=True)
    assert [text[:3] for text in judges.disagreements(judged)] == ["6.1", "2.5"]


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ([READY], "R: words"),
        ([RECONCILING, NOT_READY], "R: words"),
        ([{"type": "Ready", "status": "True"}], "No reason"),
        ([], "Waiting for the condition Ready"),
    ],
)
def test_argo_shows_the_reason_and_the_words(
    conditions: list[Json], words: str
) -> None:
    """Otherwise it shows what the object waits for."""
    judged = body("NotificationPolicy", NOW, conditions)
    assert judges.argo(judged)[1] == words
