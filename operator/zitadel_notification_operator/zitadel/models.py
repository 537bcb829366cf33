"""The JSON of ZITADEL's replies, as far as it is read.

ZITADEL leaves out `false`, `0` and empty text, so an absent boolean is false, but
only in a policy that is really there: one with `details`. Types are strict, because
a proxy's or a broken server's JSON must never pass for a value. Unknown fields are
ignored: newer versions add some.
"""

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _as_text(value: object) -> object:
    """Accept uint64 as text, as ZITADEL sends it, and as a number, as others might."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


Sequence = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[0-9]{1,20}$")]
Count = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[0-9]{1,18}$")]
Id = Annotated[str, Field(min_length=1)]


class Model(BaseModel):
    """Base of all replies; its errors never quote what they were given."""

    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )


class Details(Model):
    """`details` of a policy or of a write (`zitadel.v1.ObjectDetails`).

    Attributes:
        sequence: Of the last event in the owner's aggregate; uint64 as text.
        resource_owner: The organization's or the instance's id.
        creation_date: ZITADEL's own text; a write's reply has it after POST alone.
        change_date: Likewise; a write's reply has it after PUT and DELETE alone.
    """

    sequence: Sequence
    resource_owner: Id = Field(alias="resourceOwner")
    creation_date: str = Field(default="", alias="creationDate")
    change_date: str = Field(default="", alias="changeDate")


class Policy(Model):
    """`zitadel.policy.v1.NotificationPolicy`."""

    details: Details
    is_default: bool = Field(default=False, alias="isDefault")
    password_change: bool = Field(default=False, alias="passwordChange")


class PolicyReply(Model):
    """GET of a notification policy, of an organization, the default, the instance."""

    policy: Policy


class WriteReply(Model):
    """POST, PUT and DELETE of a notification policy."""

    details: Details


class OrganizationBody(Model):
    """`zitadel.org.v1.Org`; `state` is absent once the organization is removed."""

    id: Id
    name: str = ""
    state: str = ""


class OrganizationReply(Model):
    """GET `/management/v1/orgs/me`."""

    org: OrganizationBody


class FoundOrganization(Model):
    """`zitadel.org.v2.Organization`."""

    id: Id
    name: str = ""
    primary_domain: str = Field(default="", alias="primaryDomain")


class SearchDetails(Model):
    """`details` of a search; the total counts rows that the caller may not see."""

    total: Count = Field(default="0", alias="totalResult")
    timestamp: str = ""
    view_timestamp: str = Field(default="", alias="viewTimestamp")


class ListReply(Model):
    """Base of all searches; without a hit only `details` is there, with a time."""

    details: SearchDetails
    result: tuple[Model, ...] = ()

    @model_validator(mode="after")
    def _says_so(self) -> Self:
        """Take no half of an answer for "nothing found"."""
        told = self.details.timestamp or self.details.view_timestamp
        if not self.result and not told:
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
    """POST `/auth/v1/permissions/zitadel/me/_search`; absent without any."""

    result: tuple[str, ...] = ()


class Membership(Model):
    """`zitadel.user.v1.Membership`; of the instance, an organization or a project."""

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
    """What the token endpoint refuses with (RFC 6749, section 5.2)."""

    error: str
    error_description: str = ""


class ErrorDetail(Model):
    """`zitadel.v1.ErrorDetail`: carries the error id."""

    id: str = ""
    message: str = ""


class ErrorReply(Model):
    """The body of every refusal that ZITADEL itself makes.

    Attributes:
        code: gRPC's, not HTTP's.
        details: Absent for wrong hosts, unknown routes, unreadable bodies and a
            database that is down.
    """

    code: int
    message: str = ""
    details: tuple[ErrorDetail, ...] = ()
