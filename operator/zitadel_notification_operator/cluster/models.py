"""Models of the kinds' JSON that mirror the CRDs: names, types and defaults.

Unknown fields are ignored, so that an older operator can read newer objects. A value
that the operator does not understand is rejected, never guessed. What has the same
shape in the core's records has no model here: see `cluster.records`.
`cluster.resources` makes records of both.
"""

from functools import cache
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
)
from pydantic.alias_generators import to_camel

from zitadel_notification_operator.core.conditions import parse_time
from zitadel_notification_operator.core.credentials import (
    CaRef,
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.durations import parse_duration
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.selection import Matcher, Selector, problem_of
from zitadel_notification_operator.core.sharing import shared_text, shared_texts

_NO_TIME = "must be an RFC 3339 time with a zone, such as 2026-01-01T00:00:00Z"
_NO_DURATION = "must be a duration such as 30s, 10m or 1h30m, and at least 1s"


def require_time(text: str) -> str:
    """Reject a text that is no RFC 3339 time with a zone: it cannot be compared."""
    if parse_time(text) is None:
        raise ValueError(_NO_TIME)
    return text


def _seconds_of(text: str) -> float:
    """Reject a text that is no duration, and a duration below one second."""
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ValueError(_NO_DURATION) from error
    if seconds < 1:
        raise ValueError(_NO_DURATION)
    return seconds


Shared = Annotated[str, AfterValidator(shared_text)]
"""A text that many objects have, or one object several times: it is kept once."""

Time = Annotated[Shared, AfterValidator(require_time)]
"""An RFC 3339 time, kept as text."""

Duration = Annotated[str, AfterValidator(_seconds_of)]
"""A Go-style duration, which becomes seconds."""

_RENAMED = {
    "ca": "caBundle",
    "credential": "credentials",
    "deletion": "deletionPolicy",
    "drift": "driftDetection",
    "found": "from",
    "instance": "instanceRef",
    "management": "managementPolicy",
    "operator_class": "class",
    "restored": "to",
    "suspended": "suspend",
}
"""Fields of the core's records that have another name in JSON."""


@cache
def json_name(field_name: str) -> str:
    """Return the name in JSON of a field."""
    return _RENAMED.get(field_name) or to_camel(field_name)


class Model(BaseModel):
    """Base of all models. It reads camelCase names and ignores unknown fields."""

    model_config = ConfigDict(extra="ignore", alias_generator=json_name, frozen=True)


class OwnerModel(Model):
    """An owner reference."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class MetadataModel(Model):
    """The part of ObjectMeta that the operator needs."""

    name: str = Field(min_length=1)
    uid: Annotated[Shared, Field(min_length=1)]
    namespace: Shared = ""
    generation: int = 0
    creation_timestamp: Time = ""
    deletion_timestamp: str | None = None
    resource_version: str = ""
    finalizers: Annotated[tuple[str, ...], AfterValidator(shared_texts)] = ()
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    owner_references: tuple[OwnerModel, ...] = ()

    def controller(self) -> OwnerModel | None:
        """Return the owner that controls the object, if there is one."""
        return next((one for one in self.owner_references if one.controller), None)


class ReferenceModel(Model):
    """`spec.instanceRef`."""

    name: Shared = "default"


class OrganizationModel(Model):
    """`spec.organization`, and an item of a grant's `organizations`."""

    id: Shared | None = None
    name: str | None = None
    domain: str | None = None
    of_credential: StrictBool = False

    def references(self) -> list[Reference]:
        """Return every reference that is set; the CRD wants exactly one."""
        named = ((By.ID, self.id), (By.NAME, self.name), (By.DOMAIN, self.domain))
        found = [Reference(by, value) for by, value in named if value is not None]
        return found + [Reference(By.CREDENTIAL)] * self.of_credential


NO_TARGET = (
    "must hold exactly one of id, name, domain and ofCredential for scope "
    "Organization, and may not be set for scope Instance"
)


class KeyRefModel(Model):
    """A key of a Secret or a ConfigMap; the CRD has a default for an absent key."""

    name: str
    key: str | None = None


class SecretModel(Model):
    """An object with a `secretRef`."""

    secret_ref: KeyRefModel


class CredentialsModel(Model):
    """`spec.credentials`; one of a newer schema is rejected."""

    personal_access_token: SecretModel | None = None
    private_key_jwt: SecretModel | None = Field(None, alias="privateKeyJWT")
    client_credentials: SecretModel | None = None

    def ref(self) -> CredentialRef:
        """Return where the one credential is stored.

        Raises:
            ValueError: There is not exactly one.
        """
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
    """`spec.caBundle`; a source of a newer schema is rejected."""

    config_map_ref: KeyRefModel | None = None
    secret_ref: KeyRefModel | None = None

    def ref(self) -> CaRef:
        """Return where the one CA bundle is stored.

        Raises:
            ValueError: There is not exactly one.
        """
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


class MatcherModel(Model):
    """An item of a set's `include` or `exclude`.

    A field of a newer schema is rejected: without it, more organizations would match.
    """

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    domain: str | None = None
    id: str | None = None


class SelectorModel(Model):
    """`spec.organizations` of a set; a field of a newer schema is rejected, too."""

    model_config = ConfigDict(extra="forbid")

    all: StrictBool = False
    include: tuple[MatcherModel, ...] = ()
    exclude: tuple[MatcherModel, ...] = ()

    def selector(self) -> Selector:
        """Return the selector.

        Raises:
            ValueError: It would select everything by accident, or nothing at all.
        """
        include, exclude = (
            tuple(Matcher(one.name, one.domain, one.id) for one in matchers)
            for matchers in (self.include, self.exclude)
        )
        selector = Selector(self.all, include, exclude)
        problem = problem_of(selector)
        if problem:
            raise ValueError(problem)
        return selector
