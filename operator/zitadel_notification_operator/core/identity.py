"""What a pass over an instance learns about the ZITADEL and about the credential."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """The service user that a credential belongs to."""

    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the credential may do, according to the permissions that ZITADEL lists.

    Attributes:
        read_events: The permission `events.read`.
        write_instance_policy: The permission `iam.policy.write`.
        list_organizations: The permission `iam.read`, or another sign of a role in the
            instance.
    """

    read_events: bool = False
    write_instance_policy: bool = False
    list_organizations: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """A ZITADEL as seen with one credential.

    Attributes:
        zitadel_id: ZITADEL's own id, which also owns its default policy.
        version: ZITADEL's version; None if the credential may not read it.
        user: The service user that the credential belongs to.
        capabilities: What the credential may do.
    """

    zitadel_id: str
    version: str | None
    user: User
    capabilities: Capabilities
