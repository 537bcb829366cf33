"""What the engine reports about its work to the metrics; it keeps no figures itself.

All methods return at once and never raise.
"""

from enum import StrEnum
from typing import Protocol

from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.objects import OwnObject

from .keys import Key


class Result(StrEnum):
    """How a pass ended, in the words of controller-runtime if it has one."""

    SUCCESS = "success"
    """There is nothing to do until something changes."""

    REQUEUE = "requeue"
    """What the pass was about has changed meanwhile; it begins anew."""

    REQUEUE_AFTER = "requeue_after"
    """It went well, and a later pass is scheduled."""

    ERROR = "error"
    """It failed, and is retried with a growing delay."""

    TERMINAL = "terminal"
    """It failed for a cause that somebody has to correct."""

    FAULT = "fault"
    """It failed because of a bug of the operator."""


class PassMetrics(Protocol):
    """Receives callbacks about keys of the work queue and about results of passes."""

    def added(self, key: Key) -> None:
        """Count a key that begins to wait for its turn."""

    def taken(self, key: Key) -> None:
        """Count a key that gets its turn."""

    def done(self, key: Key) -> None:
        """Count a key whose turn is over."""

    def retried(self, key: Key) -> None:
        """Count a key that is retried after a growing delay."""

    def dropped(self, key: Key) -> None:
        """Count a key that no longer waits and gets no turn."""

    def passed(self, key: Key, result: Result) -> None:
        """Count a pass that has ended, before its turn is over."""

    def corrected(self) -> None:
        """Count a corrected drift."""

    def repaired(self, missed: str) -> None:
        """Count a repair of ZITADEL's read side, by the kind of event it had missed."""

    def search_failed(self, instance: str) -> None:
        """Count a failed search of an instance's events."""

    def deprecated(self, instance: str, found: Deprecation | None) -> None:
        """Record which calls an instance's ZITADEL has marked as deprecated."""

    def synced(self, about: OwnObject) -> None:
        """Record that a pass has reached its end, and its report is stored."""

    def gone(self, key: Key) -> None:
        """Record that an object is gone."""
