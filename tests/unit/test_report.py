"""Statuses: conditions by cause, the deadline, suspension, removed values."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from support.oracle import complaints
from support.settings import mails
from zitadel_notification_operator.cluster.records import to_json
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.decision import decide
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.event_cursor import is_known
from zitadel_notification_operator.core.events import (
    Cursor,
    EventId,
    EventKind,
    ZitadelEvent,
)
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import ObservedPolicy, Scope
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.report import (
    PROGRESS_DEADLINE,
    Findings,
    failed,
    is_ready_and_current,
    settled,
    suspended,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = PolicyObject(
    key=PolicyKey("ns", "acme"),
    uid="u",
    generation=3,
    created="2026-01-01T00:00:00Z",
    scope=Scope.ORGANIZATION,
    instance="default",
    settings=mails(True),
    organization=Reference(By.ID, "o"),
)
OBSERVED = ObservedPolicy(False, mails(True), "5", "c", "d", "o")


def judged(policy: PolicyObject, status: PolicyStatus) -> PolicyObject:
    """Return the object with the status, which must follow the rules of Flux."""
    body = {
        "metadata": {"generation": policy.generation},
        "spec": {"suspend": policy.suspended},
        "status": to_json(status),
    }
    assert complaints(body) == []
    return replace(policy, status=status)


def ready_policy() -> PolicyObject:
    """Return a policy that is Ready."""
    findings = Findings(
        decide(POLICY.desired, OBSERVED),
        OBSERVED,
        "o",
        "ACME",
        OriginalValue(True, mails(True)),
    )
    return judged(POLICY, settled(POLICY, findings, NOW))


def test_ready_says_what_a_get_says() -> None:
    """Values are ZITADEL's own, and a second report equals the first."""
    policy = ready_policy()
    status = policy.status
    assert (status.sequence, status.change_date, status.is_default) == ("5", "d", False)
    assert is_ready_and_current(policy)
    findings = Findings(
        decide(POLICY.desired, OBSERVED), OBSERVED, "o", None, status.original
    )
    assert settled(policy, findings, NOW + timedelta(hours=1)) == status


@pytest.mark.parametrize(
    ("failure", "abnormal"),
    [
        (TransientError(Reason.SERVER_ERROR, "x"), "Reconciling"),
        (TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "x"), "Stalled"),
    ],
)
def test_trouble_carries_its_cause(failure: OperatorError, abnormal: str) -> None:
    """Ready and the negative condition have it; values stay; InSync is Unknown."""
    policy = judged(POLICY, failed(ready_policy(), failure, NOW))
    found = find(policy.status.conditions, abnormal)
    ready = find(policy.status.conditions, "Ready")
    sync = find(policy.status.conditions, "InSync")
    assert found is not None
    assert ready is not None
    assert sync is not None
    assert found.reason == ready.reason == failure.reason
    assert sync.status == "Unknown"
    assert policy.status.settings == mails(True)


@pytest.mark.parametrize(
    "reason", [Reason.INSTANCE_NOT_FOUND, Reason.NOT_GRANTED, Reason.CONFLICT]
)
def test_refusal_takes_the_values_away(reason: Reason) -> None:
    """A value that may no longer be read is removed; the pinned id stays."""
    status = failed(ready_policy(), TerminalError(reason, "x"), NOW)
    assert status.settings.is_empty
    assert status.sequence is None
    assert status.organization_id == "o"


def test_no_progress_for_ten_minutes_is_stalled() -> None:
    """Ready keeps the cause; a new generation starts the clock anew."""
    failure = TransientError(Reason.SERVER_ERROR, "x")
    policy = judged(POLICY, failed(POLICY, failure, NOW))
    early = NOW + timedelta(seconds=PROGRESS_DEADLINE - 1)
    assert failed(policy, failure, early) == policy.status
    late = NOW + timedelta(seconds=PROGRESS_DEADLINE)
    policy = judged(policy, failed(policy, failure, late))
    stalled = find(policy.status.conditions, "Stalled")
    ready = find(policy.status.conditions, "Ready")
    assert stalled is not None
    assert ready is not None
    assert stalled.reason == Reason.PROGRESS_DEADLINE_EXCEEDED
    assert ready.reason == Reason.SERVER_ERROR
    assert failed(policy, failure, late + timedelta(hours=1)) == policy.status
    edited = replace(policy, generation=4)
    again = judged(edited, failed(edited, failure, late))
    assert find(again.status.conditions, "Reconciling") is not None


