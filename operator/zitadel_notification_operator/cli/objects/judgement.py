"""Whether an object is Ready, suspended or unseen, as commands judge it; pure."""

from zitadel_notification_operator.core.conditions import READY, Condition, find
from zitadel_notification_operator.core.mends import UNSEEN, mend_of
from zitadel_notification_operator.core.object_names import short_name
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.reasons import Reason

NOTHING_TO_MEND = {Reason.SUCCEEDED, Reason.IN_SYNC}
"""The reasons of conditions that are as they should be."""


def is_suspended(one: OwnObject) -> bool:
    """Return whether the spec suspends the object; an instance never is."""
    return bool(getattr(one, "suspended", False))


def is_current(one: OwnObject) -> bool:
    """Return whether the operator has reported about the newest spec."""
    return one.status.observed_generation == one.generation


def is_ready(one: OwnObject) -> bool:
    """Return whether the object is Ready for its newest spec.

    A suspended object keeps the conditions of its last pass, so they count.
    """
    ready = find(one.status.conditions, READY)
    if ready is None or ready.status != "True":
        return False
    if is_suspended(one):
        return True
    return is_current(one) and ready.observed_generation == one.generation


def why_not_ready(one: OwnObject) -> str:
    """Return why an object is not Ready, in a sentence without a full stop."""
    ready = find(one.status.conditions, READY)
    if ready is None:
        return "no operator has reported about it"
    if not is_current(one) or ready.observed_generation != one.generation:
        return "the operator has not reported about the newest spec"
    return f"{ready.reason}: {ready.message}"


def mends(one: OwnObject) -> dict[str, str]:
    """Return what mends each reason of the object's conditions that needs it.

    Returns:
        Sentences by reason. An object without conditions has one under an empty reason.
    """
    found: dict[str, str] = {}
    if is_suspended(one):
        found[Reason.SUSPENDED] = mend_of(Reason.SUSPENDED)
    ready = find(one.status.conditions, READY)
    if ready is None:
        return found or {"": UNSEEN}
    for condition in one.status.conditions:
        reason = condition.reason
        if reason not in NOTHING_TO_MEND and not _follows(reason, ready):
            found[reason] = mend_of(reason)
    return found


def _follows(reason: str, ready: Condition) -> bool:
    """Return whether the reason of another condition only follows from Ready's."""
    if reason == Reason.NOT_OBSERVED:
        return ready.status != "True"
    return reason == Reason.DRIFTED and ready.reason == Reason.OVERRIDDEN


def title(one: OwnObject) -> str:
    """Return how sentences name an object: `znp/acme`."""
    return short_name(one.kind, one.key)
