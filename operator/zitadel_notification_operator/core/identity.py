"""Who answers and who asks: what a pass over an instance finds out about both."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """The service user that a credential belongs to."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the credential may do, as ZITADEL lists its permissions.

    Attributes:
        read_events: `events.read`.
        write_instance_policy: `iam.policy.write`.
        list_organizations: `iam.read`, or another sign of a role in the instance.
    """

    read_events: bool = False
    write_instance_policy: bool = False
    list_organizations: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """A ZITADEL as one credential sees it.

    Attributes:
        zitadel_id: ZITADEL's own id, the owner of its default policy, too.
        version: None where the credential may not see it.
        user: Whom the credential belongs to.
        capabilities: What it may do.
    """

    zitadel_id: str
    version: str | None
    user: User
    capabilities: Capabilities
