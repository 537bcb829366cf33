"""The choices of stories: names, references, grants, and errors of ZITADEL."""

from support.world import URLS
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import TerminalError, TransientError
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.policy import DeletionPolicy, Scope
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference

KEYS = (
    PolicyKey("own", "a"),
    PolicyKey("own", "b"),
    PolicyKey("team", "a"),
    PolicyKey("acme-1", "c"),
)
INSTANCES = ("default", "other")
PLACES = tuple(URLS)
REFERENCES = (
    Reference(By.ID, "o1"),
    Reference(By.NAME, "Alpha"),
    Reference(By.DOMAIN, "alpha.example"),
    Reference(By.CREDENTIAL),
    Reference(By.ID, "o2"),
    Reference(By.NAME, "Beta"),
    None,
)
_ORG = frozenset({Scope.ORGANIZATION})
_BOTH = frozenset({Scope.ORGANIZATION, Scope.INSTANCE})
GRANTS: tuple[tuple[Grant, ...], ...] = (
    (Grant(("*",), _BOTH),),
    (Grant(("team", "acme-*"), _ORG),),
    (),
    (
        Grant(("team",), _ORG, frozenset({Reference(By.ID, "o1")})),
        Grant(("acme-*",), _ORG, frozenset({Reference(By.NAME, "Alpha")})),
    ),
    (Grant(("team", "acme-1"), _BOTH, frozenset({Reference(By.NAME, "Beta")})),),
    (Grant(("team",), frozenset({Scope.INSTANCE})),),
)
KINDS: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"write", "reset"}),
    frozenset({"observe"}),
    frozenset({"organization", "search", "organizations"}),
    frozenset({"events", "newest_event"}),
    frozenset({"identify", "authenticate"}),
)
ERRORS = (
    TransientError(Reason.UNREACHABLE, "no answer"),
    TransientError(Reason.RATE_LIMITED, "too many", retry_after=30.0),
    TransientError(Reason.SERVER_ERROR, "500"),
    TransientError(Reason.UNEXPECTED_ANSWER, "an answer"),
    TransientError(Reason.CERTIFICATE_NOT_TRUSTED, "ended"),
    TransientError(Reason.HOST_NOT_RECOGNIZED, "no instance"),
    TerminalError(Reason.CREDENTIALS_REJECTED, "401"),
    TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "403"),
    TerminalError(Reason.REQUEST_REFUSED, "400"),
    TerminalError(Reason.ADDRESS_NOT_ALLOWED, "loopback"),
)
DELETIONS = (None, *DeletionPolicy)
METHODS = (DriftMethod.POLL, DriftMethod.AUTO)
