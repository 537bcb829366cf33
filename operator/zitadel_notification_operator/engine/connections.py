"""Which instances may be used now, with which client, and since when not.

The instance pass writes here, policy passes read. A policy pass never finds out by
itself that an instance is down: it reports a suspicion and waits for the verdict,
so that a dead ZITADEL costs one call a try, not one per policy.
"""

from dataclasses import dataclass, field
from datetime import datetime

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.credentials import Credential
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.identity import Identity
from zitadel_notification_operator.core.objects import Endpoint
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.directory import Directory
from zitadel_notification_operator.engine.ports import PolicyClient


@dataclass(frozen=True, slots=True)
class Connection:
    """A client whose credential and host were proven, and whose ZITADEL is known.

    Attributes:
        client: Calls it.
        identity: Who answers and who asks.
        directory: Its organizations, as this credential sees them.
    """

    client: PolicyClient
    identity: Identity
    directory: Directory

    @property
    def zitadel_id(self) -> str:
        """ZITADEL's own id."""
        return self.identity.zitadel_id


@dataclass(frozen=True, slots=True)
class Access:
    """All that a client is made of; another one may lead to another ZITADEL.

    Attributes:
        endpoint: Of the spec.
        roots: PEM text of `spec.caBundle`; None: the system's roots alone.
        credential: What the Secret holds.
    """

    endpoint: Endpoint
    roots: str | None
    credential: Credential


_ADMINISTRATORS_OWN = frozenset(
    {
        Reason.CREDENTIALS_MISSING,
        Reason.CREDENTIALS_INVALID,
        Reason.CA_BUNDLE_MISSING,
        Reason.CA_BUNDLE_INVALID,
    }
)
"""Trouble whose message names objects that are no tenant's business."""


class NotCheckedYet(Exception):
    """The instance has had no pass yet in this process; wait for its verdict."""


@dataclass(slots=True)
class Line:
    """What is known of one instance.

    Attributes:
        proven: The last client that worked; kept when the credential vanishes, so
            that waiting deletions can finish.
        trouble: Why it may not be used now; None when it may.
        checked: Whether a pass of this process has given a verdict.
        troubled_since: When the present trouble began, UTC.
        checked_at: Loop time of the last call to ZITADEL that settled the verdict.
        endpoint: What `proven` was made for.
        tried: What was tried last.
        generation: Of the spec that was proven last.
        suspected: A policy pass saw trouble; the next pass must call ZITADEL.
        reported_at: Loop time of the last status write; None before the first.
        told_in_use: An Event has said what a deletion waits for.
        cursor: How far ZITADEL's events were dealt with; None where that stands in the
            instance's status.
        waiting: Policies whose passes found no verdict; the next one wakes them.
    """

    proven: Connection | None = None
    trouble: OperatorError | None = None
    checked: bool = False
    troubled_since: datetime | None = None
    checked_at: float = float("-inf")
    endpoint: Endpoint | None = None
    tried: Access | None = None
    generation: int = -1
    suspected: bool = False
    reported_at: float | None = None
    told_in_use: bool = False
    cursor: str | None = None
    waiting: set[PolicyKey] = field(default_factory=set)


class Connections:
    """The lines of all instances."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}

    def line(self, instance: str) -> Line:
        """Return the line of an instance, a fresh one if there is none."""
        return self._lines.setdefault(instance, Line())

    def drop(self, instance: str) -> None:
        """Forget an instance that is gone."""
        self._lines.pop(instance, None)

    def keep(self, instances: frozenset[str]) -> None:
        """Forget all but these instances: nobody uses their names any longer."""
        self._lines = {n: line for n, line in self._lines.items() if n in instances}

    def wait_for_verdict(self, instance: str, key: PolicyKey) -> None:
        """Note that a policy cannot go on before the instance has a verdict."""
        self.line(instance).waiting.add(key)

    def usable(self, instance: str) -> Connection:
        """Return the connection that a policy may use.

        Raises:
            NotCheckedYet: There is no verdict yet.
            TransientError: `InstanceNotReady`, with the instance's own reason.
            TerminalError: `CredentialsRejected`, which policies show as their own.
        """
        line = self.line(instance)
        if not line.checked:
            raise NotCheckedYet
        if line.trouble is not None:
            raise as_seen_by_policies(line.trouble)
        if line.proven is None:
            raise NotCheckedYet
        return line.proven

    def for_cleanup(self, instance: str) -> Connection:
        """Return the connection that a deletion may use.

        A credential that has only vanished does not stop a deletion: the last good
        one is still in memory (design, section 3, "Deletion").

        Raises:
            NotCheckedYet: There is no verdict yet.
            OperatorError: As `usable`.
        """
        line = self.line(instance)
        gone = {Reason.CREDENTIALS_MISSING, Reason.CREDENTIALS_INVALID}
        if line.proven and line.trouble and line.trouble.reason in gone:
            return line.proven
        return self.usable(instance)


def as_seen_by_policies(trouble: OperatorError) -> OperatorError:
    """Return what an instance's trouble is called on its policies."""
    if trouble.reason is Reason.CREDENTIALS_REJECTED:
        return TerminalError(trouble.reason, trouble.message)
    if trouble.reason in _ADMINISTRATORS_OWN:
        return TransientError(
            Reason.INSTANCE_NOT_READY,
            f"The ZitadelInstance is not Ready: {trouble.reason}; its own conditions "
            "tell a cluster administrator more",
        )
    return TransientError(
        Reason.INSTANCE_NOT_READY,
        f"The ZitadelInstance is not Ready: {trouble.reason}: {trouble.stable}",
        excerpt=trouble.message.removeprefix(trouble.stable),
    )
