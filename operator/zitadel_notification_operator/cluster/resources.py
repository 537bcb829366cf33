"""Converts between the kinds' JSON and the core's records.

The models are in `cluster.models`. An object that does not fit them is read field by
field in `cluster.lenience`. The problems name fields but never quote values, because an
object may hold anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError, create_model

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.credentials import (
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.durations import parse_duration
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.objects import (
    Endpoint,
    InstanceObject,
    InstanceStatus,
    NotUnderstood,
    PolicyObject,
    PolicySpec,
    PolicyStatus,
    RateLimit,
)
from zitadel_notification_operator.core.original import Original
from zitadel_notification_operator.core.policy import Scope

from .lenience import (
    describe_problems,
    read_fields,
    read_metadata,
    read_status,
    shorten,
)
from .models import NO_TARGET, CredentialsModel, InstanceSpecModel, MetadataModel, Model
from .names import ACCEPT_INSTANCE, INSTANCE_KIND, ORIGINAL, POLICY_KIND, REQUESTED_AT
from .records import arguments_of, model_of, names_of, readable, to_json

T = TypeVar("T")

_NO_CREDENTIAL = CredentialRef(CredentialKind.TOKEN, "", "")
"""Placeholder for an unreadable credential; its instance is never connected."""


class UnusableObject(ValueError):
    """An object has no name or uid, so nothing can be reported about it or written."""


class _Kind(NamedTuple):
    """How the objects of a kind are read.

    Attributes:
        spec: Reads the spec.
        status: The record of the status.
        whole: Reads the whole object.
        placeholders: Values of required fields of the spec that cannot be read.
    """

    spec: type[Model]
    status: type[Any]
    whole: type[Model]
    placeholders: dict[str, Any]


def _kind(spec: type[Model], status: type[Any], **placeholders: Any) -> _Kind:
    fields: dict[str, Any] = {
        "metadata": (MetadataModel, ...),
        "spec": (spec, ...),
        "status": (readable(status), status()),
    }
    whole = create_model("Whole", __base__=Model, **fields)
    return _Kind(spec, status, whole, placeholders)


_POLICY = _kind(model_of(PolicySpec), PolicyStatus, scope=Scope.ORGANIZATION)
_INSTANCE = _kind(
    InstanceSpecModel,
    InstanceStatus,
    url="",
    credentials=CredentialsModel.model_construct(),
)

STATUS_FIELDS = {
    POLICY_KIND: names_of(PolicyStatus),
    INSTANCE_KIND: names_of(InstanceStatus),
}
"""The status fields that the operator writes, by kind, with their JSON names."""

UNKNOWN_AGE = "9999-12-31T23:59:59Z"
"""Placeholder for an unreadable creationTimestamp; no other object is younger."""


def parse_policy(body: Mapping[str, Any]) -> PolicyObject:
    """Return the record of a NotificationPolicy's JSON.

    If the spec is not understood, the record says so. Unreadable fields of the status
    are left out, so that they are observed again.

    Raises:
        UnusableObject: The object has no readable name or uid.
    """
    metadata, spec, status, unread, wrong = _read(_POLICY, body)
    _settle_target(spec.__dict__, wrong)
    text = metadata.annotations.get(ORIGINAL)
    policy = PolicyObject(
        key=PolicyKey(metadata.namespace, metadata.name),
        uid=metadata.uid,
        generation=metadata.generation,
        created=metadata.creation_timestamp,
        deleting=metadata.deletion_timestamp is not None,
        finalizers=metadata.finalizers,
        original=None if text is None else Original.from_text(text),
        original_text=text,
        requested_at=metadata.annotations.get(REQUESTED_AT) or None,
        status=status,
        not_understood=_not_understood(unread, wrong, body),
        resource_version=metadata.resource_version,
        **arguments_of(PolicySpec, spec.__dict__),
    )
    return policy if policy.can_read("scope") else _with_recorded_scope(policy)


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


def _with_recorded_scope(policy: PolicyObject) -> PolicyObject:
    """Set an unknown scope to that of the target which the policy has managed."""
    original = policy.original
    if original is None or original.uid != policy.uid:
        return policy
    if original.target.organization_id is not None:
        return policy
    return replace(policy, scope=Scope.INSTANCE)


def parse_instance(body: Mapping[str, Any]) -> InstanceObject:
    """Return the record of a ZitadelInstance's JSON, as `parse_policy` does.

    Raises:
        UnusableObject: The object has no readable name or uid.
    """
    metadata, found, status, unread, wrong = _read(_INSTANCE, body)
    spec: InstanceSpecModel = found
    drift = spec.drift_detection
    return InstanceObject(
        key=ObjectKey("", metadata.name),
        uid=metadata.uid,
        generation=metadata.generation,
        created=metadata.creation_timestamp,
        endpoint=Endpoint(
            spec.url,
            spec.external_domain,
            RateLimit(**spec.rate_limit.model_dump()),
        ),
        credential=_NO_CREDENTIAL if "credentials" in wrong else spec.credentials.ref(),
        ca=spec.ca_bundle.ref() if spec.ca_bundle is not None else None,
        method=drift.method,
        events_interval=parse_duration(drift.events_interval),
        poll_interval=parse_duration(drift.poll_interval),
        grants=tuple(
            Grant(grant.namespaces, grant.scopes, grant.references())
            for grant in spec.grants
        ),
        deleting=metadata.deletion_timestamp is not None,
        finalizers=metadata.finalizers,
        requested_at=metadata.annotations.get(REQUESTED_AT) or None,
        accepted_id=metadata.annotations.get(ACCEPT_INSTANCE),
        status=status,
        not_understood=_not_understood(unread, wrong, body),
        resource_version=metadata.resource_version,
    )


def _read(
    kind: _Kind, body: Mapping[str, Any]
) -> tuple[MetadataModel, Any, Any, dict[str, str], dict[str, str]]:
    """Read an object, and field by field if the whole cannot be read.

    Returns:
        Metadata, spec and status, and what is wrong with fields of metadata and spec.
    """
    try:
        whole: Any = kind.whole.model_validate(body)
    except ValidationError:
        metadata, unread = _read_metadata(body)
        values, wrong = read_fields(kind.spec, body.get("spec"))
        spec = kind.spec.model_construct(**{**kind.placeholders, **values})
        status = read_status(kind.status, body.get("status", {}))
        return metadata, spec, status, unread, wrong
    return whole.metadata, whole.spec, whole.status, {}, {}


def _read_metadata(body: Mapping[str, Any]) -> tuple[MetadataModel, dict[str, str]]:
    """Read metadata; raise UnusableObject if name or uid cannot be read."""
    found = read_metadata(body.get("metadata"))
    if found is None:
        kind = body.get("kind")
        what = kind if kind in {POLICY_KIND, INSTANCE_KIND} else "object"
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


def parse_answer(parse: Callable[[Mapping[str, Any]], T], body: Any) -> T:
    """Parse the response of Kubernetes to a call about one object.

    Raises:
        ClusterError: The response has no name or uid. That must not be taken for an
            absent object.
    """
    try:
        return parse(body)
    except UnusableObject as error:
        raise ClusterError(f"Kubernetes gave an unusable answer: {error}") from error


def policy_status_json(status: PolicyStatus) -> dict[str, Any]:
    """Return the `status` as the CRD defines it, without absent fields."""
    return to_json(status)


def instance_status_json(status: InstanceStatus) -> dict[str, Any]:
    """Return the `status` as the CRD defines it, without absent fields."""
    return to_json(status)
