"""The output of `znp release` for each kind of object that may be left over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypedDict, Unpack

import pytest
from click.testing import CliRunner

from support.engines import PolicyChanges, policy
from support.settings import mails
from zitadel_notification_operator.cli.group import znp
from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.conditions import READY, Condition
from zitadel_notification_operator.core.lease import Lease
from zitadel_notification_operator.core.original import Original, OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.core.release import (
    COPIED,
    NEVER_MANAGED,
    UNREADABLE,
    Marked,
    describe_running,
    is_fresh,
    parse_policy_name,
    summarize,
    tell_left,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
INHERITED = OriginalValue(is_default=True, settings=mails(True))
OWN = OriginalValue(is_default=False, settings=mails(True))
ABSENT = OriginalValue(is_default=True, settings=mails(None))


class Marks(TypedDict, total=False):
    """Fields of a marked object that a test sets."""

    finalizer: bool
    original: bool
    deleting: bool
    others: tuple[str, ...]


def marked(**changes: Unpack[Marks]) -> Marked:
    """Return a policy with annotation and finalizer that nobody has deleted."""
    one = Marked(
        title="NotificationPolicy team-a/acme",
        path="/there",
        uid="u",
        finalizer=True,
        original=True,
        left=(),
    )
    return replace(one, **changes)


def managing(
    value: OriginalValue = INHERITED,
    *,
    known: bool = True,
    **changes: Unpack[PolicyChanges],
) -> PolicyObject:
    """Return a policy that has set its organization's passwordChange to false."""
    target = Target("z", "o")
    record = Original("uid-p", target, value)
    status = PolicyStatus(
        organization_id="o",
        organization_name="ACME",
        is_default=False,
        settings=mails(False),
        original=value,
    )
    one = replace(
        policy("p"),
        original=record,
        original_text=record.to_text(),
        status=status if known else PolicyStatus(),
    )
    return replace(one, **changes)


def of_instance(value: OriginalValue, **changes: Unpack[PolicyChanges]) -> PolicyObject:
    """Return a policy that has set the instance's value."""
    one = managing(value, scope=Scope.INSTANCE, organization=None)
    status = replace(one.status, organization_id=None, organization_name=None)
    record = Original(one.uid, Target("z", None), value)
    one = replace(one, status=status, original=record, original_text=record.to_text())
    return replace(one, **changes)


def refused(reason: str) -> PolicyObject:
    """Return a policy that had managed its organization before it was refused."""
    ready = Condition(READY, "False", reason, "", 1)
    status = PolicyStatus(conditions=(ready,), organization_id="o", original=INHERITED)
    return replace(managing(), status=status)


def reset_by_hand() -> PolicyObject:
    """Return a policy whose organization inherits again."""
    one = managing()
    status = replace(one.status, is_default=True, settings=mails(True))
    return replace(one, status=status)


LEFT = "left in ZITADEL z (ZitadelInstance default): "
OF_ITS_OWN = (
    f"{LEFT}organization o (ACME) has a setting of its own, passwordChange false, as "
    "observed last"
)
OF_THE_INSTANCE = f"{LEFT}the instance has passwordChange false, as observed last"
INHERITS = (
    f"{LEFT}organization o (ACME) inherits passwordChange true from the instance, as "
    "observed last"
)
UNKNOWN_SETTING = f"{LEFT}organization o with a setting that the status does not tell"
WAS_INHERITED = (
    "before it was managed, the organization inherited passwordChange true from the "
    "instance"
)
WAS_ITS_OWN = (
    "before it was managed, the organization had a setting of its own, passwordChange "
    "true"
)
RESET = "deletionPolicy Reset was not carried out"
RESTORE = "deletionPolicy Restore was not carried out"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(
            managing(),
            (OF_ITS_OWN, RESET, WAS_INHERITED),
            id="reset is the default of an organization",
        ),
        pytest.param(
            managing(deletion=DeletionPolicy.RESTORE),
            (OF_ITS_OWN, RESTORE, WAS_INHERITED),
            id="restore what was inherited",
        ),
        pytest.param(
            managing(OWN, deletion=DeletionPolicy.RESTORE),
            (OF_ITS_OWN, RESTORE, WAS_ITS_OWN),
            id="restore a setting of its own",
        ),
        pytest.param(
            managing(deletion=DeletionPolicy.RETAIN),
            (OF_ITS_OWN, WAS_INHERITED),
            id="retain",
        ),
        pytest.param(
            of_instance(OWN, deletion=DeletionPolicy.RESTORE),
            (
                OF_THE_INSTANCE,
                RESTORE,
                "before it was managed, the instance had passwordChange true",
            ),
            id="restore the instance",
        ),
        pytest.param(
            of_instance(ABSENT, deletion=DeletionPolicy.RESTORE),
            (
                OF_THE_INSTANCE,
                RESTORE,
                "before it was managed, the instance had no setting",
            ),
            id="the instance had none",
        ),
        pytest.param(
            reset_by_hand(),
            (INHERITS, RESET, WAS_INHERITED),
            id="reset by hand, in time to be observed",
        ),
        pytest.param(
            managing(known=False),
            (UNKNOWN_SETTING, RESET, WAS_INHERITED),
            id="between the mark and the status, or the status was lost",
        ),
        pytest.param(
            replace(managing(), original=None, original_text=None),
            (OF_ITS_OWN.replace("ZITADEL z (", "ZITADEL ("), RESET, WAS_INHERITED),
            id="the annotation was lost: the status counts",
        ),
        pytest.param(
            managing(management=ManagementPolicy.OBSERVE),
            (OF_ITS_OWN, WAS_INHERITED),
            id="turned to Observe without an operator",
        ),
        pytest.param(
            refused("NotGranted"),
            (UNKNOWN_SETTING, RESET, WAS_INHERITED),
            id="its grant was taken",
        ),
        pytest.param(policy("p"), (NEVER_MANAGED,), id="never came so far"),
        pytest.param(managing(known=False, uid="another"), (COPIED,), id="a copy"),
        pytest.param(
            replace(policy("p"), original_text="spoiled"),
            (UNREADABLE,),
            id="a spoiled annotation and no status",
        ),
    ],
)
def test_what_is_left(policy: PolicyObject, expected: tuple[str, ...]) -> None:
    """It names the setting in force, the skipped deletion, and the original."""
    assert tell_left(policy) == expected


