"""ZITADEL's answers as far as they are read; unknown fields are ignored.

Strict types: a text `"true"` is no boolean. A boolean may be absent (the gateway leaves
out what is false), but only inside a policy with details.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel


def _uint64(value: object) -> object:
    """Accept a number as well as the usual text for a uint64."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


Uint64 = Annotated[str, BeforeValidator(_uint64), Field(pattern=r"^[0-9]{1,20}$")]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="ignore", strict=True, frozen=True, alias_generator=to_camel
    )


class Details(_Model):
    """`details` of a policy or of a write's reply."""

    sequence: Uint64
    resource_owner: str = Field(min_length=1)
    creation_date: str = ""
    change_date: str = ""


class Policy(_Model):
    """`policy`: both booleans are absent when false."""

    details: Details
    is_default: bool = False
    password_change: bool = False


class PolicyAnswer(_Model):
    """The answer to a GET of a policy."""

    policy: Policy


class WriteAnswer(_Model):
    """The answer to a POST, PUT or DELETE of a policy."""

    details: Details


class Org(_Model):
    """`org`; a removed organization has no state."""

    id: str = Field(min_length=1)
    name: str = ""
    state: str = ""


class OrgAnswer(_Model):
    """The answer to GET /management/v1/orgs/me."""

    org: Org


class Instance(_Model):
    """`instance`, the id alone."""

    id: str = Field(min_length=1)


class InstanceAnswer(_Model):
    """The answer to GET /admin/v1/instances/me."""

    instance: Instance


class ErrorDetail(_Model):
    """One of an error's `details`."""

    id: str = ""


class ErrorAnswer(_Model):
    """An error's body; `details` is absent for errors not made by ZITADEL's code."""

    code: int
    message: str = ""
    details: tuple[ErrorDetail, ...] = ()

    @property
    def id(self) -> str:
        """ZITADEL's error id; empty when there is none."""
        return next((detail.id for detail in self.details if detail.id), "")
