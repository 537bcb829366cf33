"""What the engine needs of the world outside: small protocols, no imports of it.

Adapters satisfy them by shape; `app` wires them. All methods raise only the errors
of `core.errors`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.credentials import Credential
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.identity import Identity
from zitadel_notification_operator.core.objects import (
    Endpoint,
    InstanceObject,
    InstanceStatus,
    PolicyList,
    PolicyObject,
    PolicyStatus,
)
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Organization,
    OrganizationPage,
    WriteResult,
)
from zitadel_notification_operator.core.references import Reference


class PolicyClient(Protocol):
    """A ZITADEL, reached with one credential. Facts only; it decides nothing."""

    def guarded(self, check: Callable[[], None]) -> "PolicyClient":
        """Return a client that asks `check` right before each call goes out.

        Whatever it raises reaches the caller, and the call is not made: a call may
        have waited long for its turn.
        """
        ...

    async def identify(self) -> Identity:
        """Return who answers and who asks; proves host and credential."""
        ...

    async def organizations(self, offset: int, limit: int) -> OrganizationPage:
        """Return a page of the organizations that the credential may see."""
        ...

    async def search(self, reference: Reference) -> Organization | None:
        """Return the organization with this name or verified domain, if any."""
        ...

    async def events(self, since: str | None, limit: int) -> list[ZitadelEvent]:
        """Return the events after a moment, oldest first; None: from the beginning."""
        ...

    async def newest_event(self) -> ZitadelEvent | None:
        """Return the last event there is; None when there is none."""
        ...

    async def organization(self, organization_id: str | None) -> Organization:
        """Return an organization that exists; None: the credential's own."""
        ...

    async def observe(self, organization_id: str | None) -> ObservedPolicy | None:
        """Return the policy in force; None id: the instance's, which may be missing."""
        ...

    async def write(
        self, organization_id: str | None, action: Action, *, password_change: bool
    ) -> WriteResult:
        """Create or update a policy; None id: the instance's."""
        ...

    async def reset(self, organization_id: str) -> WriteResult:
        """Remove the organization's own policy, so that it inherits again."""
        ...


class Connector(Protocol):
    """Makes clients; those of one instance object share its pool and its limits."""

    def connect(
        self,
        instance: str,
        endpoint: Endpoint,
        credential: Credential,
        roots: str | None,
    ) -> PolicyClient:
        """Return a client; what differs replaces the instance's pool or its token."""
        ...

    async def disconnect(self, instance: str) -> None:
        """Close what belongs to this instance object."""
        ...


class ObjectWriter(Protocol):
    """Writes what is ours on our kinds; each call returns the object as stored."""

    async def apply_policy_status(
        self, policy: PolicyObject, status: PolicyStatus
    ) -> PolicyObject:
        """Server-side apply the whole status."""
        ...

    async def apply_original(
        self, policy: PolicyObject, original: str, *, finalizer: bool
    ) -> PolicyObject:
        """Server-side apply the annotation and, where asked, the finalizer."""
        ...

    async def strip_policy(
        self, policy: PolicyObject, *, finalizer: bool, original: bool
    ) -> PolicyObject | None:
        """Remove finalizer and/or annotation by JSON patch; None: it is gone now."""
        ...


class InstanceWriter(Protocol):
    """The same for the other kind."""

    async def apply_instance_status(
        self, instance: InstanceObject, status: InstanceStatus
    ) -> InstanceObject:
        """Server-side apply the whole status."""
        ...

    async def hold_instance(self, instance: InstanceObject) -> InstanceObject:
        """Server-side apply the finalizer."""
        ...

    async def release_instance(self, instance: InstanceObject) -> InstanceObject | None:
        """Remove the finalizer by JSON patch; None: the object is gone now."""
        ...


class ObjectReader(Protocol):
    """Reads our kinds."""

    async def list_policies(
        self, known: Mapping[PolicyKey, PolicyObject]
    ) -> PolicyList:
        """Return all policies of the watched namespaces; known versions as they are."""
        ...

    async def list_instances(self) -> list[InstanceObject]:
        """Return all instances."""
        ...

    async def read_policy(self, namespace: str, name: str) -> PolicyObject | None:
        """Return one policy as stored now; None: there is none."""
        ...

    async def read_instance(self, name: str) -> InstanceObject | None:
        """Return one instance as stored now; None: there is none."""
        ...


class SecretReader(Protocol):
    """Reads objects of the operator's own namespace, by name."""

    async def read_secret(self, name: str) -> Mapping[str, bytes] | None:
        """Return the decoded values by key; None: no such Secret."""
        ...

    async def read_config_map(self, name: str) -> Mapping[str, bytes] | None:
        """Return the values by key; None: no such ConfigMap."""
        ...


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell about an object, once (conventions 3.1).

    Attributes:
        warning: Its type is Warning, else Normal.
        reason: CamelCase, at most 128 characters.
        action: What was done, a verb such as `Reset`, at most 128 characters.
        note: A sentence for people, at most 1024 characters; no secrets.
    """

    warning: bool
    reason: str
    action: str
    note: str


class Recorder(Protocol):
    """Posts Events; never blocks, never raises, drops when there are too many."""

    def record(self, about: PolicyObject | InstanceObject, notice: Notice) -> None:
        """Queue the notice for posting."""
        ...
