"""What is told of each object: conditions, last success, end of the credential.

Read from the inventory when scraped, so that no series is kept for an object and none
outlives it. Ten thousand policies are megabytes of text: it is made in small parts, and
the event loop goes on between them. Only the leading replica tells, so that each object
is told once.
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
)
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.telemetry.definitions import (
    CREDENTIAL_EXPIRY,
    LAST_SYNC,
    STATUS_CONDITION,
)

POLICY = "NotificationPolicy"
INSTANCE = "ZitadelInstance"

PART = 200
"""Objects in one part of the text: about a millisecond of work."""

_TYPES = frozenset({READY, IN_SYNC, RECONCILING, STALLED})


class Inventory(Protocol):
    """What is known of the cluster; the engine's has this shape."""

    @property
    def policies(self) -> Mapping[PolicyKey, PolicyObject]:
        """By namespace and name."""
        ...

    @property
    def instances(self) -> Mapping[str, InstanceObject]:
        """By name."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """One object, as far as it is told of; names of Kubernetes need no escaping.

    Attributes:
        labels: Kind, namespace and name, as they stand in a line.
        synced: Seconds since 1970; None when no pass has reached its end.
    """

    labels: str
    conditions: tuple[Condition, ...]
    synced: float | None


@dataclass(slots=True)
class ObjectMetrics:
    """Makes the text.

    Attributes:
        inventory: None until there is one.
        is_told: Whether this replica tells.
        synced: When a pass over an object last reached its end, by namespace (empty
            for instances) and name; seconds since 1970.
    """

    is_told: Callable[[], bool]
    inventory: Inventory | None = None
    synced: dict[tuple[str, str], float] = field(default_factory=dict)

    def parts(self) -> Iterator[bytes]:
        """Return the text in parts; the inventory may change between two of them."""
        told = self.inventory is not None and self.is_told()
        inventory = self.inventory if told else None
        for definition, lines in (
            (STATUS_CONDITION, _condition_lines),
            (LAST_SYNC, _sync_lines),
        ):
            yield definition.head().encode()
            subjects = self._subjects(inventory)
            while part := list(islice(subjects, PART)):
                yield "".join(line for one in part for line in lines(one)).encode()
        yield CREDENTIAL_EXPIRY.head().encode()
        instances = inventory.instances.values() if inventory else ()
        yield "".join(_expiry_lines(instances)).encode()

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


def _expiry_lines(instances: Iterable[InstanceObject]) -> Iterator[str]:
    for instance in instances:
        told = instance.status.credential_expires_at
        if told is None:
            continue
        try:
            end = datetime.fromisoformat(told).timestamp()
        except ValueError:
            continue  # a status may be anybody's; ours has a time there
        yield f'{CREDENTIAL_EXPIRY.name}{{name="{instance.name}"}} {end:.0f}\n'
