"""The kinds as JSON, and the way from there to the core's records and back.

The models mirror the CRDs' defaults and ignore what they do not know, so that an
older operator reads newer objects.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from zitadel_notification_operator.cluster.names import (
    ACCEPT_INSTANCE,
    ORIGINAL,
    REQUESTED_AT,
)
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.durations import parse_duration
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.objects import (
    Endpoint,
    InstanceObject,
    InstanceStatus,
    PolicyObject,
    PolicyStatus,
    RateLimit,
    SecretRef,
)
from zitadel_notification_operator.core.original import Original, OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)


class UnusableObject(ValueError):
    """An object does not fit its schema: it is older than the CRD's rules."""


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="ignore", alias_generator=to_camel, populate_by_name=True, frozen=True
    )


class _Metadata(_Model):
    name: str
    uid: str
    namespace: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    resource_version: str = ""
    finalizers: tuple[str, ...] = ()
    annotations: dict[str, str] = Field(default_factory=dict)


class _Condition(_Model):
    type: str
    status: str
    reason: str
    message: str
    observed_generation: int = 0
    last_transition_time: str = ""


class _Original(_Model):
    is_default: bool
    password_change: bool | None = None


class _Reference(_Model):
    name: str = "default"


class _Organization(_Model):
    id: str | None = None
    of_credential: bool = False


class _PolicySpec(_Model):
    scope: Scope
    instance_ref: _Reference = _Reference()
    organization: _Organization = _Organization()
    password_change: bool
    management_policy: ManagementPolicy = ManagementPolicy.MANAGE
    deletion_policy: DeletionPolicy | None = None
    suspend: bool = False


class _PolicyStatus(_Model):
    observed_generation: int = -1
    conditions: tuple[_Condition, ...] = ()
    organization_id: str | None = None
    organization_name: str | None = None
    is_default: bool | None = None
    password_change: bool | None = None
    sequence: str | None = None
    creation_date: str | None = None
    change_date: str | None = None
    resource_owner: str | None = None
    original: _Original | None = None
    last_handled_reconcile_at: str | None = None


class _Policy(_Model):
    metadata: _Metadata
    spec: _PolicySpec
    status: _PolicyStatus = _PolicyStatus()


class _SecretRef(_Model):
    name: str
    key: str = "token"


class _Token(_Model):
    secret_ref: _SecretRef


class _Credentials(_Model):
    personal_access_token: _Token


class _RateLimit(_Model):
    requests_per_second: int = 50
    burst: int = 100
    max_concurrent: int = 8


class _DriftDetection(_Model):
    poll_interval: str = "10m"


class _Grant(_Model):
    namespaces: tuple[str, ...]
    scopes: frozenset[Scope] = frozenset({Scope.ORGANIZATION})


class _InstanceSpec(_Model):
    url: str
    external_domain: str | None = None
    credentials: _Credentials
    rate_limit: _RateLimit = _RateLimit()
    drift_detection: _DriftDetection = _DriftDetection()
    grants: tuple[_Grant, ...] = ()


class _InstanceStatus(_Model):
    observed_generation: int = -1
    conditions: tuple[_Condition, ...] = ()
    instance_id: str | None = None
    policies: int | None = None
    last_handled_reconcile_at: str | None = None


class _Instance(_Model):
    metadata: _Metadata
    spec: _InstanceSpec
    status: _InstanceStatus = _InstanceStatus()


def parse_policy(body: Mapping[str, Any]) -> PolicyObject:
    """Make a record of a NotificationPolicy's JSON.

    Raises:
        UnusableObject: A field is missing or of a wrong type; the text names it.
    """
    try:
        model = _Policy.model_validate(body)
    except ValidationError as error:
        raise UnusableObject(_sentence(body, error)) from error
    metadata, spec = model.metadata, model.spec
    text = metadata.annotations.get(ORIGINAL)
    return PolicyObject(
        key=PolicyKey(metadata.namespace, metadata.name),
        uid=metadata.uid,
        generation=metadata.generation,
        created=metadata.creation_timestamp,
        scope=spec.scope,
        instance=spec.instance_ref.name,
        password_change=spec.password_change,
        organization_id=spec.organization.id,
        of_credential=spec.organization.of_credential,
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
        model = _Instance.model_validate(body)
        poll_interval = parse_duration(model.spec.drift_detection.poll_interval)
    except ValidationError as error:
        raise UnusableObject(_sentence(body, error)) from error
    except ValueError as error:
        raise UnusableObject(f"spec.driftDetection.pollInterval: {error}") from error
    metadata, spec = model.metadata, model.spec
    ref = spec.credentials.personal_access_token.secret_ref
    limit = spec.rate_limit
    status = model.status
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
        token_ref=SecretRef(ref.name, ref.key),
        poll_interval=poll_interval,
        grants=tuple(Grant(grant.namespaces, grant.scopes) for grant in spec.grants),
        deleting=metadata.deletion_timestamp is not None,
        finalizers=metadata.finalizers,
        requested_at=metadata.annotations.get(REQUESTED_AT) or None,
        accepted_id=metadata.annotations.get(ACCEPT_INSTANCE),
        status=InstanceStatus(
            status.observed_generation,
            _conditions(status.conditions),
            status.instance_id,
            status.policies,
            status.last_handled_reconcile_at,
        ),
        resource_version=metadata.resource_version,
    )


def policy_status_json(status: PolicyStatus) -> dict[str, Any]:
    """Return `status` as the CRD writes it; absent fields are left out."""
    conditions = tuple(_condition_model(c) for c in status.conditions)
    original = status.original
    model = _PolicyStatus(
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
        original=_Original(
            is_default=original.is_default, password_change=original.password_change
        )
        if original is not None
        else None,
        last_handled_reconcile_at=status.last_handled_reconcile_at,
    )
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def instance_status_json(status: InstanceStatus) -> dict[str, Any]:
    """Return `status` as the CRD writes it; absent fields are left out."""
    model = _InstanceStatus(
        observed_generation=status.observed_generation,
        conditions=tuple(_condition_model(c) for c in status.conditions),
        instance_id=status.instance_id,
        policies=status.policies,
        last_handled_reconcile_at=status.last_handled_reconcile_at,
    )
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _policy_status(model: _PolicyStatus) -> PolicyStatus:
    original = model.original
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
        OriginalValue(original.is_default, original.password_change)
        if original is not None
        else None,
        model.last_handled_reconcile_at,
    )


def _conditions(models: tuple[_Condition, ...]) -> tuple[Condition, ...]:
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
    )


def _condition_model(condition: Condition) -> _Condition:
    return _Condition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        observed_generation=condition.observed_generation,
        last_transition_time=condition.last_transition_time,
    )


def _sentence(body: Mapping[str, Any], error: ValidationError) -> str:
    first = error.errors()[0]
    name = dict(body.get("metadata") or {}).get("name", "?")
    where = ".".join(str(part) for part in first["loc"])
    return f"{body.get('kind', 'object')} {name}: {where}: {first['msg']}"
