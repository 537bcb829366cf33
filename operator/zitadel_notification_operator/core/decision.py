"""The one place that decides what a pass does about the difference it has found.

The decision is pure and defined for every input. This is the table for `Manage`
(docs/concepts/ownership.md). In `Observe`, nothing is ever written.

    organization inherits            CREATE  also when equal: it pins the value
    organization's own, other value  UPDATE
    organization's own, same value   NONE
    instance has no policy           CREATE
    instance, other value            UPDATE
    instance, same value             NONE
"""

from dataclasses import dataclass
from enum import StrEnum

from .policy import DesiredPolicy, ObservedPolicy, Scope


class Action(StrEnum):
    """The call that changes ZITADEL, or `NONE` for no call."""

    NONE = "None"
    CREATE = "Create"
    UPDATE = "Update"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the pass does, and what would be needed to match the spec.

    Attributes:
        needed: The action that would make ZITADEL match the spec.
        action: The action that is taken: the same as `needed`, or NONE if the policy
            may not write.
    """

    needed: Action
    action: Action

    @property
    def in_sync(self) -> bool:
        """Whether ZITADEL already holds what the spec asks for."""
        return self.needed is Action.NONE


def decide(desired: DesiredPolicy, observed: ObservedPolicy | None) -> Decision:
    """Decide what to do about the difference between the spec and ZITADEL.

    Args:
        desired: What the spec asks for.
        observed: The policy in force; None if the instance has none at all.

    Returns:
        The decision; this function never raises. An inherited value that equals the
        desired one still needs CREATE, because an inherited value follows the
        instance's policy and an organization's own value does not.
    """
    needed = _needed(desired, observed)
    return Decision(needed, needed if desired.manages else Action.NONE)


def _needed(desired: DesiredPolicy, observed: ObservedPolicy | None) -> Action:
    if observed is None:
        return Action.CREATE
    if desired.scope is Scope.ORGANIZATION and observed.is_default:
        return Action.CREATE
    if desired.settings.differs_from(observed.settings):
        return Action.UPDATE
    return Action.NONE
