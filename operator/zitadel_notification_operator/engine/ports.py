"""What the engine needs of the outside world, as small protocols.

Adapters satisfy them by structure, and `app` wires them. The engine imports no adapter.
All methods raise only the errors of `core.errors`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from zitadel_notification_operator.core.credentials import Credential
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.identity import Identity
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.kinds import Kind, ObjectKey
from zitadel_notification_operator.core.objects import (
    ObjectList,
    Own,
    OwnObject,
    OwnStatus,
)
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Organization,
    OrganizationPage,
    WriteResult,
)
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicySpec
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.core.settings import Settings


class PolicyClient(Protocol):
    """A ZITADEL, reached with one credential; it returns facts and decides nothing."""

    def guarded(self, check: Callable[[], None]) -> "PolicyClient":
        """Return a client that calls `check` right before each request is sent.

        A request may have waited long for its turn. If `check` raises, the exception
        reaches the caller and the request is not sent.
        """

    async def identify(self) -> Identity:
        """Return who answers and who asks; this proves both host and credential."""

    async def authenticate(self) -> None:
        """Make one call that needs a valid credential and no role.

        Raises:
            TerminalError: `CredentialsRejected`, besides the errors of any call.
        """

    async def deprecation(self) -> Deprecation | None:
        """Return which calls were marked as deprecated so far; makes no call itself."""

    async def organizations(self, offset: int, limit: int) -> OrganizationPage:
        """Return a page of the organizations that the credential may see.

        Raises:
            PageTooLarge: The caller must ask for fewer rows.
        """

    async def search(self, reference: Reference) -> Organization | None:
        """Return the organization with this name or verified domain, if any."""

    async def events(self, since: str | None, limit: int) -> list[ZitadelEvent]:
        """Return the events after a moment, oldest first.

        Args:
            since: The moment, or None to begin with the first event.
            limit: The largest number of events to return.

        Raises:
            PageTooLarge: The caller must ask for fewer rows.
        """

    async def has_events(self) -> bool:
        """Return whether the log shows any event, of whatever kind."""

    async def newest_event(self) -> ZitadelEvent | None:
        """Return the last event there is, or None if there is none."""

    async def last_policy_event(
        self, organization_id: str | None
    ) -> ZitadelEvent | None:
        """Return the newest event of one policy.

        Args:
            organization_id: Its organization, or None for the instance's policy.

        Returns:
            The event, or None if the log shows no event of that policy.
        """

    async def organization(self, organization_id: str | None) -> Organization:
        """Return an organization that exists; without an id, the credential's own."""

    async def observe(self, organization_id: str | None) -> ObservedPolicy | None:
        """Return the policy in force.

        Args:
            organization_id: The organization, or None for the instance's policy, which
                may be missing.
        """

    async def write(
        self,
        organization_id: str | None,
        action: Action,
        *,
        settings: Settings,
        before: ObservedPolicy | None,
    ) -> WriteResult:
        """Create or update a policy.

        A write replaces the whole policy, and every member it leaves out becomes false.

        Args:
            organization_id: The organization, or None for the instance's policy.
            action: Whether to create or to update.
            settings: The values to set.
            before: What was read right before the write; its other flags and its
                unknown members are written back unchanged. None if the instance had no
                policy.
        """

    async def reset(self, organization_id: str) -> WriteResult:
        """Remove the organization's own policy, so that it inherits again."""


class Connector(Protocol):
    """Creates clients; those of one instance object share its pool and its limits."""

    def connect(
        self,
        instance: str,
        endpoint: Endpoint,
        credential: Credential,
        roots: str | None,
    ) -> PolicyClient:
        """Return a client; changed arguments replace the instance's pool or token."""

    async def disconnect(self, instance: str) -> None:
        """Close what belongs to this instance object."""


class ObjectWriter(Protocol):
    """Writes the operator's fields of our objects, and the policies of sets.

    Each method returns the stored object.
    """

    async def apply_status(self, about: Own, status: OwnStatus) -> Own:
        """Server-side apply the whole status."""

    async def apply_marks(
        self, about: Own, *, original: str | None = None, finalizer: bool
    ) -> Own:
        """Server-side apply the annotation and the finalizer, as far as asked."""

    async def strip(self, about: Own, *, finalizer: bool, original: bool) -> Own | None:
        """Remove finalizer and/or annotation by JSON patch; None if it is gone now."""

    async def create_policy(
        self, one: SetObject, key: ObjectKey, spec: PolicySpec
    ) -> PolicyObject:
        """Create the policy of a set, never over another object of that name."""

    async def apply_policy(
        self, one: SetObject, policy: PolicyObject, spec: PolicySpec
    ) -> PolicyObject:
        """Server-side apply the whole spec of a set's policy, with label and owner."""

    async def delete(self, about: OwnObject) -> None:
        """Delete an object, unless another one has its name by now."""


class ObjectReader(Protocol):
    """Reads the operator's own kinds."""

    async def list_objects(self, kind: Kind, known: Iterable[OwnObject]) -> ObjectList:
        """Return all objects of a kind in the watched namespaces.

        Args:
            kind: The kind.
            known: Records to reuse for objects whose version has not changed.
        """

    async def read(self, kind: Kind, key: ObjectKey) -> OwnObject | None:
        """Return one object as it is stored now, or None if there is none."""

    async def crd_is_ending(self, kind: Kind) -> bool:
        """Return whether the CRD of a kind is being deleted or is gone.

        If the operator may not read the CRD, it counts as one that stays.
        """


class SecretReader(Protocol):
    """Reads Secrets and ConfigMaps of the operator's own namespace, by name."""

    async def read_secret(self, name: str) -> Mapping[str, bytes] | None:
        """Return the decoded values by key, or None if there is no such Secret."""

    async def read_config_map(self, name: str) -> Mapping[str, bytes] | None:
        """Return the values by key, or None if there is no such ConfigMap."""


@dataclass(frozen=True, slots=True)
class Notice:
    """The content of a Kubernetes Event, to be posted once.

    Attributes:
        warning: Whether its type is Warning; else it is Normal.
        reason: CamelCase, at most 128 characters.
        action: What was done, a verb such as `Reset`, at most 128 characters.
        note: A sentence for people, at most 1024 characters; no secrets.
    """

    warning: bool
    reason: str
    action: str
    note: str


class Recorder(Protocol):
    """Posts Events; never blocks or raises, and drops Events if there are too many."""

    def record(self, about: OwnObject, notice: Notice) -> None:
        """Queue the notice for posting."""
