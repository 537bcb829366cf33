"""The errors that the engine handles.

    OperatorError            a reason and a sentence for people
    ├── TransientError       may pass by itself: condition Reconciling, backoff
    │   ├── ApiMissing       a call that this ZITADEL does not seem to have
    │   └── ReadSideBusy     ZITADEL cannot show any policy for some seconds
    ├── TerminalError        somebody must act: condition Stalled, slow retry
    │   ├── NoOrganization   there is no such organization
    │   └── PageTooLarge     a search asked for more rows than one page may have
    └── ClusterError         a call to Kubernetes failed: logged and retried
        ├── ObjectGone       the object was deleted, or another one has its name
        └── ObjectChanged    the object has changed: read it again

Adapters raise these errors and no others. Each adapter maps the errors of its
libraries in one place, always with `raise ... from`. "Not changed", "already exists"
and "not found" are facts and are returned as values (`core.policy.WriteResult`), not
raised.

No message here may contain a secret, because messages end up in conditions, Events
and logs.
"""

from dataclasses import dataclass

from .reasons import Reason


class OperatorError(Exception):
    """Base class of all errors of this operator.

    Attributes:
        reason: The condition reason, from the list in `core.reasons`.
        message: A sentence for people, without a full stop.
        stable: The beginning of the message that is the same at each try. The rest, if
            any, is an excerpt of a text that somebody else wrote.
        retry_after: Seconds that the other side asked us to wait, if it did.
    """

    retry_after: float | None = None

    def __init__(self, reason: Reason, message: str, *, excerpt: str = "") -> None:
        super().__init__(f"{reason}: {message}{excerpt}")
        self.reason = reason
        self.message = message + excerpt
        self.stable = message


class TransientError(OperatorError):
    """An error that may pass by itself: an outage, a limit, an object not yet created.

    Attributes:
        maybe_done: Whether a write was sent and it is unknown if ZITADEL has applied it
            or still will. False for reads, for writes that were never sent, and for
            writes that ZITADEL itself has answered.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        retry_after: float | None = None,
        *,
        excerpt: str = "",
        maybe_done: bool = False,
    ) -> None:
        super().__init__(reason, message, excerpt=excerpt)
        self.retry_after = retry_after
        self.maybe_done = maybe_done


class ApiMissing(TransientError):
    """ZITADEL answered a call as if it did not have it.

    One such answer proves little, because a proxy may have given it. The caller that
    sees it repeatedly decides.

    Attributes:
        what: The call and the codes of its answer, such as
            `GET /a/path was answered with HTTP 405, code 12`; the same at each try.
    """

    def __init__(self, failure: TransientError, what: str) -> None:
        excerpt = failure.message.removeprefix(failure.stable)
        super().__init__(
            failure.reason,
            failure.stable,
            excerpt=excerpt,
            maybe_done=failure.maybe_done,
        )
        self.what = what


class ReadSideBusy(TransientError):
    """ZITADEL is up but cannot show any notification policy for some seconds.

    Its read side tries to insert a row that already exists. Until it gives up on that
    event, it answers every GET of a notification policy with this failure
    (docs/concepts/two-sides.md). This is not an outage of the instance: it serves all
    other calls meanwhile, and also writes of policies.

    Args:
        what: The call and the codes of its answer; the same at each try.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            Reason.UNEXPECTED_ANSWER,
            "ZITADEL's read side cannot take an event, and answers no GET of a "
            f"notification policy until it gives that event up: {what}",
        )


class TerminalError(OperatorError):
    """An error that lasts until a spec, a permission or a credential is changed."""


class NoOrganization(TerminalError):
    """An organization does not exist, or the credential may not see it."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.ORGANIZATION_NOT_FOUND, message)


class PageTooLarge(TerminalError):
    """A search asked for more rows than one page may have, so ask for fewer."""


@dataclass(slots=True)
class FailureCause:
    """A cause that can make many calls fail, for as long as it lasts.

    Attributes:
        is_logged: Whether a log line has already named the cause.
    """

    is_logged: bool = False


class ClusterError(OperatorError):
    """Kubernetes refused a call or did not answer it.

    Attributes:
        shared_cause: The cause that this error shares with other failed calls, or None
            if it shares none.
        is_outage: Whether any other call would probably fail in the same way now.
    """

    is_outage = False

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(Reason.CLUSTER_UNAVAILABLE, message)
        self.retry_after = retry_after
        self.shared_cause: FailureCause | None = None

    def claim_logging(self) -> bool:
        """Return True if no log line has named this cause yet, and mark it as logged.

        Each cause therefore has one line at WARNING, written by the first caller that
        meets it. All later callers log it at DEBUG.
        """
        if self.shared_cause is None:
            return True
        is_logged, self.shared_cause.is_logged = self.shared_cause.is_logged, True
        return not is_logged


class ObjectGone(ClusterError):
    """The object no longer exists, or another object now has its name."""


class ObjectChanged(ClusterError):
    """The object has changed since it was read; read it again before writing."""
