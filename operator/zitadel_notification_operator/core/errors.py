"""What can go wrong, as the engine sees it.

    OperatorError            reason and a sentence for people
    ├── TransientError       passes by itself: condition Reconciling, backoff
    ├── TerminalError        somebody must act: condition Stalled, slow retry
    └── ClusterError         Kubernetes did not take a call: logged, retried
        ├── ObjectGone       the object is no longer there, or is another one
        └── ObjectChanged    it is not as we knew it: read it again

Adapters raise these and nothing else; foreign errors are mapped in one place per
adapter, always `raise ... from`. "Not changed", "already there" and "not there"
are facts and travel as values (`core.policy.WriteResult`), not as errors.

No text here may hold a secret: messages end up in conditions, Events and logs.
"""

from zitadel_notification_operator.core.reasons import Reason


class OperatorError(Exception):
    """Base of all errors of this operator.

    Attributes:
        reason: The condition reason, from the one list in `core.reasons`.
        message: A sentence for people, without full stop.
        stable: Its beginning that is the same at each try; the rest, if any, is an
            excerpt of what somebody else wrote.
    """

    def __init__(self, reason: Reason, message: str, *, excerpt: str = "") -> None:
        super().__init__(f"{reason}: {message}{excerpt}")
        self.reason = reason
        self.message = message + excerpt
        self.stable = message


class TransientError(OperatorError):
    """It may pass by itself: outages, limits, things that come a moment later.

    Attributes:
        retry_after: Seconds that the other side asked us to wait, if it did.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        retry_after: float | None = None,
        *,
        excerpt: str = "",
    ) -> None:
        super().__init__(reason, message, excerpt=excerpt)
        self.retry_after = retry_after


class TerminalError(OperatorError):
    """It stays until somebody changes a spec, a permission or a credential."""


class ClusterError(OperatorError):
    """Kubernetes refused or did not answer a call."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.CLUSTER_UNAVAILABLE, message)


class ObjectGone(ClusterError):
    """The object no longer exists, or another one has taken its name."""


class ObjectChanged(ClusterError):
    """The object is not as we knew it; read it again before the next write."""
