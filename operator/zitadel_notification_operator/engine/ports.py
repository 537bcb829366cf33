"""What the engine needs of the world outside: small protocols, no imports of it.

Adapters satisfy them by shape; `app` wires them. All methods raise only the errors
of `core.errors`.
"""

from dataclasses import dataclass
from typing import Protocol

from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.objects import (
    Endpoint,
    InstanceObject,
    InstanceStatus,
    PolicyObject,
    PolicyStatus,
    SecretRef,
)
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Organization,
    WriteResult,
)


class PolicyClient(Protocol):
    """A ZITADEL, reached with one credential. Facts only; it decides nothing."""

    async def identify(self) -> str:
        """Return ZITADEL's own id; proves host and credential, writes nothing."""
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

    def connect(self, instance: str, endpoint: Endpoint, token: str) -> PolicyClient:
        """Return a client; a changed endpoint replaces the instance's pool."""
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

    async def list_policies(self) -> list[PolicyObject]:
        """Return all policies of the watched namespaces."""
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
    """Reads Secrets of the operator's own namespace, by name."""

    async def read(self, ref: SecretRef) -> bytes | None:
        """Return the value; None: no such Secret or key."""
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
