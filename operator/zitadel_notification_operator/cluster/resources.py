"""Converts between the kinds' JSON and the core's records; `FORMS` has a row per kind.

The models are in `cluster.models`. An object that does not fit them is read field by
field in `cluster.lenience`. The problems name fields but never quote values, because an
object may hold anything.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, get_type_hints

from pydantic import ValidationError, create_model

from zitadel_notification_operator.core.credentials import (
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.instance_object import (
    InstanceObject,
    InstanceSpec,
)
from zitadel_notification_operator.core.kinds import (
    INSTANCE,
    POLICY,
    SET,
    Kind,
    ObjectKey,
)
from zitadel_notification_operator.core.names import is_label
from zitadel_notification_operator.core.objects import NotUnderstood, OwnObject
from zitadel_notification_operator.core.original import Original
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.policy_object import (
    Controller,
    PolicyObject,
    PolicySpec,
)
from zitadel_notification_operator.core.release import OF_SET, tell_left
from zitadel_notification_operator.core.selection import Selector
from zitadel_notification_operator.core.set_object import SetObject, SetSpec

from .lenience import (
    describe_problems,
    read_fields,
    read_metadata,
    read_status,
    shorten,
)
from .models import NO_TARGET, MetadataModel, Model
from .names import (
    ACCEPT_INSTANCE,
    APPROVE_REMOVAL,
    GROUP,
    ORIGINAL,
    REQUESTED_AT,
    SET_LABEL,
    TAKE_OVER,
)
from .records import arguments_of, model_of, names_of, readable

_NO_CREDENTIAL = CredentialRef(CredentialKind.TOKEN, "", "")
"""Placeholder for an unreadable credential; its instance is never connected."""


class UnusableObject(ValueError):
    """An object has no name or uid, so nothing can be reported about it or written."""


class Form:
    """How the objects of a kind are read, and what of them is ours.

    Args:
        record: The record of an object.
        spec: Reads the spec.
        fields_of: Returns the fields of the record that only this kind has. It receives
            metadata, spec and what is wrong with the spec, to which it may add.
        left: Returns sentences about what stays in ZITADEL when an object is released;
            None if objects of the kind never set anything.
        placeholders: Values of required fields of the spec that cannot be read.

    Attributes:
        whole: Reads the whole object.
        status: The record of the status.
        status_fields: The fields of the status that the operator writes, in JSON.
    """

    def __init__(
        self,
        record: type[OwnObject],
        spec: type[Model],
        fields_of: Callable[[MetadataModel, Any, dict[str, str]], dict[str, Any]],
        left: Callable[[Any], tuple[str, ...]] | None = None,
        **placeholders: Any,
    ) -> None:
        self.record, self.spec, self.fields_of = record, spec, fields_of
        self.left, self.placeholders = left, placeholders
        self.status: type[Any] = get_type_hints(record)["status"]
        self.status_fields = names_of(self.status)
        members: dict[str, Any] = {
            "metadata": (MetadataModel, ...),
            "spec": (spec, ...),
            "status": (readable(self.status), self.status()),
        }
        self.whole: type[Model] = create_model("Whole", __base__=Model, **members)


UNKNOWN_AGE = "9999-12-31T23:59:59Z"
"""Placeholder for an unreadable creationTimestamp; no other object is younger."""


def parse(kind: Kind, body: Mapping[str, Any]) -> Any:
    """Return the record of an object's JSON, of the type in the form of its kind.

    If the spec is not understood, the record says so. Unreadable fields of the status
    are left out, so that they are observed again.

    Raises:
        UnusableObject: The object has no readable name or uid.
    """
    form = FORMS[kind]
    try:
        whole: Any = form.whole.model_validate(body)
    except ValidationError:
        metadata, unread = _read_metadata(kind, body)
        values, wrong = read_fields(form.spec, body.get("spec"))
        spec: Any = form.spec.model_construct(**{**form.placeholders, **values})
        status = read_status(form.status, body.get("status", {}))
    else:
        metadata, spec, status = whole.metadata, whole.spec, whole.status
        unread, wrong = {}, {}
    own_fields = form.fields_of(metadata, spec, wrong)
    return form.record(
        key=ObjectKey(metadata.namespace, metadata.name),
        uid=metadata.uid,
        generation=metadata.generation,
        created=metadata.creation_timestamp,
        deleting=metadata.deletion_timestamp is not None,
        finalizers=metadata.finalizers,
        requested_at=metadata.annotations.get(REQUESTED_AT) or None,
        status=status,
        not_understood=_not_understood(unread, wrong, body),
        resource_version=metadata.resource_version,
        **own_fields,
    )


def _fields_of_policy(
    metadata: MetadataModel, spec: Model, wrong: dict[str, str]
) -> dict[str, Any]:
    values = spec.__dict__
    _settle_target(values, wrong)
    text = metadata.annotations.get(ORIGINAL)
    original = None if text is None else Original.from_text(text)
    if (
        "scope" in wrong
        and original is not None
        and original.uid == metadata.uid
        and original.target.organization_id is None
    ):
        # An unknown scope is that of the target which the policy has managed.
        values["scope"] = Scope.INSTANCE
    own = {
        "controller": _controller_of(metadata),
        "set_label": metadata.labels.get(SET_LABEL),
        "original": original,
        "original_text": text,
    }
    return own | arguments_of(PolicySpec, values)


def _controller_of(metadata: MetadataModel) -> Controller | None:
    found = metadata.controller()
    if found is None:
        return None
    group, _, _ = found.api_version.partition("/")
    is_set = (group, found.kind) == (GROUP, SET.name)
    return _shared_controller(found.name if is_set else "", found.uid)


@lru_cache(maxsize=1024)
def _shared_controller(name: str, uid: str) -> Controller:
    """Return one record for all policies of a set."""
    return Controller(name, uid)


def _settle_target(values: dict[str, Any], wrong: dict[str, str]) -> None:
    """Reduce the references that a spec holds to the one that its scope asks for.

    A reference that this version does not know is a problem. If it were ignored, the
    object would refer to another target: without any reference it means the instance.

    Args:
        values: The fields of the spec, with defaults where they cannot be read.
        wrong: What is wrong with those.
    """
    references = values["organization"]
    if "scope" in wrong or "organization" in wrong:
        references = ()
    elif len(references) != (1 if values["scope"] is Scope.ORGANIZATION else 0):
        wrong["organization"] = f"organization: {NO_TARGET}"
        references = ()
    values["organization"] = references[0] if references else None
    if "instanceRef" in wrong:
        values["instance"] = ""


def _fields_of_instance(
    metadata: MetadataModel, spec: Model, _: dict[str, str]
) -> dict[str, Any]:
    own = {
        "accepted_id": metadata.annotations.get(ACCEPT_INSTANCE),
        "take_over": _namespace_in(metadata.annotations.get(TAKE_OVER, "")),
    }
    return own | arguments_of(InstanceSpec, spec.__dict__)


def _namespace_in(annotation: str) -> str | None:
    """Return the namespace that an annotation names, or None if it names none."""
    return annotation if is_label(annotation) else None


def _fields_of_set(
    metadata: MetadataModel, spec: Model, wrong: dict[str, str]
) -> dict[str, Any]:
    values = spec.__dict__
    if "instanceRef" in wrong:
        values["instance"] = ""
    own = {"approved": metadata.annotations.get(APPROVE_REMOVAL)}
    return own | arguments_of(SetSpec, values)


FORMS: Mapping[Kind, Form] = {
    SET: Form(
        SetObject,
        model_of(SetSpec),
        _fields_of_set,
        lambda _: (OF_SET,),
        organizations=Selector(),
    ),
    POLICY: Form(
        PolicyObject,
        model_of(PolicySpec),
        _fields_of_policy,
        tell_left,
        scope=Scope.ORGANIZATION,
    ),
    INSTANCE: Form(
        InstanceObject,
        model_of(InstanceSpec),
        _fields_of_instance,
        url="",
        credential=_NO_CREDENTIAL,
    ),
}
"""The forms of all kinds."""


def _read_metadata(
    kind: Kind, body: Mapping[str, Any]
) -> tuple[MetadataModel, dict[str, str]]:
    """Read metadata; raise UnusableObject if name or uid cannot be read."""
    found = read_metadata(body.get("metadata"))
    if found is None:
        what = kind.name if body.get("kind") == kind.name else "object"
        raise UnusableObject(f"A {what} has no name or no uid in its metadata")
    metadata, problems = found
    if problems:
        metadata = metadata.model_copy(update={"creation_timestamp": UNKNOWN_AGE})
    return metadata, problems


def _not_understood(
    metadata: Mapping[str, str], spec: Mapping[str, str], body: Mapping[str, Any]
) -> NotUnderstood | None:
    """Return why an object is not understood, or None if only its status is wrong."""
    if not metadata and not spec:
        return None
    found = [f"metadata.{problem}" for problem in metadata.values()]
    if isinstance(body.get("spec"), Mapping):
        found += [f"spec.{problem}" for problem in spec.values()]
    elif spec:
        found.append("spec: it must be an object")
    fields = {f"metadata.{name}" for name in metadata} | spec.keys()
    if "scope" in spec:
        # Without a known scope, the meaning of the reference is unknown as well.
        fields.add("organization")
    problems = shorten(found)
    sentence = describe_problems(problems)
    return NotUnderstood(sentence, frozenset(fields), problems)


def parse_answer(kind: Kind, body: Any) -> Any:
    """Parse the response of Kubernetes to a call about one object, as `parse` does.

    Raises:
        ClusterError: The response has no name or uid. That must not be taken for an
            absent object.
    """
    try:
        return parse(kind, body)
    except UnusableObject as error:
        raise ClusterError(f"Kubernetes gave an unusable answer: {error}") from error
