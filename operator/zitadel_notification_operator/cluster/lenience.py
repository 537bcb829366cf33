"""Reads as much as possible of an object that does not fit its model.

A newer schema, a rolled back image or someone's editor may leave anything in an object.
The functions here read each field by itself, so that one unreadable field does not
affect the others. `cluster.resources` decides what that means for the object. No text
that is made here contains a value of the object, because it may hold anything, secrets
included.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from zitadel_notification_operator.core.conditions import OWN_TYPES, Condition

from .models import MetadataModel, Model
from .records import Conditions, model_of, record_of

R = TypeVar("R")

_TOLD = 3
"""How many problems one sentence lists; the rest is only counted."""


class _OneCondition(Model):
    conditions: Conditions


class Reading(NamedTuple):
    """The fields of one model, each read by itself.

    Attributes:
        values: The values that could be read and the defaults of absent fields, by the
            field's Python name.
        problems: What is wrong with the other fields, by the field's name in JSON.
    """

    values: dict[str, Any]
    problems: dict[str, str]


def read_fields(model: type[BaseModel], raw: object) -> Reading:
    """Read each field of an object by itself.

    Args:
        model: The model that has the fields. Its model validators are not run.
        raw: JSON. If it is not an object, no field can be read.
    """
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    if not isinstance(raw, Mapping):
        names = model.model_fields.items()
        wrong = {field.alias or name: "it must be an object" for name, field in names}
        return Reading(values, wrong)
    body: Mapping[str, Any] = raw
    for name, field in model.model_fields.items():
        member = field.alias or name
        if member in body:
            try:
                values[name] = _adapter(model, name).validate_python(body[member])
            except ValidationError as error:
                problems[member] = first_problem(error, member)
        elif field.is_required():
            problems[member] = f"{member} is required"
        else:
            values[name] = field.get_default(call_default_factory=True)
    return Reading(values, problems)


def read_metadata(raw: object) -> tuple[MetadataModel, dict[str, str]] | None:
    """Read metadata, or return None if it has no readable name or uid.

    Returns:
        The metadata, and what is wrong with the creationTimestamp, if anything is:
        without it nobody can tell which of two objects is older. All other fields have
        a default.
    """
    body: dict[str, Any] = dict(raw) if isinstance(raw, Mapping) else {}
    found = body.get("annotations")
    annotations = found if isinstance(found, Mapping) else {}
    body["annotations"] = {
        k: v
        for k, v in annotations.items()
        if isinstance(k, str) and isinstance(v, str)
    }
    listed = body.get("finalizers")
    finalizers = listed if isinstance(listed, list | tuple) else ()
    body["finalizers"] = [one for one in finalizers if isinstance(one, str)]
    if body.get("deletionTimestamp") is not None:
        # The time itself does not matter here, only that the object is being deleted.
        body["deletionTimestamp"] = str(body["deletionTimestamp"])
    values, problems = read_fields(MetadataModel, body)
    if not values.get("name") or not values.get("uid"):
        return None
    found = {k: v for k, v in problems.items() if k == "creationTimestamp"}
    return MetadataModel.model_construct(**values), found


def read_status(record: type[R], raw: object) -> R:
    """Read a status without the fields that cannot be read.

    If there are such fields, the observed generation is -1. The object then never
    counts as settled, and the next pass observes and writes everything again.
    """
    body: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    conditions, whole = _read_conditions(body.get("conditions", ()))
    values, problems = read_fields(model_of(record), {**body, "conditions": ()})
    values["conditions"] = conditions
    if problems or not whole or not isinstance(raw, Mapping):
        values["observed_generation"] = -1
    return record_of(record, values)


def _read_conditions(raw: object) -> tuple[tuple[Condition, ...], bool]:
    """Read the operator's own conditions; those of other types are ignored."""
    if not isinstance(raw, list | tuple):
        return (), False
    found: list[Condition] = []
    complete = True
    for item in raw:
        kind = item.get("type") if isinstance(item, Mapping) else None
        if not isinstance(kind, str):
            complete = False
            continue
        if kind not in OWN_TYPES:
            continue
        try:
            found += _OneCondition.model_validate({"conditions": [item]}).conditions
        except ValidationError:
            complete = False
    return tuple(found), complete


def first_problem(error: ValidationError, where: str = "") -> str:
    """Say which field below `where` is wrong, and how, without quoting its value."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(part for part in (where, *map(str, first["loc"])) if part)
    what = first["msg"].removeprefix("Value error, ")
    return f"{path}: {what}" if path else what


def shorten(problems: list[str]) -> str:
    """Join the first problems into one text, and say how many more there are."""
    text = "; ".join(problems[:_TOLD])
    if len(problems) > _TOLD:
        text += f"; and {len(problems) - _TOLD} more"
    return text


def describe_problems(problems: str) -> str:
    """Return the message that says what is not understood and what to do about it."""
    return (
        f"This version of the operator does not understand {problems}. Nothing is "
        "written to ZITADEL for it until the object is edited, or the operator is of a "
        "version that knows it"
    )


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    return TypeAdapter(model.model_fields[name].rebuild_annotation())
