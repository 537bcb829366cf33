"""Models of the JSON in ZITADEL's replies, as far as the operator reads it.

ZITADEL leaves out `false`, `0` and empty text. An absent boolean therefore means false,
but only in a policy that really exists, which is one with `details`. Types are strict,
so that the JSON of a proxy or of a broken server never counts as a value. Unknown
fields are ignored, except those of a policy, because newer versions add some.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
    model_validator,
)

from zitadel_notification_operator.core.settings import FLAGS, Settings


def _as_text(value: object) -> object:
    """Accept a uint64 as text, as ZITADEL sends it, or as a number, as others might."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


Sequence = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[0-9]{1,20}$")]
Count = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[0-9]{1,18}$")]
Id = Annotated[str, Field(min_length=1)]

M = TypeVar("M", bound=BaseModel)

_KNOWN = {"details", "isDefault"} | {flag.zitadel_name for flag in FLAGS}


def _camel(name: str) -> str:
    """Return a name in the spelling of ZITADEL's JSON: `is_default` is `isDefault`."""
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def _snake(name: str) -> str:
    """Return a name in the other spelling: `isDefault` is `is_default`."""
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)


class Model(BaseModel):
    """The base of all replies. Its errors never quote the input."""

    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )


class Details(Model):
    """`details` of a policy or of a write (`zitadel.v1.ObjectDetails`).

    Attributes:
        sequence: The sequence of the last event in the owner's aggregate, a uint64 as
            text.
        resource_owner: The id of the organization or instance.
        creation_date: The time as ZITADEL wrote it. The reply to a write has it only
            after a POST.
        change_date: The time as ZITADEL wrote it. The reply to a write has it only
            after a PUT or DELETE.
    """

    sequence: Sequence
    resource_owner: Id = Field(alias="resourceOwner")
    creation_date: str = Field(default="", alias="creationDate")
    change_date: str = Field(default="", alias="changeDate")


def _with_flags(model: type[M]) -> type[M]:
    """Add a field for each flag; false if ZITADEL does not send it."""
    fields: dict[str, Any] = {}
    for flag in FLAGS:
        names = AliasChoices(flag.zitadel_name, _snake(flag.zitadel_name))
        fields[flag.name] = bool, Field(default=False, validation_alias=names)
    return create_model(
        model.__name__, __base__=model, __module__=model.__module__, **fields
    )


@_with_flags
class Policy(Model):
    """`zitadel.policy.v1.NotificationPolicy`.

    A newer ZITADEL may have more settings. The operator keeps them for the next write,
    which would otherwise set them to false. Protobuf's JSON has two spellings of each
    name, and ZITADEL refuses a body that contains both.
    """

    model_config = ConfigDict(extra="allow")

    details: Details
    is_default: bool = Field(
        default=False, validation_alias=AliasChoices("isDefault", "is_default")
    )

    @property
    def settings(self) -> Settings:
        """The value of each flag."""
        return Settings.of(self.__dict__)

    @property
    def unknown_members(self) -> Mapping[str, object]:
        """The members that this version does not know, by name, as they were read."""
        members = self.model_extra or {}
        return {
            name: value for name, value in members.items() if _camel(name) not in _KNOWN
        }

    @model_validator(mode="after")
    def _can_be_written_again(self) -> Self:
        """Refuse values that are not JSON, and numbers that cannot be written again."""
        json.dumps(self.model_extra, allow_nan=False)
        return self


class PolicyReply(Model):
    """GET of an organization's, the default or the instance's notification policy."""

    policy: Policy


class WriteReply(Model):
    """POST, PUT and DELETE of a notification policy."""

    details: Details


class OrganizationBody(Model):
    """`zitadel.org.v1.Org`. A removed organization has no `state`."""

    id: Id
    name: str = ""
    state: str = ""
    primary_domain: str = Field(default="", alias="primaryDomain")


