"""What the engine tells about its work to whoever counts; it keeps no figures itself.

All methods return at once and never raise.
"""

from enum import StrEnum
from typing import Protocol, TypeVar

from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.engine.keys import Key

K_contra = TypeVar("K_contra", contravariant=True)


class Result(StrEnum):
    """How a pass ended, in the words of controller-runtime where it has one."""

    SUCCESS = "success"
    """Nothing is to be done until something changes."""

    REQUEUE = "requeue"
    """What it was about has changed meanwhile; it begins anew."""

    REQUEUE_AFTER = "requeue_after"
    """It went well, and a later look is planned."""

    ERROR = "error"
    """It failed, and is tried again at a growing distance."""

    TERMINAL = "terminal"
    """It failed for a cause that somebody has to mend."""

    FAULT = "fault"
    """It failed by a fault of the operator."""


class QueueMeter(Protocol[K_contra]):
    """Is told what happens to the keys of a queue."""

    def added(self, key: K_contra) -> None:
        """Take that a key begins to wait for its turn."""
        ...

    def taken(self, key: K_contra) -> None:
        """Take that a key has its turn."""
        ...

    def done(self, key: K_contra) -> None:
        """Take that a key's turn is over."""
        ...

    def retried(self, key: K_contra) -> None:
        """Take that a key comes back after a growing delay."""
        ...

    def dropped(self, key: K_contra) -> None:
        """Take that a key no longer waits, and gets no turn."""
        ...


class Meter(Protocol):
    """Is told what passes have come to."""

    def passed(self, key: Key, result: Result) -> None:
        """Take that a pass has ended, before its turn is over."""
        ...

    def corrected(self) -> None:
        """Take that a drift was put right."""
        ...

    def synced(self, about: PolicyObject | InstanceObject) -> None:
        """Take that a pass has reached its end, and its report is stored."""
        ...

    def gone(self, namespace: str, name: str) -> None:
        """Take that an object is gone; the namespace of an instance is empty."""
        ...


class Unmetered:
    """A `Meter` and `QueueMeter` that counts nothing."""

    def added(self, key: object) -> None:
        """Ignore it."""

    def taken(self, key: object) -> None:
        """Ignore it."""

    def done(self, key: object) -> None:
        """Ignore it."""

    def retried(self, key: object) -> None:
        """Ignore it."""

    def dropped(self, key: object) -> None:
        """Ignore it."""

    def passed(self, key: Key, result: Result) -> None:
        """Ignore it."""

    def corrected(self) -> None:
        """Ignore it."""

    def synced(self, about: PolicyObject | InstanceObject) -> None:
        """Ignore it."""

    def gone(self, namespace: str, name: str) -> None:
        """Ignore it."""
