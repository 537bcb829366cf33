"""The kinds' JSON as models that mirror the CRDs: names, types, defaults.

Unknown fields are ignored, so that an older operator reads newer objects; a value
that it cannot understand is refused, never guessed. Records come from these in
`cluster.resources`.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator
from pydantic.alias_generators import to_camel

from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)


class Model(BaseModel):
    """Reads camelCase, ignores what it does not know."""

    model_config = ConfigDict(
        extra="ignore", alias_generator=to_camel, populate_by_name=True, frozen=True
    )


class MetadataModel(Model):
    """What we need of ObjectMeta."""

    name: str
    uid: str
    namespace: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    resource_version: str = ""
    finalizers: tuple[str, ...] = ()
    annotations: dict[str, str] = Field(default_factory=dict)


class ConditionModel(Model):
    """metav1.Condition."""

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int = 0
    last_transition_time: str = ""


class OriginalModel(Model):
    """`status.original`."""

    is_default: StrictBool
    password_change: StrictBool | None = None


class ReferenceModel(Model):
    """`spec.instanceRef`."""

    name: str = "default"


class OrganizationModel(Model):
    """`spec.organization`."""

    id: str | None = None
    of_credential: StrictBool = False


class PolicySpecModel(Model):
    """`spec` of a NotificationPolicy."""

    scope: Scope
    instance_ref: ReferenceModel = ReferenceModel()
    organization: OrganizationModel = OrganizationModel()
    password_change: StrictBool
    management_policy: ManagementPolicy = ManagementPolicy.MANAGE
    deletion_policy: DeletionPolicy | None = None
    suspend: StrictBool = False

    @model_validator(mode="after")
    def _names_its_target(self) -> Self:
        """Refuse a reference of a newer schema, or one that this CRD refuses.

        Read without it, the object would speak about another target: no reference
        at all means the whole instance.
        """
        given = (self.organization.id is not None) + self.organization.of_credential
        wanted = 1 if self.scope is Scope.ORGANIZATION else 0
        if given != wanted:
            raise ValueError(
                "organization must hold exactly one of id and ofCredential for scope "
                "Organization, and may not be set for scope Instance"
            )
        return self


class PolicyStatusModel(Model):
    """`status` of a NotificationPolicy."""

    observed_generation: int = -1
    conditions: tuple[ConditionModel, ...] = ()
    organization_id: str | None = None
    organization_name: str | None = None
    is_default: StrictBool | None = None
    password_change: StrictBool | None = None
    sequence: str | None = None
    creation_date: str | None = None
    change_date: str | None = None
    resource_owner: str | None = None
    original: OriginalModel | None = None
    last_handled_reconcile_at: str | None = None


class PolicyModel(Model):
    """A NotificationPolicy."""

    metadata: MetadataModel
    spec: PolicySpecModel
    status: PolicyStatusModel = PolicyStatusModel()


class SecretRefModel(Model):
    """A Secret's key; the key's default is the CRD's."""

    name: str
    key: str = "token"


class TokenModel(Model):
    """`spec.credentials.personalAccessToken`."""

    secret_ref: SecretRefModel


class CredentialsModel(Model):
    """`spec.credentials`."""

    personal_access_token: TokenModel


class RateLimitModel(Model):
    """`spec.rateLimit`, with the CRD's defaults."""

    requests_per_second: int = 50
    burst: int = 100
    max_concurrent: int = 8


class DriftDetectionModel(Model):
    """`spec.driftDetection`; a Go-style duration."""

    poll_interval: str = "10m"


class GrantModel(Model):
    """One of `spec.grants`."""

    namespaces: tuple[str, ...]
    scopes: frozenset[Scope] = frozenset({Scope.ORGANIZATION})


class InstanceSpecModel(Model):
    """`spec` of a ZitadelInstance."""

    url: str
    external_domain: str | None = None
    credentials: CredentialsModel
    rate_limit: RateLimitModel = RateLimitModel()
    drift_detection: DriftDetectionModel = DriftDetectionModel()
    grants: tuple[GrantModel, ...] = ()


class InstanceStatusModel(Model):
    """`status` of a ZitadelInstance."""

    observed_generation: int = -1
    conditions: tuple[ConditionModel, ...] = ()
    instance_id: str | None = None
    policies: int | None = None
    last_handled_reconcile_at: str | None = None


class InstanceModel(Model):
    """A ZitadelInstance."""

    metadata: MetadataModel
    spec: InstanceSpecModel
    status: InstanceStatusModel = InstanceStatusModel()
