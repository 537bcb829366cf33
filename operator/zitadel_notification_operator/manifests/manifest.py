"""An object that is to be written as a manifest, with comments for people."""

from dataclasses import dataclass
from typing import Any

from zitadel_notification_operator.cluster.names import API_VERSION
from zitadel_notification_operator.core.kinds import POLICY, SET, Kind
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.core.settings import Settings

DEFAULT_INSTANCE = "default"
"""The ZitadelInstance that an object means if it names none."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object of ours.

    Attributes:
        kind: Its kind.
        name: Its name.
        spec: Its spec, in the order in which it is written.
        comments: What is said above it, one line each. They may hold anything.
    """

    kind: Kind
    name: str
    spec: dict[str, Any]
    comments: tuple[str, ...] = ()

    def body(self, namespace: str = "") -> dict[str, Any]:
        """Return the object.

        Args:
            namespace: Its namespace; empty to leave that to whoever applies it.
        """
        metadata = {"name": self.name}
        if namespace:
            metadata["namespace"] = namespace
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind.name,
            "metadata": metadata,
            "spec": self.spec,
        }


@dataclass(frozen=True, slots=True)
class Style:
    """What all manifests of one output have in common.

    Attributes:
        instance: The name of the ZitadelInstance.
        management: `spec.managementPolicy`.
    """

    instance: str = DEFAULT_INSTANCE
    management: ManagementPolicy = ManagementPolicy.MANAGE


def policy_manifest(
    name: str,
    organization: Reference | None,
    settings: Settings,
    style: Style,
    *comments: str,
) -> Manifest:
    """Return a NotificationPolicy that leaves ZITADEL as it is when it is deleted.

    Args:
        name: The name of the object.
        organization: The organization; None for the instance.
        settings: The values.
        style: What it has in common with the others.
        comments: What is said above it.
    """
    scope = Scope.INSTANCE if organization is None else Scope.ORGANIZATION
    spec: dict[str, Any] = {"scope": scope.value, **_instance_of(style)}
    if organization is not None:
        spec["organization"] = {organization.by.value: organization.value}
    return Manifest(POLICY, name, spec | _ending(settings, style), comments)


def set_manifest(
    name: str, settings: Settings, limit: int, style: Style, *comments: str
) -> Manifest:
    """Return a NotificationPolicySet of all organizations.

    Args:
        name: The name of the object.
        settings: The values.
        limit: `spec.limits.organizations`; 0 for the default.
        style: What it has in common with the others.
        comments: What is said above it.
    """
    spec: dict[str, Any] = {**_instance_of(style), "organizations": {"all": True}}
    spec |= _ending(settings, style)
    if limit:
        spec["limits"] = {"organizations": limit}
    return Manifest(SET, name, spec, comments)


def _instance_of(style: Style) -> dict[str, Any]:
    if style.instance == DEFAULT_INSTANCE:
        return {}
    return {"instanceRef": {"name": style.instance}}


def _ending(settings: Settings, style: Style) -> dict[str, Any]:
    values = settings.by_name().items()
    found: dict[str, Any] = {name: value for name, value in values if value is not None}
    if style.management is not ManagementPolicy.MANAGE:
        found["managementPolicy"] = style.management.value
    found["deletionPolicy"] = DeletionPolicy.RETAIN.value
    return found
