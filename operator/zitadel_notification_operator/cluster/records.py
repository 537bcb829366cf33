"""Reads and writes the core's records as JSON, without a mapping for each field.

A record is the only declaration of its fields. A field has its name in JSON, where the
name is in camelCase, and its type says which values are accepted. The flags of a
record's `Settings` are members beside its other fields. `_TYPES` and `_FIELDS` say
what the types cannot say.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from types import GenericAlias, NoneType
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, create_model

from zitadel_notification_operator.core.conditions import OWN_TYPES, Condition
from zitadel_notification_operator.core.credentials import CaRef, CredentialRef
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.instance_object import (
    DriftDetection,
    DriftMethod,
    DriftSettings,
    RateLimit,
)
from zitadel_notification_operator.core.original import OriginalValue, shared_value
from zitadel_notification_operator.core.policy_object import (
    Drift,
    PolicySpec,
    PolicyStatus,
)
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.core.selection import Selector
from zitadel_notification_operator.core.set_object import Limits, SetSpec
from zitadel_notification_operator.core.settings import FLAGS, Settings
from zitadel_notification_operator.core.sharing import shared_conditions

from .models import (
    CaBundleModel,
    CredentialsModel,
    Duration,
    Model,
    OrganizationModel,
    ReferenceModel,
    SelectorModel,
    Shared,
    Time,
    json_name,
    require_time,
)

R = TypeVar("R")

_STATES = frozenset({"True", "False", "Unknown"})
"""The allowed values of a condition's status."""

_DETECTIONS = frozenset(DriftMethod) - {DriftMethod.AUTO}
"""The allowed values of `status.driftDetection.method`."""


def record_of(record: type[R], values: dict[str, Any]) -> R:
    """Return a record with these values, and with its defaults where one is missing.

    Args:
        record: The record's type.
        values: Values by the names of the model's fields. They may be changed.
    """
    return record(**arguments_of(record, values))


