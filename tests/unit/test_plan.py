"""The plan's words, and what manifests make of objects."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from support.engines import INSTANCE, policy
from support.settings import mails
from zitadel_notification_operator.cluster.resources import parse
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.kinds import POLICY
from zitadel_notification_operator.core.objects import FINALIZER, OwnObject
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.planning.applying import (
    New,
    apply,
    says_suspend,
    with_metadata,
)
from zitadel_notification_operator.planning.dry_zitadel import Change, ChangeKind
from zitadel_notification_operator.planning.plan import Line, Plan, Verdict
from zitadel_notification_operator.planning.wording import as_text, summary

NOW = datetime(2026, 11, 30, tzinfo=UTC)
INHERITED, OWN = True, False


def seen(value: bool, *, inherited: bool) -> ObservedPolicy:
    """Return what is in force."""
    return ObservedPolicy(inherited, mails(value))


def change(
    before: ObservedPolicy | None, after: ObservedPolicy, org: str | None = "1"
) -> Change:
    """Return a write."""
    return Change(ChangeKind.UPDATE, "own", "a", Target("z", org), before, after)


def line(verdict: Verdict, made: Change | None = None, **more: Any) -> Line:
    """Return the line of a policy."""
    name = "ACME\nPlan: forged"
    return Line(verdict, policy("a"), made, organization=name, **more)


@pytest.mark.parametrize(
    ("before", "after", "org", "kind"),
    [
        (seen(True, inherited=INHERITED), seen(True, inherited=OWN), "1", "create"),
        (seen(True, inherited=OWN), seen(False, inherited=OWN), "1", "update"),
        (seen(True, inherited=OWN), seen(False, inherited=INHERITED), "1", "reset"),
        (seen(True, inherited=OWN), seen(True, inherited=OWN), "1", None),
        (seen(True, inherited=INHERITED), seen(True, inherited=INHERITED), "1", None),
        (None, seen(True, inherited=INHERITED), None, "create"),
        (seen(True, inherited=INHERITED), seen(False, inherited=True), None, "update"),
        (seen(True, inherited=INHERITED), seen(True, inherited=True), None, None),
    ],
)
def test_a_change_is_named_by_what_it_does_in_the_end(
    before: ObservedPolicy | None, after: ObservedPolicy, org: str | None, kind: Any
) -> None:
    """A write over an earlier one may come to nothing."""
    assert change(before, after, org).net_kind == kind


def test_mails_that_are_turned_off_are_said_in_words() -> None:
    """They are counted before the last line. No name adds a line of its own."""
    made = change(seen(True, inherited=INHERITED), seen(False, inherited=OWN))
    assert list(as_text(Plan((line(Verdict.CREATE, made),)), show_unchanged=False)) == [
        (
            "+ create     NotificationPolicy own/a: organization ACME Plan: forged "
            "(1): passwordChange from true (inherited) to false, turns mails OFF"
        ),
        "1 of these changes turns mails OFF.",
        "Plan: 1 to create, 0 to update, 0 to reset; 0 unchanged.",
    ]


def test_a_reset_says_what_is_inherited_again() -> None:
    """If the credential may not read that, it says so in words."""
    before = seen(False, inherited=OWN)
    made = change(before, seen(True, inherited=INHERITED))
    text, _ = as_text(Plan((line(Verdict.RESET, made),)), show_unchanged=False)
    assert text.endswith("passwordChange false, inherits passwordChange true again")
    unknown = replace(seen(True, inherited=INHERITED), settings=mails(None))
    text, _ = as_text(
        Plan((line(Verdict.RESET, change(before, unknown)),)), show_unchanged=False
    )
    assert text.endswith("passwordChange false, inherits the instance's value again")


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ([], "No changes. ZITADEL is as declared."),
        (["unchanged"], "No changes. ZITADEL is as declared."),
        (
            ["unchanged", "conflict"],
            "Plan: 0 to create, 0 to update, 0 to reset; 1 unchanged; 1 in conflict.",
        ),
        (
            ["reset", "conflict", "unknown", "unknown"],
            (
                "Plan: 0 to create, 0 to update, 1 to reset; 0 unchanged; 1 in "
                "conflict, 2 unknown."
            ),
        ),
    ],
)
def test_the_last_line_adds_up(verdicts: list[str], words: str) -> None:
    """What could not be found out is never "no changes"."""
    assert summary(Plan(tuple(line(Verdict(one)) for one in verdicts))) == words


def test_unchanged_objects_are_shown_on_request() -> None:
    """A reason is told in one line."""
    overridden = line(Verdict.UNCHANGED, reason="Overridden", message="it\nis")
    plan = Plan((overridden,))
    assert list(as_text(plan, show_unchanged=False)) == [
        "No changes. ZITADEL is as declared."
    ]
    shown, _ = as_text(plan, show_unchanged=True)
    assert shown == "= unchanged  NotificationPolicy own/a: Overridden: it is"


@pytest.mark.parametrize("reason", ["Suspended", "Drifted"])
def test_what_only_says_something_is_no_all_clear(reason: str) -> None:
    """Nothing would be written, and yet ZITADEL may not be as declared."""
    plan = Plan((line(Verdict.UNCHANGED, reason=reason, message="it is so"),))
    assert list(as_text(plan, show_unchanged=False)) == [
        f"= unchanged  NotificationPolicy own/a: {reason}: it is so",
        "1 object observes or is suspended, so ZITADEL may differ from what it says.",
        "Plan: 0 to create, 0 to update, 0 to reset; 1 unchanged.",
    ]


def test_a_manifest_that_does_not_say_suspend_leaves_it() -> None:
    """`kubectl apply` does the same, where a command has set it."""
    known = replace(policy("a"), suspended=True)
    (left,) = apply([known], [new(manifest(False))])
    assert left == known
    body = manifest(False)
    body["spec"]["suspend"] = False
    (resumed,) = apply([known], [new(body)])
    assert resumed == replace(known, suspended=False, generation=2)


def manifest(value: bool, **metadata: Any) -> dict[str, Any]:
    """Return the manifest of the policy `own/a`."""
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicy",
        "metadata": {"name": "a", "namespace": "own", **metadata},
        "spec": {
            "scope": "Organization",
            "organization": {"id": "o"},
            "passwordChange": value,
        },
    }


def record(body: dict[str, Any], number: int = 0) -> PolicyObject:
    """Return the record of a manifest."""
    found: PolicyObject = parse(POLICY, with_metadata(POLICY, body, "own", number, NOW))
    return found


def new(body: dict[str, Any]) -> New:
    """Return what a manifest would make."""
    return New(record(body), says_suspend(body))


def test_a_new_object_is_the_youngest() -> None:
    """It gets nothing of what a copied manifest may carry of another object."""
    body = manifest(
        True,
        uid="copied",
        creationTimestamp="2020-01-01T00:00:00Z",
        finalizers=[FINALIZER],
        deletionTimestamp="2020-01-02T00:00:00Z",
    )
    one = record({**body, "status": {"organizationId": "other"}})
    assert one.created > "2026-11-30T00:00:00Z"
    assert (one.uid, one.finalizers, one.deleting) == ("new-0", (), False)
    assert one.status.organization_id is None
    assert record(body, 1).created > one.created


def test_an_object_keeps_all_but_what_its_manifest_says() -> None:
    """Another spec is another generation; what has no manifest stays."""
    known = replace(policy("a"), finalizers=(FINALIZER,), requested_at="then")
    others: list[OwnObject] = [INSTANCE, known]
    instance, same = apply(others, [new(manifest(False))])
    assert (instance, same) == (INSTANCE, known)
    _, other = apply(others, [new(manifest(True))])
    assert other == replace(known, settings=mails(True), generation=2)
    asked = manifest(
        False,
        annotations={"zitadel-notification.dev/reconcile-requested-at": "now"},
    )
    _, requested = apply(others, [new(asked)])
    assert requested == replace(known, requested_at="now")
