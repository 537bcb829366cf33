"""The kinds' JSON as models that mirror the CRDs: names, types, defaults.

Unknown fields are ignored, so that an older operator reads newer objects; a value
that it cannot understand is refused, never guessed. Records come from these in
`cluster.resources`.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator
from pydantic.alias_generators import to_camel

from zitadel_notification_operator.core.credentials import (
    CaRef,
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.objects import DriftMethod
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.core.references import By, Reference


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


class EditorModel(Model):
    """`status.lastDrift.editor`."""

    id: str
    name: str = ""


class DriftModel(Model):
    """`status.lastDrift`; `from` is a word of Python's."""

    observed_at: str
    editor: EditorModel | None = None
    found: OriginalModel = Field(alias="from")
    restored: OriginalModel = Field(alias="to")


class ReferenceModel(Model):
    """`spec.instanceRef`."""

    name: str = "default"


class OrganizationModel(Model):
    """`spec.organization`, and one of a grant's `organizations`."""

    id: str | None = None
    name: str | None = None
    domain: str | None = None
    of_credential: StrictBool = False

    def references(self) -> list[Reference]:
        """Return all that it names the organization by; the CRD wants exactly one."""
        named = ((By.ID, self.id), (By.NAME, self.name), (By.DOMAIN, self.domain))
        found = [Reference(by, value) for by, value in named if value is not None]
        return found + [Reference(By.CREDENTIAL)] * self.of_credential


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
        wanted = 1 if self.scope is Scope.ORGANIZATION else 0
        if len(self.organization.references()) != wanted:
            raise ValueError(
                "organization must hold exactly one of id, name, domain and "
                "ofCredential for scope Organization, and may not be set for scope "
                "Instance"
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
    last_drift: DriftModel | None = None
    last_handled_reconcile_at: str | None = None


class PolicyModel(Model):
    """A NotificationPolicy."""

    metadata: MetadataModel
    spec: PolicySpecModel
    status: PolicyStatusModel = PolicyStatusModel()


class KeyRefModel(Model):
    """A key of a Secret or a ConfigMap; where it is left out the CRD has a default."""

    name: str
    key: str | None = None


class SecretModel(Model):
    """What holds a `secretRef`."""

    secret_ref: KeyRefModel


class CredentialsModel(Model):
    """`spec.credentials`."""

    personal_access_token: SecretModel | None = None
    private_key_jwt: SecretModel | None = Field(None, alias="privateKeyJWT")
    client_credentials: SecretModel | None = None

    @model_validator(mode="after")
    def _holds_one(self) -> Self:
        """Refuse a credential of a newer schema, or two."""
        self.ref()
        return self

    def ref(self) -> CredentialRef:
        """Return where the one credential is."""
        named = (
            (CredentialKind.TOKEN, self.personal_access_token, "token"),
            (CredentialKind.KEY, self.private_key_jwt, "key.json"),
            (CredentialKind.CLIENT, self.client_credentials, ""),
        )
        found = [
            CredentialRef(kind, model.secret_ref.name, model.secret_ref.key or default)
            for kind, model, default in named
            if model is not None
        ]
        if len(found) != 1:
            raise ValueError(
                "credentials must hold exactly one of personalAccessToken, "
                "privateKeyJWT and clientCredentials"
            )
        return found[0]


class CaBundleModel(Model):
    """`spec.caBundle`."""

    config_map_ref: KeyRefModel | None = None
    secret_ref: KeyRefModel | None = None

    @model_validator(mode="after")
    def _holds_one(self) -> Self:
        """Refuse a source of a newer schema, or two."""
        self.ref()
        return self

    def ref(self) -> CaRef:
        """Return where the one bundle is."""
        named = (("ConfigMap", self.config_map_ref), ("Secret", self.secret_ref))
        found = [
            CaRef(kind, model.name, model.key or "ca.crt")
            for kind, model in named
            if model is not None
        ]
        if len(found) != 1:
            raise ValueError(
                "caBundle must hold exactly one of configMapRef and secretRef"
            )
        return found[0]


class RateLimitModel(Model):
    """`spec.rateLimit`, with the CRD's defaults."""

    requests_per_second: int = 50
    burst: int = 100
    max_concurrent: int = 8


class DriftDetectionModel(Model):
    """`spec.driftDetection`; Go-style durations."""

    method: DriftMethod = DriftMethod.AUTO
    events_interval: str = "1m"
    poll_interval: str = "10m"


class GrantModel(Model):
    """One of `spec.grants`."""

    namespaces: tuple[str, ...]
    scopes: frozenset[Scope] = frozenset({Scope.ORGANIZATION})
    organizations: tuple[OrganizationModel, ...] | None = None

    @model_validator(mode="after")
    def _names_each(self) -> Self:
        """Refuse a reference of a newer schema: read without it, it names nobody."""
        if any(len(o.references()) != 1 for o in self.organizations or ()):
            raise ValueError(
                "each of organizations must hold exactly one of id, name and domain"
            )
        return self

    def references(self) -> frozenset[Reference] | None:
        """Return which organizations are granted; None: any."""
        if self.organizations is None:
            return None
        return frozenset(o.references()[0] for o in self.organizations)


class InstanceSpecModel(Model):
    """`spec` of a ZitadelInstance."""

    url: str
    external_domain: str | None = None
    ca_bundle: CaBundleModel | None = None
    credentials: CredentialsModel
    rate_limit: RateLimitModel = RateLimitModel()
    drift_detection: DriftDetectionModel = DriftDetectionModel()
    grants: tuple[GrantModel, ...] = ()


class UserModel(Model):
    """`status.user` of a ZitadelInstance."""

    id: str
    name: str


class CapabilitiesModel(Model):
    """`status.capabilities` of a ZitadelInstance."""

    read_events: StrictBool = False
    write_instance_policy: StrictBool = False
    list_organizations: StrictBool = False


class InstanceStatusModel(Model):
    """`status` of a ZitadelInstance."""

    observed_generation: int = -1
    conditions: tuple[ConditionModel, ...] = ()
    instance_id: str | None = None
    version: str | None = None
    user: UserModel | None = None
    capabilities: CapabilitiesModel | None = None
    credential_expires_at: str | None = None
    policies: int | None = None
    drift_cursor: str | None = None
    last_handled_reconcile_at: str | None = None


class InstanceModel(Model):
    """A ZitadelInstance."""

    metadata: MetadataModel
    spec: InstanceSpecModel
    status: InstanceStatusModel = InstanceStatusModel()
