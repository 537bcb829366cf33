"""What a pass does about what it found: pure, total, and the only place for it.

The table (design, section 3), for `Manage`; `Observe` never acts:

    organization inherits            CREATE  also when equal: it pins the value
    organization's own, other value  UPDATE
    organization's own, same value   NONE
    instance has no policy           CREATE
    instance, other value            UPDATE
    instance, same value             NONE
"""

from dataclasses import dataclass
from enum import StrEnum

from zitadel_notification_operator.core.policy import (
    DesiredPolicy,
    ObservedPolicy,
    Scope,
)


class Action(StrEnum):
    """A call that changes ZITADEL, or none."""

    NONE = "None"
    CREATE = "Create"
    UPDATE = "Update"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done, and what it would take.

    Attributes:
        needed: The action that would bring ZITADEL to what the spec asks.
        action: The one that is taken: `needed`, or NONE where nothing may be written.
    """

    needed: Action
    action: Action

    @property
    def in_sync(self) -> bool:
        """Whether ZITADEL already holds what the spec asks for."""
        return self.needed is Action.NONE


def decide(desired: DesiredPolicy, observed: ObservedPolicy | None) -> Decision:
    """Decide what to do about the difference between wanted and observed.

    Args:
        desired: What the spec asks for.
        observed: The policy in force; None when the instance has none at all.

    Returns:
        The decision; never an error. Inherited and equal still needs CREATE: an
        inherited value changes with the instance's, an own one does not.
    """
    needed = _needed(desired, observed)
    return Decision(needed, needed if desired.manages else Action.NONE)


def _needed(desired: DesiredPolicy, observed: ObservedPolicy | None) -> Action:
    if observed is None:
        return Action.CREATE
    if desired.scope is Scope.ORGANIZATION and observed.is_default:
        return Action.CREATE
    if observed.password_change is not desired.password_change:
        return Action.UPDATE
    return Action.NONE