def test_an_edit_in_trouble_is_no_transition() -> None:
    """The time of Reconciling stays; the caller knows when the edit came."""
    failure = TransientError(Reason.SERVER_ERROR, "x")
    policy = judged(POLICY, failed(POLICY, failure, NOW))
    edited = replace(policy, generation=4)
    at = NOW + timedelta(seconds=500)
    edited = judged(edited, failed(edited, failure, at, began=at))
    assert [c.last_transition_time for c in edited.status.conditions] == [
        c.last_transition_time for c in policy.status.conditions
    ]
    early = at + timedelta(seconds=PROGRESS_DEADLINE - 1)
    assert failed(edited, failure, early, began=at) == edited.status
    late = at + timedelta(seconds=PROGRESS_DEADLINE)
    status = failed(edited, failure, late, began=at)
    assert find(status.conditions, "Stalled") is not None


def test_suspended_keeps_ready_with_its_old_generation() -> None:
    """Only the root generation changes, so `kubectl wait` stays correct."""
    policy = replace(ready_policy(), generation=4, suspended=True)
    status = judged(policy, suspended(policy, NOW)).status
    ready = find(status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.observed_generation) == ("True", 3)
    assert status.observed_generation == 4


def test_token_is_copied_whatever_the_outcome() -> None:
    """The first status after a requested pass has its token."""
    policy = replace(ready_policy(), requested_at="t1")
    assert not is_ready_and_current(policy)
    status = failed(policy, TransientError(Reason.SERVER_ERROR, "x"), NOW)
    assert status.last_handled_reconcile_at == "t1"


@pytest.mark.parametrize("time", ["", "yesterday", "2026-01-01T00:00:00", "9" * 30])
def test_a_time_that_somebody_broke_is_observed_anew(time: str) -> None:
    """An invalid status stops no pass (design, section 11)."""
    failure = TransientError(Reason.SERVER_ERROR, "down")
    policy = replace(POLICY, status=failed(POLICY, failure, NOW))
    broken = tuple(
        replace(condition, last_transition_time=time)
        for condition in policy.status.conditions
    )
    policy = replace(policy, status=replace(policy.status, conditions=broken))
    later = NOW + timedelta(seconds=PROGRESS_DEADLINE + 1)
    status = judged(policy, failed(policy, failure, later)).status
    assert find(status.conditions, "Reconciling") is not None
    assert {c.last_transition_time for c in status.conditions} == {
        "2026-01-01T00:10:01Z"
    }


@pytest.mark.parametrize("sequence", ["\N{SUPERSCRIPT TWO}", "9" * 5000, "x", ""])
def test_a_sequence_that_somebody_broke_is_not_known(sequence: str) -> None:
    status = PolicyStatus(sequence=sequence, resource_owner="o")
    event = ZitadelEvent(
        EventId("o", 1), EventKind.ORGANIZATION_POLICY, "2026-01-01T00:00:00Z"
    )
    assert not is_known(status, event)


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59.999999Z 1 o",
        "0001-01-01T00:00:00Z 1 o",
        "2026-01-01T00:00:00Z \N{SUPERSCRIPT TWO} o",
        "2026-01-01T00:00:00Z 1 ",
        "yesterday 1 o",
    ],
)
def test_a_cursor_that_somebody_broke_is_none(text: str) -> None:
    assert Cursor.from_text(text) is None


def test_a_cursor_of_an_early_year_is_a_time_for_zitadel() -> None:
    """The year needs four digits, or ZITADEL refuses every search."""
    cursor = Cursor.from_text("0033-04-03T15:00:00Z 1 o")
    assert cursor is not None
    assert cursor.just_before() == "0033-04-03T14:59:59.999999Z"
