"""Instances of several operators that reach one ZITADEL: only those of one may write.

Claims and the order of writes are known to one operator only. So the oldest of the
instances whose status names a ZITADEL decides which operator may write to it
(docs/how-to/several-operators.md).
"""

from collections.abc import Iterable

from .conditions import STALLED, is_true
from .instance_object import InstanceObject
from .reasons import Reason
from .serving import ServedBy


def elder_of_another_operator(
    instance: InstanceObject,
    zitadel_id: str,
    instances: Iterable[InstanceObject],
    own: ServedBy | None,
) -> InstanceObject | None:
    """Return the instance because of which this one may not write to its ZITADEL.

    Args:
        instance: The instance.
        zitadel_id: The id of the ZITADEL that it reaches.
        instances: All instances of the cluster.
        own: The operator that serves the instance. None to compare classes only.

    Returns:
        The oldest instance with this id in its status if it is of another class, or if
        another operator serves it; else None.
    """
    others = _others(instance, zitadel_id, instances)
    oldest = min([instance, *others], key=_age)
    if oldest.uid == instance.uid:
        return None
    is_of_class = _class_of(oldest) == _class_of(instance)
    is_served = own is not None and _server(oldest) not in {None, own}
    return oldest if is_served or not is_of_class else None


def unsettled_of_other_operators(
    instance: InstanceObject,
    zitadel_id: str,
    instances: Iterable[InstanceObject],
    own: ServedBy,
) -> list[InstanceObject]:
    """Return the instances whose operators may still write to a ZITADEL.

    An operator has given a ZITADEL up once the status says so: the instance is Stalled
    with `ClassConflict`, or nobody serves it.

    Args:
        instance: The instance that has the ZITADEL from now on.
        zitadel_id: The id of the ZITADEL.
        instances: All instances of the cluster.
        own: The operator that serves the instance.
    """
    return [
        one
        for one in _others(instance, zitadel_id, instances)
        if _server(one) not in {None, own}
        and not is_true(one.status.conditions, STALLED, Reason.CLASS_CONFLICT)
    ]


def _others(
    instance: InstanceObject, zitadel_id: str, instances: Iterable[InstanceObject]
) -> list[InstanceObject]:
    return [
        one
        for one in instances
        if one.status.instance_id == zitadel_id and one.uid != instance.uid
    ]


def _server(one: InstanceObject) -> ServedBy | None:
    by = one.status.served_by
    return by.operator if by is not None else None


def _age(one: InstanceObject) -> tuple[str, str]:
    return one.created, one.name


def _class_of(one: InstanceObject) -> str | None:
    return one.assignment.operator_class
