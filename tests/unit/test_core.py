"""Pure rules: claims, grants, durations, backoff, originals, tokens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.settings import mails
from zitadel_notification_operator.core.backoff import (
    BOUND,
    LONGEST,
    bounded_delay,
    retry_delay,
)
from zitadel_notification_operator.core.claims import (
    Claim,
    PolicyKey,
    Target,
    owner_of,
)
from zitadel_notification_operator.core.durations import parse_duration
from zitadel_notification_operator.core.events import EventId
from zitadel_notification_operator.core.grants import Admission, Grant, admit
from zitadel_notification_operator.core.original import Original, OriginalValue
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.unseen_writes import PATIENCE, UnseenWrites

ORG, INSTANCE = Scope.ORGANIZATION, Scope.INSTANCE


def claim(created: str, namespace: str, name: str, made_by: str = "") -> Claim:
    """Return the claim of a policy, or of the set of this name that makes it."""
    key = PolicyKey(namespace, name)
    holder = PolicyKey(namespace, made_by) if made_by else key
    return Claim(is_of_set=bool(made_by), created=created, holder=holder, key=key)


def test_oldest_claim_owns_then_the_name() -> None:
    """Age decides; within a second, namespace and name do."""
    young = claim("2026-01-02T00:00:00Z", "a", "a")
    old = claim("2026-01-01T00:00:00Z", "z", "z")
    twin = claim("2026-01-01T00:00:00Z", "z", "b")
    assert owner_of([young, old]) == PolicyKey("z", "z")
    assert owner_of([old, twin]) == PolicyKey("z", "b")
    assert owner_of([]) is None


def test_a_policy_goes_before_a_set_and_the_older_set_before_the_younger() -> None:
    """The age of a set counts, and not that of its policies."""
    policy = claim("2026-01-03T00:00:00Z", "z", "exception")
    older = claim("2026-01-01T00:00:00Z", "z", "old-1", made_by="old")
    younger = claim("2026-01-02T00:00:00Z", "a", "young-1", made_by="young")
    assert owner_of([older, younger, policy]) == policy.key
    assert owner_of([younger, older]) == older.key
    twin = claim("2026-01-01T00:00:00Z", "a", "x-1", made_by="x")
    assert owner_of([older, twin]) == twin.key


@pytest.mark.parametrize(
    ("grants", "namespace", "scope", "answer"),
    [
        ((), "own", INSTANCE, Admission.GRANTED),
        ((), "team", ORG, Admission.NAMESPACE_UNKNOWN),
        ((Grant(("team",)),), "team", ORG, Admission.GRANTED),
        ((Grant(("team",)),), "team", INSTANCE, Admission.SCOPE_MISSING),
        ((Grant(("team-*",)),), "team-a", ORG, Admission.GRANTED),
        ((Grant(("team-*",)),), "team", ORG, Admission.NAMESPACE_UNKNOWN),
        ((Grant(("*",), frozenset({INSTANCE})),), "x", INSTANCE, Admission.GRANTED),
        ((Grant(("*",), frozenset({INSTANCE})),), "x", ORG, Admission.SCOPE_MISSING),
    ],
)
def test_admission_is_closed_by_default(
    grants: tuple[Grant, ...], namespace: str, scope: Scope, answer: Admission
) -> None:
    """Without a grant only the operator's own namespace is admitted."""
    assert admit(grants, "own", namespace, scope) is answer


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("500ms", 0.5)]
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    """The units are those of Go, and are added up."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "1d", "-1s", "1.5h"])
def test_other_durations_are_refused(text: str) -> None:
    """The error names every other duration."""
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_grows_to_a_bound(attempt: int, chance: float) -> None:
    """A delay is never much shorter than a second or longer than a minute."""
    assert 0.8 <= retry_delay(attempt, chance) <= LONGEST * 1.2
    assert retry_delay(attempt, chance, asked=100.0) >= 100.0


@given(st.integers(7, 10_000), st.floats(0, 1, exclude_max=True))
def test_long_delays_are_bounded_and_spread(attempt: int, chance: float) -> None:
    """Replicas that wait for one API server do not retry at the same moment."""
    delay = bounded_delay(attempt, chance)
    assert BOUND * 0.6 <= delay <= BOUND
    shortest, longest = bounded_delay(attempt, 0.0), bounded_delay(attempt, 0.999)
    assert longest - shortest > BOUND / 4
    assert bounded_delay(attempt, chance, asked=100.0) == 100.0


def test_a_log_that_stands_still_is_noticed_while_much_is_written() -> None:
    """A hundred writes are remembered, and the oldest ones are not dropped."""
    unseen_writes = UnseenWrites()
    for number in range(1000):
        now = number / 10
        unseen_writes.wrote(EventId("o", number), now)
        assert unseen_writes.is_missed(now) is (now > PATIENCE)
    unseen_writes.shown(EventId("o", number) for number in range(100))
    assert not unseen_writes.is_missed(100.0)


IDS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))


@given(IDS, st.none() | IDS, st.booleans(), st.none() | st.booleans())
def test_original_survives_its_annotation(
    uid: str, org: str | None, is_default: bool, value: bool | None
) -> None:
    """An original is read from the annotation as it was written."""
    record = Original(uid, Target("z", org), OriginalValue(is_default, mails(value)))
    assert Original.from_text(record.to_text()) == record


@pytest.mark.parametrize("id_", ["\ud800", "a\nb", "\x1b]0;x\x07", "\u00e9t\u00e9"])
@pytest.mark.parametrize("field", ["uid", "instanceId", "organizationId"])
def test_an_id_that_could_forge_a_line_is_not_ours(field: str, id_: str) -> None:
    """Anybody may write an annotation, and `znp release` prints what it says."""
    record = Original("u", Target("z", "o"), OriginalValue(True, mails(True)))
    data = json.loads(record.to_text())
    assert Original.from_text(json.dumps(data)) == record
    assert Original.from_text(json.dumps({**data, field: id_})) is None


@given(st.text() | st.sampled_from(['{"uid":1}', "[]", "null", "{}"]))
def test_foreign_annotations_count_as_absent(text: str) -> None:
    """Whatever somebody writes into the annotation, nothing crashes."""
    assert Original.from_text(text) is None