def arguments_of(record: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return these values as the record's arguments: flags become `Settings`."""
    if _has_settings(record):
        values["settings"] = Settings.of(values)
        for flag in FLAGS:
            values.pop(flag.name, None)
    return values


@cache
def _has_settings(record: Any) -> bool:
    return any(field.name == "settings" for field in fields(record))


@cache
def _members_of(record: Any) -> tuple[tuple[str, str], ...]:
    """Return the names of a record's fields, in Python and in JSON."""
    return tuple((field.name, json_name(field.name)) for field in fields(record))


def model_of(record: Any) -> type[Model]:
    """Return the model that reads the fields of a record; it is made once."""
    return _make_model(record)


@cache
def _make_model(record: Any) -> type[Model]:
    hints = get_type_hints(record)
    definitions: dict[str, Any] = {}
    for field in fields(record):
        hint, default = hints[field.name], field.default
        if hint is Settings:
            definitions |= _flag_fields(of_spec=default is MISSING)
            continue
        if field.default_factory is not MISSING:
            default = field.default_factory()
        elif default is MISSING:
            default = None if NoneType in get_args(hint) else ...
        definitions[field.name] = readable(hint), default
    definitions |= _FIELDS.get(record, {})
    return create_model(record.__name__, __base__=Model, **definitions)


def _flag_fields(*, of_spec: bool) -> dict[str, Any]:
    """Return the definition of a field for each flag; only a spec has to set some."""
    return {
        flag.name: (StrictBool, ...)
        if of_spec and flag.is_required
        else (StrictBool | None, None)
        for flag in FLAGS
    }


def readable(hint: Any) -> Any:
    """Return the type by which pydantic reads a field of this type."""
    if hint in _TYPES:
        return _TYPES[hint]
    if is_dataclass(hint):
        return _nested(hint)
    parts = get_args(hint)
    if parts[1:] == (...,):
        return GenericAlias(tuple, (readable(parts[0]), ...))
    return readable(parts[0]) | None if NoneType in parts else hint


def _nested(record: Any) -> Any:
    def with_settings(model: Model) -> Any:
        made = record_of(record, model.__dict__)
        if isinstance(made, OriginalValue):
            return shared_value(made.is_default, made.settings)
        return made

    def plain(model: Model) -> Any:
        return record(**model.__dict__)

    make = with_settings if _has_settings(record) else plain
    return Annotated[model_of(record), AfterValidator(make)]


def _own_conditions(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Return the operator's own conditions; those of other types are ignored."""
    own = tuple([c for c in conditions if c.type in OWN_TYPES])
    for condition in own:
        require_time(condition.last_transition_time)
        if condition.status not in _STATES:
            raise ValueError("status must be True, False or Unknown")
    return shared_conditions(own)


Conditions = Annotated[tuple[Condition, ...], AfterValidator(_own_conditions)]
"""The operator's own conditions."""


def _known_detection(detection: object) -> object:
    """Return None instead of a detection by a method that this version never sets."""
    method = detection.get("method", "") if isinstance(detection, Mapping) else None
    return None if isinstance(method, str) and method not in _DETECTIONS else detection


def _name_of(reference: ReferenceModel) -> str:
    return reference.name


def _references_of(
    organizations: tuple[OrganizationModel, ...],
) -> frozenset[Reference]:
    found = [organization.references() for organization in organizations]
    if any(len(references) != 1 for references in found):
        # Without a reference of a newer schema, the item would name nothing.
        raise ValueError("each must hold exactly one of id, name and domain")
    return frozenset(references[0] for references in found)


def _fields_of(record: Any, hint: Any, *names: str) -> dict[str, Any]:
    """Return fields of a record, with its defaults, to be read as another type."""
    found = {field.name: field.default for field in fields(record)}
    return {name: (hint, found[name]) for name in names}


_TYPES: Mapping[Any, Any] = {
    bool: StrictBool,
    CaRef: Annotated[CaBundleModel, AfterValidator(CaBundleModel.ref)],
    CredentialRef: Annotated[CredentialsModel, AfterValidator(CredentialsModel.ref)],
    Selector: Annotated[SelectorModel, AfterValidator(SelectorModel.selector)],
    User: User,
    tuple[Condition, ...]: Conditions,
    DriftDetection | None: Annotated[
        DriftDetection | None, BeforeValidator(_known_detection)
    ],
}
"""How fields of these types are read. Pydantic reads records of mere text by itself."""

_INSTANCE = Annotated[ReferenceModel, AfterValidator(_name_of)], "default"

_FIELDS: Mapping[type, Mapping[str, Any]] = {
    Drift: {"observed_at": (Time, ...)},
    DriftSettings: _fields_of(
        DriftSettings, Duration, "events_interval", "poll_interval"
    ),
    Grant: {
        "organizations": (
            Annotated[tuple[OrganizationModel, ...], AfterValidator(_references_of)]
            | None,
            None,
        ),
    },
    Limits: _fields_of(
        Limits, Annotated[int, Field(ge=0)], *(f.name for f in fields(Limits))
    ),
    PolicySpec: {
        "instance": _INSTANCE,
        "organization": (
            Annotated[OrganizationModel, AfterValidator(OrganizationModel.references)],
            (),
        ),
    },
    PolicyStatus: _fields_of(
        PolicyStatus,
        Shared | None,
        "organization_id",
        "resource_owner",
        "creation_date",
        "change_date",
    ),
    RateLimit: _fields_of(
        RateLimit, Annotated[int, Field(ge=1)], *(f.name for f in fields(RateLimit))
    ),
    SetSpec: {"instance": _INSTANCE},
}
"""Fields that are read by other types, or with other defaults, than the record's."""


def names_of(record: Any) -> frozenset[str]:
    """Return the names in JSON of the record's fields."""
    members = model_of(record).model_fields.items()
    return frozenset(field.alias or name for name, field in members)


def to_json(record: Any) -> dict[str, Any]:
    """Return a record as JSON, without fields that are None."""
    members: dict[str, Any] = {}
    for name, member in _members_of(record.__class__):
        value = getattr(record, name)
        if isinstance(value, Settings):
            members |= value.by_name()
        else:
            members[member] = value if type(value) in _PLAIN else _to_json(value)
    return {member: value for member, value in members.items() if value is not None}


def spec_of_policy(spec: PolicySpec) -> dict[str, Any]:
    """Return the spec of a policy as JSON, with its references as objects."""
    members = to_json(replace(spec, organization=None))
    members["instanceRef"] = {"name": spec.instance}
    if spec.organization is not None:
        members["organization"] = {spec.organization.by.value: spec.organization.value}
    return members


def _to_json(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return to_json(value)


_PLAIN = frozenset({str, int, bool, NoneType})
"""Types whose values are JSON already."""
