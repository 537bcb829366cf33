"""The metrics of single objects: conditions, last success, expiry of the credential.

They are computed from the inventory at each scrape, so no series is stored for an
object, and none outlives it. Ten thousand policies are megabytes of text, so it is made
in small parts, between which the event loop runs other tasks. Only the leader reports
objects, so that each one is reported once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Protocol

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import (
    IN_SYNC,
    READY,
    RECONCILING,
    STALLED,
    Condition,
    find,
)
from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.objects import (
    DriftMethod,
    InstanceObject,
    PolicyObject,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.telemetry.definitions import (
    CREDENTIAL_EXPIRY,
    DEPRECATED_CALLS,
    DRIFT_DEGRADED,
    DRIFT_DETECTION,
    LAST_SYNC,
    STATUS_CONDITION,
    SUNSET,
    ZITADEL_INCONSISTENT,
)

POLICY = "NotificationPolicy"
INSTANCE = "ZitadelInstance"

PART = 200
"""Objects in one part of the text, which is about a millisecond of work."""

_TYPES = frozenset({READY, IN_SYNC, RECONCILING, STALLED})


class Inventory(Protocol):
    """The known objects of the cluster; the engine's class has this shape."""

    @property
    def policies(self) -> Mapping[PolicyKey, PolicyObject]:
        """The policies by namespace and name."""
        ...

    @property
    def instances(self) -> Mapping[str, InstanceObject]:
        """The instances by name."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What is reported of one object. Kubernetes names need no escaping.

    Attributes:
        labels: Kind, namespace and name, in the form of a sample line.
        synced: When a pass last succeeded, in seconds since 1970, or None.
    """

    labels: str
    conditions: tuple[Condition, ...]
    synced: float | None


@dataclass(slots=True)
class ObjectMetrics:
    """Produces the text of the metrics of all objects.

    Attributes:
        inventory: The known objects; None until there is an inventory.
        is_told: Returns whether this replica reports objects.
        deprecated: The calls that an instance's ZITADEL has marked as deprecated, by
            the instance's name.
        synced: When a pass over an object last succeeded, in seconds since 1970, by
            namespace (empty for instances) and name.
    """

    is_told: Callable[[], bool]
    inventory: Inventory | None = None
    synced: dict[tuple[str, str], float] = field(default_factory=dict)
    deprecated: dict[str, Deprecation | None] = field(default_factory=dict)

    def parts(self) -> Iterator[bytes]:
        """Return the text in parts; the inventory may change between two of them."""
        told = self.inventory is not None and self.is_told()
        inventory = self.inventory if told else None
        for definition, lines in (
            (STATUS_CONDITION, _condition_lines),
            (LAST_SYNC, _sync_lines),
            (ZITADEL_INCONSISTENT, _inconsistent_lines),
        ):
            yield definition.head().encode()
            subjects = self._subjects(inventory)
            while part := list(islice(subjects, PART)):
                yield "".join(line for one in part for line in lines(one)).encode()
        yield CREDENTIAL_EXPIRY.head().encode()
        instances = inventory.instances.values() if inventory else ()
        yield "".join(_expiry_lines(instances)).encode()
        for definition, line_of in (
            (DRIFT_DETECTION, _detection_lines),
            (DRIFT_DEGRADED, _degraded_lines),
        ):
            yield definition.head().encode()
            found = inventory.instances.values() if inventory else ()
            yield "".join(line for one in found for line in line_of(one)).encode()
        marked = {
            one.name: self.deprecated[one.name]
            for one in instances
            if one.name in self.deprecated
        }
        yield DEPRECATED_CALLS.head().encode()
        yield "".join(_deprecated_lines(marked)).encode()
        yield SUNSET.head().encode()
        yield "".join(_sunset_lines(marked)).encode()

    def _subjects(self, inventory: Inventory | None) -> Iterator[Subject]:
        if inventory is None:
            return
        for instance in list(inventory.instances.values()):
            synced = self.synced.get(("", instance.name))
            labels = f'kind="{INSTANCE}",namespace="",name="{instance.name}"'
            yield Subject(labels, instance.status.conditions, synced)
        for policy in list(inventory.policies.values()):
            namespace, name = policy.key
            labels = f'kind="{POLICY}",namespace="{namespace}",name="{name}"'
            synced = self.synced.get(policy.key)
            yield Subject(labels, policy.status.conditions, synced)


def _condition_lines(subject: Subject) -> Iterator[str]:
    for condition in subject.conditions:
        if condition.type not in _TYPES:
            continue
        head = f'{STATUS_CONDITION.name}{{{subject.labels},type="{condition.type}"'
        is_true = int(condition.status == "True")
        is_false = int(condition.status == "False")
        yield f'{head},status="True"}} {is_true}\n{head},status="False"}} {is_false}\n'
        if not is_true and not is_false:
            yield f'{head},status="Unknown"}} 1\n'


def _sync_lines(subject: Subject) -> Iterator[str]:
    if subject.synced is not None:
        yield f"{LAST_SYNC.name}{{{subject.labels}}} {subject.synced:.3f}\n"


def _inconsistent_lines(subject: Subject) -> Iterator[str]:
    ready = find(subject.conditions, READY)
    if ready is not None and ready.reason == Reason.ZITADEL_INCONSISTENT:
        yield f"{ZITADEL_INCONSISTENT.name}{{{subject.labels}}} 1\n"


def _expiry_lines(instances: Iterable[InstanceObject]) -> Iterator[str]:
    for instance in instances:
        told = instance.status.credential_expires_at
        if told is None:
            continue
        try:
            end = datetime.fromisoformat(told).timestamp()
        except ValueError:
            continue  # anyone may write a status; ours has a time there
        yield f'{CREDENTIAL_EXPIRY.name}{{name="{instance.name}"}} {end:.0f}\n'


def _detection_lines(instance: InstanceObject) -> Iterator[str]:
    told = instance.status.drift_detection
    if told is None:
        return
    for method in (DriftMethod.EVENTS, DriftMethod.POLL, DriftMethod.DISABLED):
        labels = f'name="{instance.name}",method="{method}"'
        yield f"{DRIFT_DETECTION.name}{{{labels}}} {int(told.method is method)}\n"


def _degraded_lines(instance: InstanceObject) -> Iterator[str]:
    told = instance.status.drift_detection
    if told is None:
        return
    degraded = int(instance.is_degraded(told))
    yield f'{DRIFT_DEGRADED.name}{{name="{instance.name}"}} {degraded}\n'


def _deprecated_lines(marked: Mapping[str, Deprecation | None]) -> Iterator[str]:
    for name, found in marked.items():
        number = len(found.calls) if found else 0
        yield f'{DEPRECATED_CALLS.name}{{name="{name}"}} {number}\n'


def _sunset_lines(marked: Mapping[str, Deprecation | None]) -> Iterator[str]:
    for name, found in marked.items():
        if found is not None and found.ends_at is not None:
            yield f'{SUNSET.name}{{name="{name}"}} {found.ends_at:.0f}\n'
