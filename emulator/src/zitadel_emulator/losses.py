"""Events that the read side misses for good, as requested over the control path.

Source: zitadel/zitadel#8517: a projection can miss events when writes overlap. In the
emulator it misses only those that were requested, so that trials can be repeated.
"""

from dataclasses import dataclass, fields
from typing import Any

from .events import Event
from .faults import BadControl
from .projections import INSTANCE_POLICY, ORG_POLICY

KINDS = ("added", "changed", "removed")


@dataclass(slots=True)
class Loss:
    """A request to lose the next events of one kind.

    Attributes:
        kind: One of `KINDS`.
        organization: Lose only events of this organization's policy; None means the
            policy of any organization.
        instance: Lose events of the instance's own policy instead.
        count: How many events to lose in total.
        left: How many of them are still to be lost.
    """

    kind: str
    organization: str | None = None
    instance: bool = False
    count: int = 1
    left: int = 1

    def matches(self, event: Event) -> bool:
        """Return whether this request covers an event."""
        prefix = INSTANCE_POLICY if self.instance else ORG_POLICY
        return event.type == prefix + self.kind and self.organization in {
            None,
            event.aggregate,
        }


class Losses:
    """The requests that still have events to lose, oldest first."""

    def __init__(self) -> None:
        """Start without any."""
        self.active: list[Loss] = []

    def add(self, loss: Loss) -> Loss:
        """Activate a request and return it."""
        self.active.append(loss)
        return loss

    def clear(self) -> None:
        """Remove all requests; events that have been lost stay lost."""
        self.active.clear()

    def take(self, event: Event) -> bool:
        """Return whether an event is lost, and count it in the oldest request.

        A request that has no events left to lose is removed.
        """
        for loss in self.active:
            if loss.matches(event):
                loss.left -= 1
                if loss.left <= 0:
                    self.active.remove(loss)
                return True
        return False


def parse_loss(content: Any) -> Loss:
    """Parse a request from the JSON of a control call.

    Raises:
        BadControl: A field is unknown or has a wrong value; the text names it.
    """
    if not isinstance(content, dict):
        raise BadControl("the body must be a JSON object")
    known = [field.name for field in fields(Loss) if field.name != "left"]
    for name in content.keys() - set(known):
        raise BadControl(f"{name}: unknown; known are {', '.join(known)}")
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadControl(f"kind: must be one of {', '.join(KINDS)}")
    instance = content.get("instance", False)
    if not isinstance(instance, bool):
        raise BadControl("instance: must be true or false")
    if instance and kind == "removed":
        raise BadControl("kind: must be added or changed with instance")
    organization = content.get("organization")
    if "organization" in content and not _is_id(organization):
        raise BadControl("organization: must be an organization's id")
    if instance and organization is not None:
        raise BadControl("organization: cannot be combined with instance")
    count = content.get("count", 1)
    if type(count) is not int or count < 1:
        raise BadControl("count: must be a number of events, at least 1")
    return Loss(kind, organization, instance, count, left=count)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value != ""
