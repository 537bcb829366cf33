"""Whether a ZITADEL has the calls that policies need, as its answers show.

One answer that says "no such call" proves little: a proxy, a rollout or a database may
cause it. Three of them over a minute do, if the instance was Ready by calls of its own
in that time (docs/reference/zitadel-versions.md). The API is a property of the
ZITADEL, so all policies of an instance share the finding, and one of them tries for
all.
"""

from dataclasses import dataclass

from zitadel_notification_operator.core.backoff import SLOW
from zitadel_notification_operator.core.errors import (
    ApiMissing,
    OperatorError,
    TerminalError,
)
from zitadel_notification_operator.core.reasons import Reason

TIMES = 3
"""The least number of such answers."""

LASTING = 60.0
"""The least number of seconds between the first and the last of them."""

ASK_AGAIN = SLOW * 0.85
"""Seconds after which a missing call is tried again. This is less than the wait of a
stalled policy, so that the first policy that comes tries for all."""

ASK_FOR_CHANGE = 5.0
"""The same for a policy that somebody has changed."""


@dataclass(slots=True)
class _Gap:
    """A call that was answered as if it did not exist.

    Attributes:
        since: Loop time of the first such answer.
        times: The number of such answers.
        asked_at: Loop time at which it was tried last.
        lacking: The error that policies report once it is certain, else None.
    """

    since: float
    times: int = 0
    asked_at: float = float("-inf")
    lacking: TerminalError | None = None


class ApiSupport:
    """What is known of one instance's calls; a call is fine unless it was missed."""

    def __init__(self) -> None:
        self._gaps: dict[str, _Gap] = {}

    def require(self, call: str, now: float, *, changed: bool) -> None:
        """Check that a call may be made now, and record that it is.

        Args:
            call: Any name that stays the same.
            now: Loop time.
            changed: Whether somebody has changed the policy that needs it.

        Raises:
            TerminalError: `ApiUnsupported`: it was tried a short time ago.
        """
        gap = self._gaps.get(call)
        if gap is None:
            return
        wait = ASK_FOR_CHANGE if changed else ASK_AGAIN
        if gap.lacking is not None and now - gap.asked_at < wait:
            raise gap.lacking
        gap.asked_at = now

    def missed(
        self, call: str, error: ApiMissing, now: float, proven_at: float
    ) -> OperatorError:
        """Record that a call was answered as if it did not exist.

        Args:
            call: As for `require`.
            error: The adapter's error for the answer.
            now: Loop time.
            proven_at: Loop time at which the instance last was found to be Ready.

        Returns:
            The error itself while that is not certain; then `ApiUnsupported`.
        """
        gap = self._gaps.setdefault(call, _Gap(now))
        gap.times += 1
        gap.asked_at = now
        lasts = gap.times >= TIMES and now - gap.since >= LASTING
        if gap.lacking is None and lasts and proven_at > gap.since:
            gap.lacking = TerminalError(
                Reason.API_UNSUPPORTED,
                "ZITADEL answers, but lacks a call for notification policies: "
                f"{error.what}; use a version of ZITADEL that serves it, or an "
                "operator that knows what has replaced it",
            )
        return gap.lacking or error

    def lacks(self, call: str) -> bool:
        """Return whether it is certain that a call is missing."""
        gap = self._gaps.get(call)
        return gap is not None and gap.lacking is not None

    def answered(self, call: str) -> bool:
        """Record that a call exists; return whether it was found missing before."""
        gap = self._gaps.pop(call, None)
        return gap is not None and gap.lacking is not None

    def unanswered(self, call: str) -> None:
        """Record that a call that was required was not made, or got no answer."""
        gap = self._gaps.get(call)
        if gap is not None:
            gap.asked_at = float("-inf")

    def doubt(self) -> bool:
        """Allow the missing calls to be tried again, as the instance may have changed.

        What is not certain yet is counted from the beginning.

        Returns:
            Whether any call was certainly missing.
        """
        self._gaps = {
            call: gap for call, gap in self._gaps.items() if gap.lacking is not None
        }
        for gap in self._gaps.values():
            gap.asked_at = float("-inf")
        return bool(self._gaps)
