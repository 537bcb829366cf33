"""Which instances may be used now, with which client, and if not, since when not.

Passes over instances write here, and passes over policies read. A policy's pass never
decides by itself that an instance is down: it reports a suspicion and waits for the
instance's verdict. So an unreachable ZITADEL costs one call for each try, not one for
each policy.
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
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.failure_streak import FailureStreak, once_more
from zitadel_notification_operator.core.identity import Capabilities, Identity, User
from zitadel_notification_operator.core.objects import (
    Endpoint,
    InstanceObject,
    InstanceStatus,
    PolicyObject,
)
from zitadel_notification_operator.core.paging import PageSize
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.ports import PolicyClient
from zitadel_notification_operator.engine.queue.keys import instance_key
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue

from .api_support import ApiSupport
from .organization_cache import OrganizationCache

ORGANIZATIONS = 1000
"""Organizations in one page at first, which is ZITADEL's own maximum."""

EVENTS = 250
"""Events in one page at first.

ZITADEL would return up to a thousand. But an event with the longest names takes 2.6 KB,
and the operator keeps at most a megabyte of an answer.
"""


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


AWAY = frozenset(
    {
        Reason.UNREACHABLE,
        Reason.CERTIFICATE_NOT_TRUSTED,
        Reason.SERVER_ERROR,
        Reason.RATE_LIMITED,
        Reason.UNEXPECTED_ANSWER,
    }
)
"""Reasons of an instance's failure that leave its quiet policies, which are Ready and
unchanged, as they are (ADR 0006)."""

UNUSABLE_ACCESS = frozenset(
    {
        Reason.CREDENTIALS_MISSING,
        Reason.CREDENTIALS_INVALID,
        Reason.CA_BUNDLE_MISSING,
        Reason.CA_BUNDLE_INVALID,
    }
)
"""Failures of the Secret or of the CA bundle, while the last good credential is still
in memory."""

ADMINISTRATORS_OWN = UNUSABLE_ACCESS | {Reason.SPEC_NOT_UNDERSTOOD}
"""Failures whose message names things that do not concern tenants."""

FORGOTTEN = 2 * SLOW
"""Seconds after which a new refusal no longer counts as one in a row with the last."""

Spec = tuple[str, Endpoint, CaRef | None, CredentialRef]
"""An object's uid, and every part of its spec that decides how ZITADEL is reached."""


def spec_of(instance: InstanceObject) -> Spec:
    """Return the parts of the spec that a probe depends on."""
    return instance.uid, instance.endpoint, instance.ca, instance.credential


