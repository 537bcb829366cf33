"""The JSON of ZITADEL's replies, as far as it is read.

ZITADEL leaves out `false`, `0` and empty text, so an absent boolean is false, but
only in a policy that is really there: one with `details`. Types are strict, because
a proxy's or a broken server's JSON must never pass for a value. Unknown fields are
ignored: newer versions add some.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _as_text(value: object) -> object:
    """Accept uint64 as text, as ZITADEL sends it, and as a number, as others might."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


Sequence = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[0-9]{1,20}$")]
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


class InstanceBody(Model):
    """`zitadel.instance.v1.InstanceDetail`."""

    id: Id


class InstanceReply(Model):
    """GET `/admin/v1/instances/me`."""

    instance: InstanceBody


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
