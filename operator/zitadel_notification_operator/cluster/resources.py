"""The kinds as JSON, and the way from there to the core's records and back.

The models are in `cluster.models`; what does not fit them is told by field, and
without its value: an object may hold anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import ValidationError

from zitadel_notification_operator.cluster.models import (
    CapabilitiesModel,
    ConditionModel,
    DriftModel,
    EditorModel,
    InstanceModel,
    InstanceStatusModel,
    OriginalModel,
    PolicyModel,
    PolicyStatusModel,
    UserModel,
)
from zitadel_notification_operator.cluster.names import (
    ACCEPT_INSTANCE,
    ORIGINAL,
    REQUESTED_AT,
)
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import OWN_TYPES, Condition
from zitadel_notification_operator.core.durations import parse_duration
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.identity import Capabilities, User
from zitadel_notification_operator.core.objects import (
    Drift,
    Endpoint,
    InstanceObject,
    InstanceStatus,
    PolicyObject,
    PolicyStatus,
    RateLimit,
)
from zitadel_notification_operator.core.original import Original, OriginalValue

T = TypeVar("T")


class UnusableObject(ValueError):
    """An object does not fit its schema: it is older than the CRD's rules."""


def parse_policy(body: Mapping[str, Any]) -> PolicyObject:
    """Make a record of a NotificationPolicy's JSON.

    Raises:
        UnusableObject: A field is missing or of a wrong type; the text names it.
    """
    try:
        model = PolicyModel.model_validate(body)
    except ValidationError as error:
        raise UnusableObject(_sentence(body, error)) from error
    metadata, spec = model.metadata, model.spec
    references = spec.organization.references()
    text = metadata.annotations.get(ORIGINAL)
    return PolicyObject(
        key=PolicyKey(metadata.namespace, metadata.name),
        uid=metadata.uid,
        generation=metadata.generation,
        created=metadata.creation_timestamp,
        scope=spec.scope,
        instance=spec.instance_ref.name,
        password_change=spec.password_change,
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
        resource_version=metadata.resource_version,
    )


def parse_instance(body: Mapping[str, Any]) -> InstanceObject:
    """Make a record of a ZitadelInstance's JSON.

    Raises:
        UnusableObject: A field is missing or of a wrong type; the text names it.
    """
    try:
        model = InstanceModel.model_validate(body)
        drift = model.spec.drift_detection
        events_interval = parse_duration(drift.events_interval)
        poll_interval = parse_duration(drift.poll_interval)
    except ValidationError as error:
        raise UnusableObject(_sentence(body, error)) from error
    except ValueError as error:
        raise UnusableObject(f"spec.driftDetection: {error}") from error
    metadata, spec = model.metadata, model.spec
    limit = spec.rate_limit
    return InstanceObject(
        name=metadata.name,
        uid=metadata.uid,
        generation=metadata.generation,
        created=metadata.creation_timestamp,
        endpoint=Endpoint(
            spec.url,
            spec.external_domain,
            RateLimit(limit.requests_per_second, limit.burst, limit.max_concurrent),
        ),
        credential=spec.credentials.ref(),
        ca=spec.ca_bundle.ref() if spec.ca_bundle is not None else None,
        method=drift.method,
        events_interval=events_interval,
        poll_interval=poll_interval,
        grants=tuple(
            Grant(grant.namespaces, grant.scopes, grant.references())
            for grant in spec.grants
        ),
        deleting=metadata.deletion_timestamp is not None,
        finalizers=metadata.finalizers,
        requested_at=metadata.annotations.get(REQUESTED_AT) or None,
        accepted_id=metadata.annotations.get(ACCEPT_INSTANCE),
        status=_instance_status(model.status),
        resource_version=metadata.resource_version,
    )


def parse_answer(parse: Callable[[Mapping[str, Any]], T], body: Any) -> T:
    """Parse what Kubernetes answered to a call about one object.

    Raises:
        ClusterError: It does not fit the schema. Never taken for an absent object.
    """
    try:
        return parse(body)
    except UnusableObject as error:
        raise ClusterError(f"Kubernetes holds an unusable object: {error}") from error


def policy_status_json(status: PolicyStatus) -> dict[str, Any]:
    """Return `status` as the CRD writes it; absent fields are left out."""
    conditions = tuple(_condition_model(c) for c in status.conditions)
    model = PolicyStatusModel(
        observed_generation=status.observed_generation,
        conditions=conditions,
        organization_id=status.organization_id,
        organization_name=status.organization_name,
        is_default=status.is_default,
        password_change=status.password_change,
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
    """Return `status` as the CRD writes it; absent fields are left out."""
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
        model.password_change,
        model.sequence,
        model.creation_date,
        model.change_date,
        model.resource_owner,
        _original(model.original) if model.original else None,
        _drift(model.last_drift) if model.last_drift else None,
        model.last_handled_reconcile_at,
    )


def _original(model: OriginalModel) -> OriginalValue:
    return OriginalValue(model.is_default, model.password_change)


def _original_model(value: OriginalValue) -> OriginalModel:
    return OriginalModel(
        is_default=value.is_default, password_change=value.password_change
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
    )


def _conditions(models: tuple[ConditionModel, ...]) -> tuple[Condition, ...]:
    """Return the conditions that are ours; others' types are not our business."""
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
    return ConditionModel(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        observed_generation=condition.observed_generation,
        last_transition_time=condition.last_transition_time,
    )


def _sentence(body: Mapping[str, Any], error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    metadata = body.get("metadata")
    names = metadata if isinstance(metadata, Mapping) else {}
    where = ".".join(str(part) for part in first["loc"])
    path = "/".join(str(names[k]) for k in ("namespace", "name") if names.get(k))
    what = first["msg"].removeprefix("Value error, ")
    return f"{body.get('kind', 'object')} {path or '?'}: {where}: {what}"
