"""Writes what `znp status` knows of one object as text for people; pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from zitadel_notification_operator.cluster.inspection import SeenEvent
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.identity import Capabilities, User
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.selection import Matcher, Selector
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.core.text import one_line

from .ages import age_of
from .judgement import is_current, is_ready, is_suspended, mends, title, why_not_ready
from .ladder import InZitadel, Ladder

WIDTH = 12
"""The width of the column with the names of the rungs."""

MOST_EVENTS = 10
"""How many Events are shown; JSON has all."""

Rung = tuple[str, Sequence[str]]
"""The name of a rung, and its lines."""


def to_text(ladder: Ladder, now: datetime) -> str:
    """Return the whole text, without characters that control a terminal.

    Args:
        ladder: What is known.
        now: The present time, for ages.
    """
    one: OwnObject = ladder.stored.record
    lines = [_head(one), ""]
    for name, texts in _rungs(ladder, now):
        for number, text in enumerate(texts):
            label = "" if number else name
            lines.append(f"{label:<{WIDTH}}{one_line(text)}".rstrip())
    return "\n".join(lines)


def _rungs(ladder: Ladder, now: datetime) -> Iterator[Rung]:
    one: OwnObject = ladder.stored.record
    missing = {part.part: part.why for part in ladder.not_shown}
    yield "spec", list(_spec(one))
    yield "in force", list(_in_force(one))
    yield "conditions", list(_conditions(one.status.conditions, now))
    yield "mends", [f"{r}: {text}" if r else text for r, text in mends(one).items()]
    if ladder.instance is not None:
        yield "instance", list(_instance(ladder.instance.record))
    if ladder.in_zitadel is not None:
        yield "zitadel", list(_in_zitadel(ladder.in_zitadel, missing))
    if ladder.claims is not None:
        yield "claims", list(_claims(ladder))
    if ladder.events is not None:
        yield "events", list(_events(ladder.events, now))
    # What belongs to the last change is said beside it.
    yield (
        "not shown",
        [f"{part}: {why}" for part, why in missing.items() if part != "lastChange"],
    )


def _head(one: OwnObject) -> str:
    verdict = "Ready" if is_ready(one) else f"not Ready: {why_not_ready(one)}"
    marks = [
        word
        for word, holds in (
            ("suspended", is_suspended(one)),
            ("being deleted", one.deleting),
        )
        if holds
    ]
    return one_line(f"{one.kind.name} {one.key}: {', '.join([*marks, verdict])}")


def _spec(one: OwnObject) -> Iterator[str]:
    if one.not_understood is not None:
        yield f"not understood: {one.not_understood.sentence}"
        return
    if isinstance(one, PolicyObject):
        target = "the instance" if one.scope is Scope.INSTANCE else one.organization
        yield f"{one.settings.describe()} for {target} of zni/{one.instance}"
        yield f"managementPolicy {one.management}, deletionPolicy {one.ending}"
        if one.controller is not None and one.controller.name:
            yield f"made by the set znps/{one.controller.name}"
    elif isinstance(one, SetObject):
        selected = describe_selector(one.organizations)
        yield f"{one.settings.describe()} for {selected} of zni/{one.instance}"
        yield f"managementPolicy {one.management}, deletionPolicy {one.deletion}"
    elif isinstance(one, InstanceObject):
        yield one.url + (f" as {one.external_domain}" if one.external_domain else "")
        yield f"credential {one.credential.kind} of Secret {one.credential.secret}"
        yield f"drift detection {one.drift.method}, {_count(len(one.grants), 'grant')}"
        if one.operator_class:
            yield f"class {one.operator_class}"
    if not is_current(one):
        yield "the operator has not reported about this spec yet"


def describe_selector(selector: Selector) -> str:
    """Describe which organizations a set selects."""
    chosen = "all organizations" if selector.all else _matchers(selector.include)
    if selector.exclude:
        chosen += f" except {_matchers(selector.exclude)}"
    return chosen


def _matchers(matchers: Sequence[Matcher]) -> str:
    return " or ".join(
        " and ".join(
            f"{field} {value}"
            for field, value in (("name", m.name), ("domain", m.domain), ("id", m.id))
            if value is not None
        )
        for m in matchers
    )


def _in_force(one: OwnObject) -> Iterator[str]:
    if isinstance(one, PolicyObject):
        yield from _policy_in_force(one)
    elif isinstance(one, SetObject):
        yield from _set_in_force(one)
    elif isinstance(one, InstanceObject):
        yield from _server(one)
        yield from _reached(one)


def _policy_in_force(one: PolicyObject) -> Iterator[str]:
    status = one.status
    if status.settings.is_empty:
        yield "nothing is known: the policy has not been observed"
        return
    source = _source(one, is_default=bool(status.is_default))
    differs = one.settings.differs_from(status.settings)
    yield (
        f"{status.settings.describe()}, {source}"
        + (", which differs from the spec" if differs else "")
    )
    if status.organization_id:
        name = f" ({status.organization_name})" if status.organization_name else ""
        yield f"organization {status.organization_id}{name}"
    yield f"sequence {status.sequence}, changed {status.change_date}"
    drift = status.last_drift
    if drift is not None:
        yield (
            f"last drift {drift.observed_at} by {_user(drift.editor)}: "
            + drift.restored.settings.describe_change(
                drift.found.settings, inherited=drift.found.is_default
            )
        )


def _source(one: PolicyObject, *, is_default: bool) -> str:
    if one.scope is Scope.INSTANCE:
        return "of the instance"
    return "inherited from the instance" if is_default else "the organization's own"


def _set_in_force(one: SetObject) -> Iterator[str]:
    counts = one.status.organizations
    if counts is None:
        yield "nothing is known: the set has not been reconciled"
        return
    yield (
        f"{counts.matched} organizations match: {counts.ready} ready, "
        f"{counts.overridden} overridden, {counts.failed} failed, "
        f"{counts.pending} pending"
    )
    if counts.drifted or counts.removing:
        yield f"{counts.drifted} drifted, {counts.removing} to be removed"
    removal = one.status.removal
    if removal is not None:
        yield f"{removal.count} removals wait for the approval {removal.digest}"
    for failure in one.status.failures:
        yield (
            f"failed: znp/{failure.policy} ({failure.organization_name}) "
            f"{failure.reason}: {failure.message}"
        )


def _server(one: InstanceObject) -> Iterator[str]:
    by = one.status.served_by
    if by is not None:
        yield f"served by {by}"
    elif one.operator_class:
        yield f"served by nobody: does an operator of class {one.operator_class} run?"


def _reached(one: InstanceObject) -> Iterator[str]:
    status = one.status
    if status.instance_id is None:
        yield "ZITADEL has not been reached yet"
        return
    yield f"ZITADEL {status.instance_id}, version {status.version or 'not shown'}"
    yield f"as user {_user(status.user)}; {_rights(status.capabilities)}"
    ends = status.credential_expires_at
    yield f"the credential ends {ends}" if ends else "the credential's end is not known"
    if status.drift_detection is not None:
        reason = status.drift_detection.reason
        how = f"drift is looked for by {status.drift_detection.method}"
        yield f"{how} ({reason})" if reason else how
    if status.policies is not None:
        yield f"used by {_count(status.policies, 'object')}"


def _instance(one: InstanceObject) -> Iterator[str]:
    verdict = "Ready" if is_ready(one) else f"not Ready: {why_not_ready(one)}"
    yield f"{title(one)}, {one.url}: {verdict}"
    if not is_ready(one):
        yield from (f"mend: {text}" for text in mends(one).values())
    yield from _server(one)
    yield from _reached(one)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _rights(capabilities: Capabilities | None) -> str:
    if capabilities is None:
        return "its rights are not known"
    return ", ".join(
        f"{'may' if may else 'may not'} {what}"
        for may, what in (
            (capabilities.read_events, "read events"),
            (capabilities.write_instance_policy, "write the instance's policy"),
            (capabilities.list_organizations, "list organizations"),
        )
    )


def _user(user: User | None) -> str:
    if user is None:
        return "somebody unknown"
    return f"{user.name} ({user.id})" if user.name else user.id


def _conditions(conditions: Sequence[Condition], now: datetime) -> Iterator[str]:
    for one in conditions:
        since = age_of(one.last_transition_time, now)
        yield f"{one.type} {one.status} {one.reason}, for {since}: {one.message}"
    if not conditions:
        yield "none"


def _in_zitadel(found: InZitadel, missing: dict[str, str]) -> Iterator[str]:
    policy = found.policy
    if policy is None:
        yield "the instance has no policy"
        return
    source = "instance's" if found.of_instance else found.source
    verdict = {True: ", as declared", False: ", not as declared", None: ""}
    yield (f"{source} policy: {policy.settings.describe()}{verdict[found.as_declared]}")
    yield f"sequence {policy.sequence}, changed {policy.change_date}"
    event = found.last_change
    if event is not None:
        who = _user(event.editor) if event.editor else "ZITADEL itself"
        yield f"last change {event.time} by {who}"
    elif "lastChange" in missing:
        yield f"who changed it last is not shown: {missing['lastChange']}"


def _claims(ladder: Ladder) -> Iterator[str]:
    if not ladder.other_claims:
        yield "no other object claims the same target"
        return
    if ladder.owns:
        yield "this object owns the target; these claim it, too:"
    else:
        yield "this object does not own the target; the first of these does:"
    for one in ladder.other_claims:
        controller = one.policy.controller
        made = f" of the set znps/{controller.name}" if controller else ""
        ending = ", being deleted" if one.policy.deleting else ""
        yield f"znp/{one.policy.name} in {one.policy.key.namespace}{made}{ending}"


def _events(events: Sequence[SeenEvent], now: datetime) -> Iterator[str]:
    for event in events[-MOST_EVENTS:]:
        times = f" ({event.count} times)" if event.count > 1 else ""
        age = age_of(event.time, now)
        yield f"{age} ago {event.type} {event.reason}{times}: {event.note}"
    if not events:
        yield "none; Kubernetes keeps them for about an hour"
