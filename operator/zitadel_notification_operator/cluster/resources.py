"""Converts between the kinds' JSON and the core's records.

The models are in `cluster.models`. An object that does not fit them is read field by
field in `cluster.lenience`. The problems name fields but never quote values, because an
object may hold anything.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, TypeVar

from pydantic import ValidationError

from zitadel_notification_operator.cluster.lenience import (
    describe_problems,
    read_fields,
    read_metadata,
    read_status,
    shorten,
)
from zitadel_notification_operator.cluster.models import (
    NO_TARGET,
    CapabilitiesModel,
    ConditionModel,
    CredentialsModel,
    DriftDetectionStatusModel,
    DriftModel,
    EditorModel,
    InstanceModel,
    InstanceSpecModel,
    InstanceStatusModel,
    MetadataModel,
    OrganizationModel,
    OriginalModel,
    PolicyModel,
    PolicySpecModel,
    PolicyStatusModel,
    ReferenceModel,
    UserModel,
)
from zitadel_notification_operator.cluster.names import (
    ACCEPT_INSTANCE,
    INSTANCE_KIND,
    ORIGINAL,
    POLICY_KIND,
    REQUESTED_AT,
)
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import OWN_TYPES, Condition
from zitadel_notification_operator.core.credentials import (
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.durations import parse_duration
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.identity import Capabilities, User
from zitadel_notification_operator.core.objects import (
    Drift,
    DriftDetection,
    DriftMethod,
    Endpoint,
    InstanceObject,
    InstanceStatus,
    NotUnderstood,
    PolicyObject,
    PolicyStatus,
    RateLimit,
)
from zitadel_notification_operator.core.original import Original, OriginalValue
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.settings import NO_SETTINGS

T = TypeVar("T")
S = TypeVar("S", PolicyStatusModel, InstanceStatusModel)

_NOBODY = ReferenceModel(name="")
_NO_CREDENTIAL = CredentialRef(CredentialKind.TOKEN, "", "")
"""Placeholder for an unreadable credential; its instance is never connected."""

_DETECTIONS = frozenset(DriftMethod) - {DriftMethod.AUTO}
"""The allowed values of `status.driftDetection.method`."""


class UnusableObject(ValueError):
    """An object has no name or uid, so nothing can be reported about it or written."""


STATUS_FIELDS = {
    kind: frozenset(field.alias or name for name, field in model.model_fields.items())
    for kind, model in (
        (POLICY_KIND, PolicyStatusModel),
        (INSTANCE_KIND, InstanceStatusModel),
    )
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
    model, not_understood = _read_policy(body)
    metadata, spec = model.metadata, model.spec
    references = spec.organization.references()
    text = metadata.annotations.get(ORIGINAL)
    policy = PolicyObject(
        key=PolicyKey(metadata.namespace, metadata.name),
        uid=metadata.uid,
        generation=metadata.generation,
        created=metadata.creation_timestamp,
        scope=spec.scope,
        instance=spec.instance_ref.name,
        settings=spec.settings,
        organization=references[0] if references else None,
        management=spec.management_policy,
        deletion=spec.deletion_policy,
        suspended=spec.suspend,
        deleting=metadata.deletion_timestamp is not None,
        finalizers=metadata.finalizers,
        original=None if text is None else Original.from_text(text),
        original_text=text,
        requested_at=metadata.annotations.get(REQUESTED_AT) or None,
        status=_policy_status(model.status),
        not_understood=not_understood,
        resource_version=metadata.resource_version,
    )
    return policy if policy.can_read("scope") else _with_recorded_scope(policy)


def _read_policy(body: Mapping[str, Any]) -> tuple[PolicyModel, NotUnderstood | None]:
    with suppress(ValidationError):
        return PolicyModel.model_validate(body), None
    metadata, problems = _read_metadata(body)
    values, wrong = read_fields(PolicySpecModel, body.get("spec"))
    left_out = NO_SETTINGS.by_name()
    values = {"scope": Scope.ORGANIZATION, **left_out, **values}
    defaults = PolicySpecModel.model_construct(**values)
    known = not wrong.keys() & {"scope", "organization"}
    if known and not defaults.organization.fits(defaults.scope):
        known = False
        wrong["organization"] = f"organization: {NO_TARGET}"
    if not known:
        defaults = defaults.model_copy(update={"organization": OrganizationModel()})
    if "instanceRef" in wrong:
        defaults = defaults.model_copy(update={"instance_ref": _NOBODY})
    status, complete = read_status(PolicyStatusModel, body.get("status", {}))
    model = PolicyModel.model_construct(
        metadata=metadata, spec=defaults, status=_as_read(status, complete=complete)
    )
    return model, _not_understood(problems, wrong, body)


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
    model, not_understood = _read_instance(body)
    metadata, spec = model.metadata, model.spec
    drift, limit = spec.drift_detection, spec.rate_limit
    is_named = not_understood is None or "credentials" not in not_understood.fields
    return InstanceObject(
        name=metadata.name,
        uid=metadata.uid,
        generation=metadata.generation,
        created=metadata.creation_timestamp,
        endpoint=Endpoint(
            spec.url,
            spec.external_domain,
            RateLimit(
                limit.requests_per_second,
                limit.burst,
                limit.max_concurrent,
                limit.max_concurrent_writes,
            ),
        ),
        credential=spec.credentials.ref() if is_named else _NO_CREDENTIAL,
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
        status=_instance_status(model.status),
        not_understood=not_understood,
        resource_version=metadata.resource_version,
    )


def _read_instance(
    body: Mapping[str, Any],
) -> tuple[InstanceModel, NotUnderstood | None]:
    with suppress(ValidationError):
        return InstanceModel.model_validate(body), None
    metadata, problems = _read_metadata(body)
    values, wrong = read_fields(InstanceSpecModel, body.get("spec"))
    values = {"url": "", "credentials": CredentialsModel.model_construct(), **values}
    status, complete = read_status(InstanceStatusModel, body.get("status", {}))
    model = InstanceModel.model_construct(
        metadata=metadata,
        spec=InstanceSpecModel.model_construct(**values),
        status=_as_read(status, complete=complete),
    )
    return model, _not_understood(problems, wrong, body)


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


def _as_read(status: S, *, complete: bool) -> S:
    """Return a status; if it is incomplete, set its observed generation to -1.

    The object then never counts as settled, and the next pass observes and writes
    everything again.
    """
    return status if complete else status.model_copy(update={"observed_generation": -1})


def _not_understood(
    metadata: Mapping[str, str], spec: Mapping[str, str], body: Mapping[str, Any]
) -> NotUnderstood | None:
    """Return why an object is not understood, or None if only its status is wrong."""
    told = [f"metadata.{problem}" for problem in metadata.values()]
    if isinstance(body.get("spec"), Mapping):
        told += [f"spec.{problem}" for problem in spec.values()]
    elif spec:
        told.append("spec: it must be an object")
    if not told:
        return None
    fields = {f"metadata.{name}" for name in metadata} | spec.keys()
    if "scope" in spec:
        # Without a known scope, the meaning of the reference is unknown as well.
        fields.add("organization")
    problems = shorten(told)
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
    conditions = tuple(_condition_model(c) for c in status.conditions)
    model = PolicyStatusModel(
        observed_generation=status.observed_generation,
        conditions=conditions,
        organization_id=status.organization_id,
        organization_name=status.organization_name,
        is_default=status.is_default,
        **status.settings.by_name(),
        sequence=status.sequence,
        creation_date=status.creation_date,
        change_date=status.change_date,
        resource_owner=status.resource_owner,
        original=_original_model(status.original) if status.original else None,
        last_drift=_drift_model(status.last_drift) if status.last_drift else None,
        last_handled_reconcile_at=status.last_handled_reconcile_at,
    )
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def instance_status_json(status: InstanceStatus) -> dict[str, Any]:
    """Return the `status` as the CRD defines it, without absent fields."""
    model = InstanceStatusModel(
        observed_generation=status.observed_generation,
        conditions=tuple(_condition_model(c) for c in status.conditions),
        instance_id=status.instance_id,
        version=status.version,
        user=UserModel(**asdict(status.user)) if status.user else None,
        capabilities=CapabilitiesModel(**asdict(status.capabilities))
        if status.capabilities
        else None,
        credential_expires_at=status.credential_expires_at,
        policies=status.policies,
        drift_cursor=status.drift_cursor,
        drift_detection=_detection_model(status.drift_detection),
        last_handled_reconcile_at=status.last_handled_reconcile_at,
    )
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _policy_status(model: PolicyStatusModel) -> PolicyStatus:
    return PolicyStatus(
        model.observed_generation,
        _conditions(model.conditions),
        model.organization_id,
        model.organization_name,
        model.is_default,
        model.settings,
        model.sequence,
        model.creation_date,
        model.change_date,
        model.resource_owner,
        _original(model.original) if model.original else None,
        _drift(model.last_drift) if model.last_drift else None,
        model.last_handled_reconcile_at,
    )


def _original(model: OriginalModel) -> OriginalValue:
    return OriginalValue(model.is_default, model.settings)


def _original_model(value: OriginalValue) -> OriginalModel:
    return OriginalModel.model_validate(
        {"isDefault": value.is_default, **value.settings.by_name()}
    )


def _drift(model: DriftModel) -> Drift:
    editor = model.editor
    return Drift(
        model.observed_at,
        User(editor.id, editor.name) if editor else None,
        _original(model.found),
        _original(model.restored),
    )


def _drift_model(drift: Drift) -> DriftModel:
    editor = drift.editor
    return DriftModel(
        observed_at=drift.observed_at,
        editor=EditorModel(id=editor.id, name=editor.name) if editor else None,
        found=_original_model(drift.found),
        restored=_original_model(drift.restored),
    )


def _instance_status(model: InstanceStatusModel) -> InstanceStatus:
    return InstanceStatus(
        model.observed_generation,
        _conditions(model.conditions),
        model.instance_id,
        model.version,
        User(model.user.id, model.user.name) if model.user else None,
        Capabilities(**model.capabilities.model_dump()) if model.capabilities else None,
        model.credential_expires_at,
        model.policies,
        model.drift_cursor,
        model.last_handled_reconcile_at,
        _detection(model.drift_detection),
    )


def _detection(model: DriftDetectionStatusModel | None) -> DriftDetection | None:
    """Return how drift was detected, or None if the status does not say it."""
    if model is None or model.method not in _DETECTIONS:
        return None
    return DriftDetection(DriftMethod(model.method), model.reason)


def _detection_model(
    detection: DriftDetection | None,
) -> DriftDetectionStatusModel | None:
    if detection is None:
        return None
    return DriftDetectionStatusModel(method=detection.method, reason=detection.reason)


def _conditions(models: tuple[ConditionModel, ...]) -> tuple[Condition, ...]:
    """Return the operator's own conditions; those of other types are ignored."""
    return tuple(
        Condition(
            m.type,
            m.status,
            m.reason,
            m.message,
            m.observed_generation,
            m.last_transition_time,
        )
        for m in models
        if m.type in OWN_TYPES
    )


def _condition_model(condition: Condition) -> ConditionModel:
    # Not validated here: it is the API server that enforces the schema.
    return ConditionModel.model_construct(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        observed_generation=condition.observed_generation,
        last_transition_time=condition.last_transition_time,
    )
