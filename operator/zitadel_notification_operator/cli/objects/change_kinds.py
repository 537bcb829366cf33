"""What `reconcile`, `suspend` and `resume` do to one object, and what answers them."""

from datetime import UTC, datetime
from typing import Protocol

from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.inspection import Stored
from zitadel_notification_operator.cluster.requests import request_pass, set_suspended
from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.objects import OwnObject

from .change_rules import why_not_reconciled, why_not_resumed, why_not_suspended
from .judgement import is_current, is_suspended


class Change(Protocol):
    """What a command does to one object.

    Attributes:
        reaches_members: Whether a set passes it on to the policies that it has made.
        is_of_spec: Whether it writes the spec, which may be kept in Git.
    """

    reaches_members: bool
    is_of_spec: bool

    def obstacle(self, stored: Stored) -> str:
        """Return why it cannot be done, and what to do instead; empty if it can."""
        ...

    def is_done(self, one: OwnObject) -> bool:
        """Return whether nothing has to be written."""
        ...

    async def write(self, api: ApiClient, one: OwnObject) -> Stored:
        """Write what is asked for."""
        ...

    def is_answered(self, one: OwnObject) -> bool:
        """Return whether the status shows the operator's answer."""
        ...

    def describe(self, one: OwnObject, *, was_written: bool, answered: bool) -> str:
        """Return what became of the object, after its name."""
        ...


class Reconcile:
    """Asks for a pass."""

    reaches_members = False
    is_of_spec = False

    def __init__(self) -> None:
        self._token = datetime.now(UTC).isoformat()

    def obstacle(self, stored: Stored) -> str:
        """A suspended object answers only when it is resumed."""
        return why_not_reconciled(stored.record)

    def is_done(self, one: OwnObject) -> bool:
        """Each call asks for a pass of its own."""
        return False

    async def write(self, api: ApiClient, one: OwnObject) -> Stored:
        """Set the annotation."""
        return await request_pass(api, one, self._token)

    def is_answered(self, one: OwnObject) -> bool:
        """The status repeats the token, or a newer one of somebody else."""
        return one.requested_at == one.status.last_handled_reconcile_at

    def describe(self, one: OwnObject, *, was_written: bool, answered: bool) -> str:
        """Tell Ready, because a pass may well have failed."""
        return f"reconciled: {_ready(one)}" if answered else "asked for a pass"


class Suspend:
    """Sets `spec.suspend`."""

    reaches_members = True
    is_of_spec = True

    def obstacle(self, stored: Stored) -> str:
        """Instances, and the policies of sets, cannot be suspended."""
        return why_not_suspended(stored.record)

    def is_done(self, one: OwnObject) -> bool:
        """It is suspended already."""
        return is_suspended(one)

    async def write(self, api: ApiClient, one: OwnObject) -> Stored:
        """Set the field."""
        return await set_suspended(api, one, suspended=True)

    def is_answered(self, one: OwnObject) -> bool:
        """From then on the operator makes no call for it."""
        return is_current(one)

    def describe(self, one: OwnObject, *, was_written: bool, answered: bool) -> str:
        """Tell whether the operator knows."""
        return "suspended" if was_written else "was suspended already"


class Resume:
    """Clears `spec.suspend`."""

    reaches_members = True
    is_of_spec = True

    def obstacle(self, stored: Stored) -> str:
        """The policies of sets follow their set."""
        return why_not_resumed(stored.record)

    def is_done(self, one: OwnObject) -> bool:
        """It is not suspended."""
        return not is_suspended(one)

    async def write(self, api: ApiClient, one: OwnObject) -> Stored:
        """Clear the field."""
        return await set_suspended(api, one, suspended=False)

    def is_answered(self, one: OwnObject) -> bool:
        """A pass over the newest spec has ended."""
        ready = find(one.status.conditions, READY)
        return (
            is_current(one)
            and ready is not None
            and (ready.observed_generation == one.generation)
        )

    def describe(self, one: OwnObject, *, was_written: bool, answered: bool) -> str:
        """Tell Ready after the first pass."""
        if not was_written:
            return "is not suspended"
        return f"resumed: {_ready(one)}" if answered else "resumed"


def _ready(one: OwnObject) -> str:
    ready = find(one.status.conditions, READY)
    if ready is None:
        return "no condition yet"
    return f"Ready {ready.status}, {ready.reason}: {ready.message}"
