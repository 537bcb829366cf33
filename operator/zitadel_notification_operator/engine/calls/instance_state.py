"""What is known of one instance, in parts: each names who writes it.

The record itself holds what most passes ask: the connection, the failure, the verdict.
Each part belongs to the module or room that its docstring names. Nobody else changes
it, unless the part says so.
"""

from dataclasses import dataclass, field
from datetime import datetime

from zitadel_notification_operator.core.backoff import SLOW
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.credentials import (
    CaRef,
    Credential,
    CredentialRef,
)
from zitadel_notification_operator.core.errors import OperatorError, TransientError
from zitadel_notification_operator.core.failure_streak import FailureStreak, once_more
from zitadel_notification_operator.core.identity import Capabilities, Identity, User
from zitadel_notification_operator.core.instance_object import (
    Endpoint,
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.paging import PageSize
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.ports import PolicyClient

from .api_support import ApiSupport
from .directory import Directory
from .organization_cache import OrganizationCache

ORGANIZATIONS = 1000
"""Organizations in one page at first, which is ZITADEL's own maximum."""

EVENTS = 250
"""Events in one page at first.

ZITADEL would return up to a thousand. But an event with the longest names takes 2.6 KB,
and the operator keeps at most a megabyte of an answer.
"""

FORGOTTEN = 2 * SLOW
"""Seconds after which a new refusal no longer counts as one in a row with the last."""

_NEVER = float("-inf")
"""A moment on the event loop's clock that is before every other."""

Spec = tuple[str, Endpoint, CaRef | None, CredentialRef]
"""An object's uid, and every part of its spec that decides how ZITADEL is reached."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A client whose credential and host have worked, and whose ZITADEL is known.

    Attributes:
        client: Makes the calls.
        identity: Who answers and who asks.
        organization_cache: The organizations that the credential may see.
    """

    client: PolicyClient
    identity: Identity
    organization_cache: OrganizationCache

    @property
    def zitadel_id(self) -> str:
        """ZITADEL's own id."""
        return self.identity.zitadel_id


@dataclass(frozen=True, slots=True)
class Access:
    """Everything a client is made of; a change may lead to another ZITADEL.

    Attributes:
        endpoint: The endpoint in the spec.
        roots: PEM text of `spec.caBundle`, or None for the system's roots alone.
        credential: The content of the Secret.
    """

    endpoint: Endpoint
    roots: str | None
    credential: Credential


@dataclass(frozen=True, slots=True)
class Verdict:
    """The part of a verdict that policies depend on; a change affects all of them.

    Attributes:
        failure: Reason and message, or None if the instance may be used.
        zitadel_id: ZITADEL's own id, as far as it is known.
        rights: The owner and the capabilities of the last usable credential, or None.
    """

    failure: str | None
    zitadel_id: str | None
    rights: tuple[User, Capabilities] | None


@dataclass(frozen=True, slots=True)
class Unread:
    """A name or domain in a grant that could not be looked up.

    Attributes:
        failure: The error of the last try.
        streak: The failed tries in a row, on the event loop's clock.
    """

    failure: OperatorError
    streak: FailureStreak


@dataclass(slots=True)
class ProbeMemory:
    """What the probe keeps for its next run.

    Only `instances.instance_probe` writes it, and `instances.grant_lookup` for it.

    Attributes:
        tried: What was tried last.
        good: What the connection was made of.
        generation: The generation of the spec that last was probed successfully.
        checked_at: Loop time of the last call to ZITADEL that settled the verdict.
        pause: The error by which ZITADEL asked us to wait (Retry-After), if any.
        pause_until: Loop time of the end of that pause.
        unread: The names and domains in grants that could not be looked up.
        organizations: The number of organizations in a page.
    """

    tried: Access | None = None
    good: Access | None = None
    generation: int = -1
    checked_at: float = _NEVER
    pause: TransientError | None = None
    pause_until: float = _NEVER
    unread: dict[Reference, Unread] = field(default_factory=dict)
    organizations: PageSize = field(default_factory=lambda: PageSize(ORGANIZATIONS))


@dataclass(slots=True)
class ProbeFailures:
    """The failed probes since the last success; `instances.probe_verdict` writes it.

    Attributes:
        worked: The spec that was successful in this process.
        since: When the present failure began, in UTC.
        probes: The failed probes in a row, on the loop's clock.
        refusals: Those of them that were refused in some way; only a success ends this
            streak.
        busy_since: Loop time since which probes have met a read side that answers no
            GET of a policy, or None.
    """

    worked: Spec | None = None
    since: datetime | None = None
    probes: FailureStreak | None = None
    refusals: FailureStreak | None = None
    busy_since: float | None = None


@dataclass(slots=True)
class CallFindings:
    """What calls for the instance have shown; the passes that make them write it.

    Attributes:
        answered_at: Loop time of the last call that has shown that the credential is
            good. Probes and searches of events write it, too.
        refused: The refusals in a row that the calls of policies have met.
        apis: Which of the calls that policies need this ZITADEL has. A failed probe
            puts it in doubt.
    """

    answered_at: float = _NEVER
    refused: dict[PolicyKey, FailureStreak] = field(default_factory=dict)
    apis: ApiSupport = field(default_factory=ApiSupport)

    def refused_again(self, key: PolicyKey, now: float) -> FailureStreak:
        """Count a refusal of a policy's call and return its refusals in a row.

        Args:
            key: The policy's key.
            now: Time of the event loop. A refusal that is long ago does not count.
        """
        self.refused = {
            of: streak
            for of, streak in self.refused.items()
            if now - streak.last <= FORGOTTEN
        }
        streak = self.refused[key] = once_more(self.refused.get(key), now)
        return streak


@dataclass(slots=True)
class EventLog:
    """How ZITADEL's event log is read.

    Only the room `drift` writes it. The probe drops a cursor of another ZITADEL.

    Attributes:
        cursor: The position up to which ZITADEL's events were handled, or None if only
            the instance's status holds it.
        page: The number of events in a page.
    """

    cursor: str | None = None
    page: PageSize = field(default_factory=lambda: PageSize(EVENTS))


@dataclass(slots=True)
class Reported:
    """What was reported; only `instances.instance_report` and `holding` write it.

    Attributes:
        at: Loop time of the last status write, or of the first report if this process
            has written none; None before that.
        written: The last status that was written, and what was stored of it. A CRD of
            an older version drops fields, and then writing them again is of no use.
        in_use: Whether an Event has named what a deletion waits for.
        deprecated_in: The ZITADEL and version whose deprecated calls were reported.
    """

    at: float | None = None
    written: tuple[InstanceStatus, InstanceStatus] | None = None
    in_use: bool = False
    deprecated_in: tuple[str, str | None] | None = None


@dataclass(slots=True)
class InstanceState:
    """What is known of one instance.

    Attributes:
        proven: The last connection that worked; kept when the credential vanishes, so
            that waiting deletions can finish. Written by the probe.
        failure: Why the instance may not be used now, or None if it may. Written by
            `instances.probe_verdict`.
        undecided: Whether the failure is no verdict yet: it is not reported, and
            policies wait. Written with the failure.
        verdict: The last verdict of this process. Written by `instances.verdicts`.
        suspected: Whether a policy's pass saw a failure, so that the next pass must
            call ZITADEL. Whoever suspects one sets it, and the probe clears it.
        waiting: Policies whose passes found no verdict; the next verdict queues them.
        probe: What the probe keeps for its next run.
        failures: The failed probes since the last success.
        calls: What calls for the instance have shown.
        event_log: How ZITADEL's event log is read.
        directory: The organizations of its ZITADEL, if a set needs them.
        reported: What was reported to people.
    """

    proven: Connection | None = None
    failure: OperatorError | None = None
    undecided: bool = False
    verdict: Verdict | None = None
    suspected: bool = False
    waiting: set[PolicyKey] = field(default_factory=set)
    probe: ProbeMemory = field(default_factory=ProbeMemory)
    failures: ProbeFailures = field(default_factory=ProbeFailures)
    calls: CallFindings = field(default_factory=CallFindings)
    event_log: EventLog = field(default_factory=EventLog)
    directory: Directory = field(default_factory=Directory)
    reported: Reported = field(default_factory=Reported)

    @property
    def checked(self) -> bool:
        """Whether a pass of this process has reached a verdict."""
        return self.verdict is not None

    def leave_endpoint(self) -> None:
        """Forget what has worked at another endpoint, for it may not work at this one.

        The cursor may belong to another ZITADEL; the instance's status has one, too.
        """
        self.proven = self.probe.tried = self.probe.good = self.probe.pause = None
        self.probe.unread = {}
        self.event_log.cursor = None


def spec_of(instance: InstanceObject) -> Spec:
    """Return the parts of the spec that a probe depends on."""
    return instance.uid, instance.endpoint, instance.ca, instance.credential


def is_superseded(inventory: Inventory, instance: InstanceObject) -> bool:
    """Return whether the object leads elsewhere by now, or is a different one."""
    newest = inventory.instances.get(instance.name)
    return (
        newest is None
        or spec_of(newest) != spec_of(instance)
        or newest.not_understood != instance.not_understood
    )
