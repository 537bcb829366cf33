"""The status of a ZitadelInstance after a pass; same rules as in `core.report`."""

from dataclasses import replace
from datetime import datetime

from .conditions import READY, Condition, format_time, merge
from .errors import OperatorError, TransientError
from .identity import Identity
from .instance_object import InstanceObject, InstanceStatus
from .reasons import Reason
from .report import abnormal_condition, steady_message


def instance_ready(
    instance: InstanceObject,
    identity: Identity,
    expires: datetime | None,
    now: datetime,
) -> InstanceStatus:
    """Build the status of an instance that answers and accepts the credential.

    Args:
        instance: The object as the API server holds it.
        identity: The ZITADEL that answered and the user of the credential.
        expires: When the credential expires, in UTC, if that is known.
        now: The time of the pass.
    """
    ready = Condition(
        READY,
        "True",
        Reason.SUCCEEDED,
        "ZITADEL answers and accepts the credential",
        instance.generation,
    )
    carried = _carried(instance)
    if carried.instance_id != identity.zitadel_id:
        # The events of another ZITADEL have other times and sequence numbers.
        carried = replace(carried, drift_cursor=None)
    return replace(
        carried,
        conditions=merge(instance.status.conditions, (ready,), now),
        instance_id=identity.zitadel_id,
        version=identity.version,
        user=identity.user,
        capabilities=identity.capabilities,
        credential_expires_at=format_time(expires) if expires else None,
    )


def instance_failed(
    instance: InstanceObject,
    failure: OperatorError,
    now: datetime,
    began: datetime | None = None,
) -> InstanceStatus:
    """Build the status of an instance that cannot be used at present.

    Args:
        instance: The object as the API server holds it.
        failure: The error that makes the instance unusable.
        now: The time of the pass.
        began: When the failure began, as in `core.report.abnormal_condition`.
    """
    message = steady_message(instance.status.conditions, failure)
    ready = Condition(READY, "False", failure.reason, message, instance.generation)
    abnormal = abnormal_condition(
        instance.status.conditions,
        ready,
        now,
        began,
        passing=isinstance(failure, TransientError),
    )
    return replace(
        _carried(instance),
        conditions=merge(instance.status.conditions, (abnormal, ready), now),
    )


def _carried(instance: InstanceObject) -> InstanceStatus:
    return replace(
        instance.status,
        observed_generation=instance.generation,
        last_handled_reconcile_at=instance.requested_at
        or instance.status.last_handled_reconcile_at,
    )