@dataclass(frozen=True, slots=True)
class Verdict:
    """The part of a verdict that policies depend on; a change affects all of them.

    Attributes:
        failure: Reason and message, or None if the instance may be used.
        zitadel_id: ZITADEL's own id, as far as it is known.
        rights: The owner of a usable credential and its capabilities, or None.
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


class NotCheckedYet(Exception):
    """There is no verdict on the instance yet, or none on its present failure."""


@dataclass(slots=True)
class InstanceState:
    """What is known of one instance.

    Attributes:
        proven: The last connection that worked; kept when the credential vanishes, so
            that waiting deletions can finish.
        failure: Why the instance may not be used now, or None if it may.
        undecided: Whether the failure is no verdict yet: it is not reported, and
            policies wait.
        failed_probes: The failed probes in a row, on the loop's clock.
        refusals: Those of them that were refused in some way; only a success ends this
            streak.
        refused: The refusals in a row that the calls of policies have met.
        unread: The names and domains in grants that could not be looked up.
        checked: Whether a pass of this process has reached a verdict.
        verdict: The last verdict.
        rights: The last usable credential's owner and capabilities.
        failing_since: When the present failure began, in UTC.
        checked_at: Loop time of the last call to ZITADEL that settled the verdict.
        answered_at: Loop time of the last call that has shown that the credential is
            good.
        pause: The error by which ZITADEL asked us to wait (Retry-After), if any.
        pause_until: Loop time of the end of that pause.
        endpoint: The endpoint that `proven` was made for.
        worked: The spec that was successful in this process.
        good: What `proven` was made of.
        tried: What was tried last.
        generation: The generation of the spec that last was probed successfully.
        busy_since: Loop time since which probes have met a read side that answers no
            GET of a policy, or None.
        suspected: Whether a policy's pass saw a failure, so that the next pass must
            call ZITADEL.
        reported_at: Loop time of the last status write, or None before the first.
        reported_in_use: Whether an Event has named what a deletion waits for.
        cursor: The position up to which ZITADEL's events were handled, or None if only
            the instance's status holds it.
        deprecated_in: The ZITADEL and version whose deprecated calls were reported.
        apis: Which of the calls that policies need this ZITADEL has.
        waiting: Policies whose passes found no verdict; the next verdict queues them.
        written: The last status that was written, and what was stored of it. A CRD of
            an older version drops fields, and then writing them again is of no use.
        organizations: The number of organizations in a page.
        events: The number of events in a page.
    """

    proven: Connection | None = None
    failure: OperatorError | None = None
    undecided: bool = False
    failed_probes: FailureStreak | None = None
    refusals: FailureStreak | None = None
    refused: dict[PolicyKey, FailureStreak] = field(default_factory=dict)
    unread: dict[Reference, Unread] = field(default_factory=dict)
    checked: bool = False
    verdict: Verdict | None = None
    rights: tuple[User, Capabilities] | None = None
    failing_since: datetime | None = None
    checked_at: float = float("-inf")
    answered_at: float = float("-inf")
    pause: TransientError | None = None
    pause_until: float = float("-inf")
    endpoint: Endpoint | None = None
    worked: Spec | None = None
    good: Access | None = None
    tried: Access | None = None
    generation: int = -1
    busy_since: float | None = None
    suspected: bool = False
    reported_at: float | None = None
    reported_in_use: bool = False
    cursor: str | None = None
    deprecated_in: tuple[str, str | None] | None = None
    apis: ApiSupport = field(default_factory=ApiSupport)
    waiting: set[PolicyKey] = field(default_factory=set)
    written: tuple[InstanceStatus, InstanceStatus] | None = None
    organizations: PageSize = field(default_factory=lambda: PageSize(ORGANIZATIONS))
    events: PageSize = field(default_factory=lambda: PageSize(EVENTS))

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


class Connections:
    """What is known of all instances, by name.

    Args:
        queue: Receives the instances that have to be probed.
    """

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self._states: dict[str, InstanceState] = {}

    def state(self, instance: str) -> InstanceState:
        """Return what is known of an instance; an empty record if it is new."""
        known = self._states.get(instance)
        if known is None:  # not by setdefault, which would make a new one each time
            known = self._states[instance] = InstanceState()
        return known

    def drop(self, instance: str) -> None:
        """Forget an instance that is gone."""
        self._states.pop(instance, None)

    def keep(self, instances: frozenset[str]) -> None:
        """Forget all instances but these: no object uses the other names."""
        self._states = {n: state for n, state in self._states.items() if n in instances}

    def recheck(self, instance: str) -> None:
        """Queue a probe of an instance, because a policy's call found a failure."""
        state = self.state(instance)
        if not state.suspected:
            state.suspected = True
            self._queue.add(instance_key(instance), Priority.CHANGE)

    def probe_as_requested(self, policy: PolicyObject) -> None:
        """Queue a pass over a failing instance if a policy's token asks for one."""
        asked = policy.requested_at
        if asked in {None, policy.status.last_handled_reconcile_at}:
            return
        if policy.suspended and not policy.deleting:
            return  # the token takes effect when the policy is resumed
        if self.state(policy.instance).failure is not None:
            self._queue.add(instance_key(policy.instance), Priority.CHANGE)

    def wait_for_verdict(self, instance: str, key: PolicyKey) -> None:
        """Record that a policy cannot continue before the instance has a verdict."""
        self.state(instance).waiting.add(key)

    def usable(self, instance: str) -> Connection:
        """Return the connection that a policy may use.

        Raises:
            NotCheckedYet: There is no verdict yet, or none on the present failure.
            TransientError: `InstanceNotReady`, with the instance's own reason.
            TerminalError: `CredentialsRejected`, which policies report as their own.
        """
        state = self.state(instance)
        if not state.checked or state.undecided:
            raise NotCheckedYet
        if state.failure is not None:
            raise as_seen_by_policies(state.failure)
        if state.proven is None:
            raise NotCheckedYet
        return state.proven

    def for_cleanup(self, instance: str) -> Connection:
        """Return the connection that a deletion may use.

        A credential that has vanished, or was replaced by a bad one, does not stop a
        deletion, because the last good one is still in memory (design, section 3,
        "Deletion").

        Raises:
            NotCheckedYet: There is no verdict yet.
            OperatorError: As for `usable`.
        """
        state = self.state(instance)
        if state.proven is None or state.failure is None:
            return self.usable(instance)
        good, tried, reason = state.good, state.tried, state.failure.reason
        another = good and tried and good.credential != tried.credential
        refused = reason is Reason.CREDENTIALS_REJECTED and another
        if reason in UNUSABLE_ACCESS or refused:
            return state.proven
        return self.usable(instance)


def as_seen_by_policies(failure: OperatorError) -> OperatorError:
    """Return the error that an instance's policies report for its failure."""
    if failure.reason is Reason.CREDENTIALS_REJECTED:
        return TerminalError(failure.reason, failure.message)
    if failure.reason in ADMINISTRATORS_OWN:
        return TransientError(
            Reason.INSTANCE_NOT_READY,
            f"The ZitadelInstance is not Ready: {failure.reason}; its own conditions "
            "tell a cluster administrator more",
        )
    return TransientError(
        Reason.INSTANCE_NOT_READY,
        f"The ZitadelInstance is not Ready: {failure.reason}: {failure.stable}",
        excerpt=failure.message.removeprefix(failure.stable),
    )


def is_superseded(inventory: Inventory, instance: InstanceObject) -> bool:
    """Return whether the object leads elsewhere by now, or is a different one."""
    newest = inventory.instances.get(instance.name)
    return (
        newest is None
        or spec_of(newest) != spec_of(instance)
        or newest.not_understood != instance.not_understood
    )
