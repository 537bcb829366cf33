"""Whether an instance's event log can be used: three failures say no, a success yes.

While it cannot be used, policies are polled for drift, and the search is retried with a
growing delay (docs/concepts/drift.md).
"""

from dataclasses import dataclass

from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.instance_object import (
    NOT_PERMITTED,
    DriftDetection,
    DriftMethod,
    InstanceObject,
)
from zitadel_notification_operator.core.reasons import Reason

NO_PERMISSION = (
    f"{NOT_PERMITTED}: the credential may not read ZITADEL's events (events.read); "
    "give its service user the role IAM_OWNER or IAM_OWNER_VIEWER in the instance"
)
"""Why policies are polled for drift with such a credential."""

TRIES = 3
"""Failed searches in a row after which the log counts as unusable."""

TRY_INTERVAL = 10.0
"""Largest number of seconds between two of these tries, as no drift is found
meanwhile."""

_UNPROVEN_TRIES = 6
"""Failed searches that are enough even if no other call shows that ZITADEL is well."""

_SHORTEST, _LONGEST = 30.0, 300.0
_DOUBLINGS = 3
_ROUND = "; polling takes "
_TO_THE_SECOND = 600
_LONGEST_REASON = 1000


@dataclass(slots=True)
class SearchHealth:
    """What is known of the searches of one instance object.

    Attributes:
        uid: The object's uid; a different object begins anew.
        failures: Failed tries in a row.
        since: Loop time of the first of them.
        why: Why the log cannot be used, as a word, a colon and a sentence; None while
            it can.
        wait_until: Loop time before which ZITADEL asked us not to call.
        refusal: The error by which it did.
    """

    uid: str
    failures: int = 0
    since: float = 0.0
    why: str | None = None
    wait_until: float = float("-inf")
    refusal: OperatorError | None = None

    @classmethod
    def of(cls, instance: InstanceObject) -> "SearchHealth":
        """Begin with the stored status; it holds until the first search."""
        health = cls(instance.uid)
        detection = instance.status.drift_detection
        if detection is None or detection.method is not DriftMethod.POLL:
            return health
        if detection.reason and detection.word != NOT_PERMITTED:
            health.why = detection.reason.partition(_ROUND)[0]
            health.failures = TRIES
        return health

    def failed(self, failure: OperatorError, now: float, well_at: float) -> bool:
        """Count a failed search. Return True if the status has to change.

        Args:
            failure: Why it failed.
            now: The loop's time.
            well_at: Loop time at which other calls last found the instance well. An
                outage of the whole instance does not count against its event log.
        """
        if not self.failures:
            self.since = now
        self.failures += 1
        is_proven = well_at >= self.since or self.failures >= _UNPROVEN_TRIES
        if self.why is None and (self.failures < TRIES or not is_proven):
            return False
        before, self.why = self.why, _words(failure)
        return _word(before) != _word(self.why)

    def worked(self) -> bool:
        """Record a successful search. Return True if the status has to change."""
        was_reported = self.why is not None
        self.failures, self.why = 0, None
        self.wait_until, self.refusal = float("-inf"), None
        return was_reported

    def asked_to_wait(self, failure: OperatorError, until: float) -> None:
        """Record that ZITADEL asked us not to call before a moment (loop time)."""
        self.wait_until, self.refusal = until, failure

    def delay(self, interval: float, now: float) -> float:
        """Return the seconds until the next try after a failed one.

        Args:
            interval: `eventsInterval` in seconds.
            now: The loop's time.
        """
        if self.why is None:
            # A Retry-After does not extend this: a try that may not be made counts as
            # failed.
            return min(interval, TRY_INTERVAL)
        most = max(interval, min(max(5 * interval, _SHORTEST), _LONGEST))
        doublings = min(max(self.failures - TRIES, 0), _DOUBLINGS)
        wait: float = interval * 2**doublings
        return max(min(wait, most), self.wait_until - now)


def polled_because(why: str, seconds: float) -> DriftDetection:
    """Return what a status reports about polling in place of events.

    Args:
        why: As `SearchHealth.why`.
        seconds: How long a round of polling takes.
    """
    return DriftDetection(DriftMethod.POLL, f"{why}{_ROUND}{_rounded(seconds)} a round")


def without_round(detection: DriftDetection | None) -> DriftDetection | None:
    """Return it without the length of a round, which varies with the policies."""
    if detection is None:
        return None
    return DriftDetection(detection.method, detection.reason.partition(_ROUND)[0])


def _words(failure: OperatorError) -> str:
    if failure.reason is Reason.INSUFFICIENT_PERMISSIONS:
        # The usual text is about the instance's notification policy.
        return (
            f"{failure.reason}: ZITADEL, or a proxy before it, refuses the search of "
            "its events, although the credential may make it (events.read)"
        )
    sentence = f"{failure.reason}: searches of ZITADEL's events fail: {failure.stable}"
    return sentence[:_LONGEST_REASON]


def _word(why: str | None) -> str:
    return (why or "").partition(":")[0]


def _rounded(seconds: float) -> str:
    """Return a duration in the notation of Kubernetes, rounded up."""
    whole = int(-(-seconds // 1))
    if whole % 60 == 0 or whole > _TO_THE_SECOND:
        minutes = -(-whole // 60)
        hours, minutes = divmod(minutes, 60)
        parts = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
        return parts or "0s"
    return f"{whole}s"
