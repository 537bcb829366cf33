"""The plan as text for people and as JSON for programs; pure.

The JSON is described by `docs/reference/schemas/plan.json`. A reader ignores members
that it does not know; `formatVersion` changes its first number when one disappears.
"""

from collections.abc import Iterator
from typing import Any

from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.settings import NO_SETTINGS
from zitadel_notification_operator.core.text import one_line, shown_name

from .dry_zitadel import Change, ChangeKind
from .plan import CHANGES, Line, Plan, Verdict

FORMAT_VERSION = "1.0"

NO_CHANGES = "No changes. ZITADEL is as declared."

_SIGNS = {
    Verdict.CREATE: "+ create",
    Verdict.UPDATE: "~ update",
    Verdict.RESET: "- reset",
    Verdict.UNCHANGED: "= unchanged",
    Verdict.CONFLICT: "! conflict",
    Verdict.UNKNOWN: "? unknown",
}
_UNDECLARED = (
    "{} object observes or is suspended, so ZITADEL may differ from what it says.",
    "{} objects observe or are suspended, so ZITADEL may differ from what they say.",
)
_WIDTH = max(map(len, _SIGNS.values()))


def as_text(plan: Plan, *, show_unchanged: bool) -> Iterator[str]:
    """Yield the lines of the plan; the last one adds it up."""
    shown = [line for line in plan.lines if show_unchanged or _says_something(line)]
    for line in shown:
        sign = _SIGNS[line.verdict].ljust(_WIDTH)
        yield f"{sign}  {line.about.kind} {line.about.key}{_described(line)}"
    off = sum(line.turns_off for line in plan.lines)
    if off:
        yield f"{off} of these changes {'turn' if off > 1 else 'turns'} mails OFF."
    if plan.undeclared:
        yield _UNDECLARED[plan.undeclared > 1].format(plan.undeclared)
    yield summary(plan)


def summary(plan: Plan) -> str:
    """Return what the plan adds up to, as one line."""
    counts = plan.counts
    aside = [
        f"{counts[verdict]} {words}"
        for verdict, words in (
            (Verdict.CONFLICT, "in conflict"),
            (Verdict.UNKNOWN, "unknown"),
        )
        if counts[verdict]
    ]
    if not plan.has_changes and not aside and not plan.undeclared:
        return NO_CHANGES
    changes = ", ".join(f"{counts[verdict]} to {verdict}" for verdict in CHANGES)
    parts = [changes, f"{counts[Verdict.UNCHANGED]} unchanged"]
    if aside:
        parts.append(", ".join(aside))
    return f"Plan: {'; '.join(parts)}."


def as_json(plan: Plan, *, show_unchanged: bool) -> dict[str, Any]:
    """Return the plan as JSON.

    Args:
        plan: The plan.
        show_unchanged: Whether the objects are listed, too, that change nothing.
    """
    counts = plan.counts
    return {
        "formatVersion": FORMAT_VERSION,
        "summary": {str(verdict): counts[verdict] for verdict in Verdict},
        "objects": [
            _object(line)
            for line in plan.lines
            if show_unchanged or _says_something(line)
        ],
    }


def _says_something(line: Line) -> bool:
    """Return whether a line is shown without being asked for."""
    return line.verdict is not Verdict.UNCHANGED or not line.is_as_declared


def _described(line: Line) -> str:
    """Return what is said of an object after its name."""
    if line.change is not None:
        return f": {_target(line)}: {_effect(line.change)}" + (
            ", turns mails OFF" if line.turns_off else ""
        )
    if not line.message:
        return ""
    return f": {line.reason}: {one_line(line.message)}"


def _target(line: Line) -> str:
    change = line.change
    if change is None or change.target.organization_id is None:
        return "the instance"
    name = shown_name(line.organization)
    organization_id = change.target.organization_id
    known = f"{name} ({organization_id})" if name else organization_id
    return f"organization {known}"


def _effect(change: Change) -> str:
    before = change.before
    known = before.settings if before else NO_SETTINGS
    after = change.after.settings
    if change.net_kind is ChangeKind.RESET:
        inherited = after.describe() or "the instance's value"
        return f"{known.describe()}, inherits {inherited} again"
    inherited_before = before is not None and before.is_default
    is_organization = change.target.organization_id is not None
    return after.describe_change(known, inherited=inherited_before and is_organization)


def _object(line: Line) -> dict[str, Any]:
    about = line.about
    shown: dict[str, Any] = {
        "verdict": str(line.verdict),
        "kind": about.kind.name,
        "namespace": about.key.namespace,
        "name": about.key.name,
    }
    if isinstance(about, PolicyObject):
        shown["instance"] = about.instance
        shown["scope"] = str(about.scope)
        if about.controller is not None and about.controller.name:
            shown["set"] = about.controller.name
    if line.change is not None:
        target = line.change.target
        shown["zitadelId"] = target.zitadel_id
        if target.organization_id is not None:
            shown["organizationId"] = target.organization_id
            shown["organizationName"] = shown_name(line.organization)
        shown["before"] = _policy(line.change.before)
        shown["after"] = _policy(line.change.after)
        shown["turnsMailsOff"] = line.turns_off
    if line.reason:
        shown |= {"reason": str(line.reason), "message": line.message}
    return shown


def _policy(policy: ObservedPolicy | None) -> dict[str, Any] | None:
    if policy is None:
        return None
    return {"inherited": policy.is_default, **policy.settings.by_name()}