KEPT = "released (finalizer, original); another finalizer keeps it: a/b, c/d"


@pytest.mark.parametrize(
    ("one", "done", "planned"),
    [
        (
            marked(deleting=True),
            "released (finalizer, original); it is gone with that",
            "would be released (finalizer, original); it would go with that",
        ),
        (
            marked(deleting=True, others=("a/b", "c/d")),
            KEPT,
            f"would be {KEPT}",
        ),
        (
            marked(original=False),
            "released (finalizer); it stays",
            "would be released (finalizer); it stays",
        ),
        (
            marked(finalizer=False),
            "released (original); it stays",
            "would be released (original); it stays",
        ),
        (
            marked(finalizer=False, original=False),
            "nothing of ours is on it",
            "nothing of ours is on it",
        ),
    ],
)
def test_what_was_done(one: Marked, done: str, planned: str) -> None:
    """It names what was removed, and what happens to the object."""
    assert one.describe_release(dry_run=False) == f"{one.title}: {done}"
    assert one.describe_release(dry_run=True) == f"{one.title}: {planned}"


@pytest.mark.parametrize(
    "text",
    [
        *("", "acme", "/acme", "team-a/", "a/b/c", "Team/acme", "a.b/acme", "a/-b"),
        *("a/..", f"{'n' * 64}/p", f"n/{'p' * 254}"),
    ],
)
def test_what_is_no_name(text: str) -> None:
    """It would lead to another path of the API, or to none."""
    with pytest.raises(ValueError, match="is not NAMESPACE/NAME"):
        parse_policy_name(text)


def test_names() -> None:
    """They are those of Kubernetes: labels for namespaces, dots for objects."""
    assert parse_policy_name("team-a/acme.v2") == PolicyKey("team-a", "acme.v2")


@pytest.mark.parametrize(
    ("lease", "fresh"),
    [
        (Lease("", 15, NOW, NOW), False),
        (Lease("a", 15, NOW, None), False),
        (Lease("a", 15, NOW, NOW - timedelta(seconds=14)), True),
        (Lease("a", 15, NOW, NOW - timedelta(seconds=15)), False),
        (Lease("a", 15, NOW, NOW + timedelta(hours=1)), True),
    ],
    ids=["released", "never renewed", "renewed", "late", "a clock that is ahead"],
)
def test_who_holds_a_lease(lease: Lease, fresh: bool) -> None:
    assert is_fresh(lease, NOW) is fresh


def test_a_refusal_names_the_holder_and_ways_out() -> None:
    text = describe_running(Lease("pod-1", 15), "ops/zitadel-notification-operator")
    for words in ("pod-1", "ops/zitadel-notification-operator", "Retain", "--force"):
        assert words in text


@pytest.mark.parametrize(
    ("counts", "dry_run", "text"),
    [
        ((1, 0, 0), False, "1 object released"),
        ((2, 3, 1), False, "2 objects released, 3 had nothing of ours, 1 not released"),
        ((0, 1, 0), True, "0 objects to be released, 1 had nothing of ours"),
    ],
)
def test_the_last_line(counts: tuple[int, int, int], dry_run: bool, text: str) -> None:
    assert summarize(*counts, dry_run=dry_run) == text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name what to release"),
        (["acme"], "'acme' is not NAMESPACE/NAME"),
        (["--instance", "a/b"], "is not the name of a ZitadelInstance"),
        (["a/b", "--all"], "not both"),
        (["--instance", "a", "--all"], "not both"),
    ],
)
def test_wrong_use_is_reported(arguments: list[str], words: str) -> None:
    """The exit code is 64, and no cluster is called."""
    done = CliRunner().invoke(znp, ["release", *arguments])
    assert done.exit_code == 64
    assert words in done.output
