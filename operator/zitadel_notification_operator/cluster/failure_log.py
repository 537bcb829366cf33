"""Tracks why calls to Kubernetes fail, so that each cause is logged once, and its end.

Many calls can fail for one cause: a rejected token concerns all of them, a missing
permission those of one kind. A cause that comes back within a minute counts as the same
one, so that a load balancer with one bad server does not cause a log line per attempt.
"""

import logging
import time
from dataclasses import dataclass, field

from zitadel_notification_operator.core.errors import ClusterError, FailureCause

QUIET = 60.0
"""Seconds without a failure after which a cause that comes back counts as a new one."""

EVERYWHERE = ""
"""The group that contains all calls."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lasting:
    what: str
    failed: float
    cause: FailureCause = field(default_factory=FailureCause)
    over: bool = False
    answered: float = 0.0
    """When a call of its group last succeeded; only meaningful once `over` is set."""

    def is_past(self, now: float) -> bool:
        """Return whether a failure at this time starts a new outage.

        That is so if nothing has failed for `QUIET` seconds. It is also so if the end
        of the outage was logged and no call has succeeded for `QUIET` seconds:
        otherwise users would take that log line for the last word.
        """
        if now - self.failed > QUIET:
            return True
        return self.over and now - self.answered > QUIET


class FailureLog:
    """The causes of one connection to the cluster; all its clients share them."""

    def __init__(self) -> None:
        self._lasting: dict[tuple[str, str], _Lasting] = {}

    def failed(self, error: ClusterError, cause: str, where: str) -> None:
        """Record a failure, and set the cause that the error shares with others.

        Args:
            error: The error that is about to be raised.
            cause: A text that is the same for all failures by this cause.
            where: The group of calls that the cause concerns; `EVERYWHERE` for all.
        """
        now = time.monotonic()
        known = self._lasting.get((cause, where))
        if known is None or known.is_past(now):
            known = self._lasting[cause, where] = _Lasting(cause, now)
        known.failed = now
        error.shared_cause = known.cause

    def went_well(self, *places: str) -> None:
        """Record that a call of these groups was answered; log what is over now."""
        if not self._lasting:
            return
        now = time.monotonic()
        for key, known in list(self._lasting.items()):
            if key[1] not in {*places, EVERYWHERE}:
                continue
            known.answered = now
            if known.cause.is_logged and not known.over:
                _log.info("Kubernetes takes calls again, after: %s", known.what)
                known.over = True
            if now - known.failed > QUIET:
                del self._lasting[key]
