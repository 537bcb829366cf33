"""The plan: what becomes of each object, and what that adds up to; pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import is_overridden
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.engine.queue.keys import key_of

from .dry_run import DryRun
from .dry_zitadel import Change, ChangeKind


class Verdict(StrEnum):
    """What becomes of an object."""

    CREATE = "create"
    UPDATE = "update"
    RESET = "reset"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


_ONLY_SAID = frozenset({Reason.SUSPENDED, Reason.DRIFTED})
"""Reasons of an unchanged object that say that ZITADEL may hold another value."""

CHANGES = (Verdict.CREATE, Verdict.UPDATE, Verdict.RESET)
"""The verdicts that mean a write to ZITADEL."""

_OF_CHANGE = {
    ChangeKind.CREATE: Verdict.CREATE,
    ChangeKind.UPDATE: Verdict.UPDATE,
    ChangeKind.RESET: Verdict.RESET,
}


@dataclass(frozen=True, slots=True)
class Line:
    """What becomes of one object.

    Attributes:
        verdict: What becomes of it.
        about: The object, as it is known last.
        change: The write; None without one.
        reason: Why nothing is written, as a condition's reason; empty if there is
            nothing to say.
        message: The same as a sentence.
        organization: The name of the organization; empty if it is not known.
    """

    verdict: Verdict
    about: OwnObject
    change: Change | None = None
    reason: str = ""
    message: str = ""
    organization: str = ""

    @property
    def is_as_declared(self) -> bool:
        """Whether ZITADEL is known to hold what the object says, or will hold it."""
        return self.verdict in CHANGES or (
            self.verdict is Verdict.UNCHANGED and self.reason not in _ONLY_SAID
        )

    @property
    def turns_off(self) -> bool:
        """Whether mails that are sent now would be sent no longer."""
        if self.change is None or self.change.before is None:
            return False
        pairs = zip(
            self.change.before.settings.values,
            self.change.after.settings.values,
            strict=True,
        )
        return any(old is True and new is False for old, new in pairs)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the operator would do.

    Attributes:
        lines: What becomes of each policy, and of each set that cannot go on; sorted by
            kind, namespace and name.
    """

    lines: tuple[Line, ...]

    @property
    def counts(self) -> Counter[Verdict]:
        """How many objects have which verdict."""
        return Counter(line.verdict for line in self.lines)

    @property
    def has_changes(self) -> bool:
        """Whether the operator would write anything to ZITADEL."""
        return any(self.counts[verdict] for verdict in CHANGES)

    @property
    def undeclared(self) -> int:
        """How many objects ask for nothing, although ZITADEL may hold other values."""
        unchanged = (line for line in self.lines if line.verdict is Verdict.UNCHANGED)
        return sum(not line.is_as_declared for line in unchanged)

    @property
    def is_certain(self) -> bool:
        """Whether it is known of each object what becomes of it."""
        return not self.counts[Verdict.UNKNOWN]


def make_plan(done: DryRun) -> Plan:
    """Return what a dry run means for each object."""
    lines = [*_lines_of_policies(done), *_lines_of_sets(done)]
    named = (replace(line, organization=_name(done, line)) for line in lines)
    return Plan(tuple(sorted(named, key=_place)))


def _name(done: DryRun, line: Line) -> str:
    about, change = line.about, line.change
    if not isinstance(about, PolicyObject):
        return ""
    known = done.names.get((change and change.target.organization_id) or "")
    return known or about.status.organization_name or ""


def _place(line: Line) -> tuple[str, ObjectKey]:
    return line.about.kind.name, line.about.key


def _lines_of_policies(done: DryRun) -> Iterator[Line]:
    before = {one.key: one for one in done.objects if isinstance(one, PolicyObject)}
    changes = _net_changes(done)
    after = {
        one.key: one for one in done.cluster.all() if isinstance(one, PolicyObject)
    }
    for key, old in before.items():
        if key not in after:
            yield _gone(old, changes.get(key))
    for key, policy in after.items():
        change = changes.get(key)
        if change is not None:
            yield _written(policy, change)
        else:
            yield _unwritten(done, policy)


def _net_changes(done: DryRun) -> dict[ObjectKey, Change]:
    """Return the last write to each target, by the policy that makes it.

    Another policy may have written before, as one that is deleted while another takes
    over.
    """
    last = {change.target: change for change in done.changes}
    return {ObjectKey(c.namespace, c.name): c for c in last.values()}


def _written(policy: PolicyObject, change: Change) -> Line:
    kind = change.net_kind
    if kind is None:
        return Line(Verdict.UNCHANGED, policy)
    return Line(_OF_CHANGE[kind], policy, change)


def _gone(policy: PolicyObject, change: Change | None) -> Line:
    if change is not None:
        return _written(policy, change)
    return Line(
        Verdict.UNCHANGED, policy, None, Reason.DELETED, "its deletion changes nothing"
    )


def _unwritten(done: DryRun, policy: PolicyObject) -> Line:
    """Return the line of a policy that writes nothing."""
    key = key_of(policy)
    if policy.not_understood is None and not policy.deleting:
        quiet = _why_unchanged(policy, is_ready=key in done.synced)
        if quiet is not None or key in done.synced:
            reason, message = quiet or ("", "")
            return Line(Verdict.UNCHANGED, policy, None, reason, message)
    reason, message = _why_unknown(done, policy)
    is_conflict = reason == Reason.CONFLICT
    verdict = Verdict.CONFLICT if is_conflict else Verdict.UNKNOWN
    return Line(verdict, policy, None, reason, message)


def _why_unchanged(policy: PolicyObject, *, is_ready: bool) -> tuple[str, str] | None:
    """Return reason and sentence if the policy is not meant to change anything."""
    if policy.suspended:
        return Reason.SUSPENDED, "it is suspended, so ZITADEL was not looked at"
    ready = find(policy.status.conditions, READY)
    if ready is not None and is_overridden(policy):
        return ready.reason, ready.message
    observed = policy.status.settings
    if is_ready and not policy.manages and policy.settings.differs_from(observed):
        change = policy.settings.describe_change(observed, inherited=False)
        return Reason.DRIFTED, f"it observes only, and would change {change}"
    return None


def _why_unknown(done: DryRun, about: PolicyObject | SetObject) -> tuple[str, str]:
    """Return reason and sentence of what stops an object."""
    if about.not_understood is not None:
        return Reason.SPEC_NOT_UNDERSTOOD, about.not_understood.sentence
    failure = done.failures.get(about.instance)
    if failure is not None:
        return failure.reason, failure.message
    ready = find(about.status.conditions, READY)
    if ready is not None and ready.status != "True" and key_of(about) in done.results:
        return ready.reason, ready.message
    return Reason.NOT_OBSERVED, "it could not be found out in time"


def _lines_of_sets(done: DryRun) -> Iterator[Line]:
    """Yield a line for each set that cannot do all of its work."""
    for one in done.cluster.all():
        if not isinstance(one, SetObject) or one.suspended or one.deleting:
            continue
        ready = find(one.status.conditions, READY)
        is_reported = ready is not None and key_of(one) in done.results
        stops = ready is not None and ready.status == "False"
        of_policies = ready is not None and ready.reason == Reason.POLICIES_NOT_READY
        if not is_reported or (stops and not of_policies):
            reason, message = _why_unknown(done, one)
            yield Line(Verdict.UNKNOWN, one, None, reason, message)