class OrganizationReply(Model):
    """GET `/management/v1/orgs/me`."""

    org: OrganizationBody


class FoundOrganization(Model):
    """`zitadel.org.v2.Organization`."""

    id: Id
    name: str = ""
    primary_domain: str = Field(default="", alias="primaryDomain")


class SearchDetails(Model):
    """`details` of a search. The total includes rows that the caller may not see."""

    total: Count = Field(default="0", alias="totalResult")
    timestamp: str = ""
    view_timestamp: str = Field(default="", alias="viewTimestamp")


class ListReply(Model):
    """The base of all searches. Without results, it has only `details` with a time."""

    details: SearchDetails
    result: tuple[Model, ...] = ()

    @model_validator(mode="after")
    def _says_so(self) -> Self:
        """Refuse a cut answer, which must not count as "nothing found"."""
        time = self.details.timestamp or self.details.view_timestamp
        if not self.result and not time:
            raise ValueError("neither rows nor the time of the search")
        return self


class SearchReply(ListReply):
    """POST `/v2/organizations/_search`."""

    result: tuple[FoundOrganization, ...] = ()


class InstanceBody(Model):
    """`zitadel.instance.v1.InstanceDetail`."""

    id: Id
    version: str = ""


class InstanceReply(Model):
    """GET `/admin/v1/instances/me`."""

    instance: InstanceBody


class UserBody(Model):
    """`zitadel.user.v1.User`."""

    id: Id
    user_name: str = Field(default="", alias="userName")


class UserReply(Model):
    """GET `/auth/v1/users/me`."""

    user: UserBody


class PermissionsReply(Model):
    """POST `/auth/v1/permissions/zitadel/me/_search`; no `result` if there are none."""

    result: tuple[str, ...] = ()


class Membership(Model):
    """`zitadel.user.v1.Membership` in the instance, an organization or a project."""

    organization_id: str = Field(default="", alias="orgId")
    roles: tuple[str, ...] = ()


class MembershipsReply(ListReply):
    """POST `/auth/v1/memberships/me/_search`."""

    result: tuple[Membership, ...] = ()


class DiscoveryReply(Model):
    """GET `/.well-known/openid-configuration` (OpenID Connect Discovery)."""

    issuer: Id


class TokenReply(Model):
    """POST `/oauth/v2/token` (RFC 6749, section 5.1)."""

    access_token: str = Field(min_length=1, repr=False)
    expires_in: int = Field(default=0, ge=0)


class TokenErrorReply(Model):
    """A refusal of the token endpoint (RFC 6749, section 5.2)."""

    error: str
    error_description: str = ""


def _named_in(details: object) -> tuple[str, ...]:
    """Return the error ids in the `details` of an error; any JSON may stand there.

    `zitadel.v1.ErrorDetail` has `id`, `zitadel.error.v2.ErrorDetail` has `slug`. There
    may be objects of other types and of any shape. The ids of ZITADEL's own types come
    first.
    """
    if isinstance(details, dict):
        details = [details]
    if not isinstance(details, list | tuple):
        return ()
    objects = [detail for detail in details if isinstance(detail, dict)]
    objects.sort(key=lambda one: not str(one.get("@type")).endswith(".ErrorDetail"))
    found = [one.get(name) for one in objects for name in ("id", "slug")]
    return tuple(name for name in found if isinstance(name, str) and name)


class ErrorReply(Model):
    """The body of every refusal by ZITADEL itself.

    Attributes:
        code: The gRPC code, not the HTTP status.
        message: The message; empty if it is not text.
        ids: The ids in `details`, which are absent for wrong hosts, unknown routes and
            unreadable bodies, and in older versions also if the database is down.
    """

    code: int
    message: Annotated[
        str, BeforeValidator(lambda text: text if isinstance(text, str) else "")
    ] = ""
    ids: Annotated[tuple[str, ...], BeforeValidator(_named_in)] = Field(
        default=(), alias="details"
    )
