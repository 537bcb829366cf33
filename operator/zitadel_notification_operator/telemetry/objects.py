"""The metrics of single objects: conditions, last success, expiry of the credential.

They are computed from the inventory at each scrape, so no series is stored for an
object, and none outlives it. Ten thousand policies are megabytes of text, so it is made
in small parts, between which the event loop runs other tasks: the client library would
make it at once. Only the leader reports objects, so that each one is reported once.
The policies can be left out, for a hundred thousand of them are 72 MB at every scrape;
how many of them are Ready is always told.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Protocol

from zitadel_notification_operator.core import conditions
from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.instance_object import (
    DriftMethod,
    InstanceObject,
)
from zitadel_notification_operator.core.kinds import KINDS, POLICY, SET, Kind
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.set_object import SetObject

from . import definitions as known
from .definitions import Definition

PART = 200
"""Objects in one part of the text, which is about a millisecond of work."""

SERIES = 720
"""Bytes of the series of one policy in the text."""

MANY = 20_000
"""Policies from which on a log line says how much text their series are."""

_log = logging.getLogger(__name__)

Sample = tuple[str, float]
"""The labels that a sample has besides those of its object, as text, and its value.

All labels are Kubernetes names and our own words, which need no escaping.
"""

_RESULTS = ("ready", "overridden", "failed", "pending")
_STATUSES = ("True", "False", "Unknown")
_SAMPLES_OF_CONDITION = {
    (kind, status): [
        (f',type="{kind}",status="{each}"', int(each == status))
        for each in _STATUSES
        if each in {status, "True", "False"}
    ]
    for kind in conditions.OWN_TYPES
    for status in _STATUSES
}


class Inventory(Protocol):
    """The known objects of the cluster; the engine's class has this shape."""

    def of(self, kind: Kind) -> Iterable[OwnObject]:
        """Return all objects of a kind."""
        ...

    @property
    def instances(self) -> Mapping[str, InstanceObject]:
        """The instances by name."""
        ...


@dataclass(slots=True)
class ObjectMetrics:
    """Produces the text of the metrics of all objects.

    Attributes:
        is_reporting: Returns whether this replica reports objects.
        inventory: The known objects; None until there is an inventory.
        synced: When a pass over an object last succeeded, in seconds since 1970, by
            kind, and by namespace and name.
        refused: Returns the names of the instances of this operator's class that
            another installation serves.
        deprecated: The calls that an instance's ZITADEL has marked as deprecated, by
            the instance's name.
        of_policies: Whether there are series for each policy.
    """

    is_reporting: Callable[[], bool]
    inventory: Inventory | None = None
    refused: Callable[[], Iterable[str]] = tuple
    synced: defaultdict[Kind, dict[tuple[str, str], float]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    deprecated: dict[str, Deprecation | None] = field(default_factory=dict)
    of_policies: bool = True
    _has_warned: bool = field(default=False, init=False)

    def succeeded(self, about: OwnObject, now: float) -> None:
        """Store when a pass over an object has succeeded, if a series tells that."""
        if self.of_policies or about.kind is not POLICY:
            self.synced[about.kind][about.key] = now

    def parts(self) -> Iterator[bytes]:
        """Return the text in parts; the inventory may change between two of them."""
        inventory = self.inventory if self.is_reporting() else None
        if inventory is not None and self.of_policies and not self._has_warned:
            self._warn_of_many(sum(1 for _ in inventory.of(POLICY)))
        of_each: dict[Definition, Callable[[OwnObject], Iterator[Sample]]] = {
            known.STATUS_CONDITION: _conditions,
            known.LAST_SYNC: self._sync,
            known.ZITADEL_INCONSISTENT: _inconsistent,
        }
        for definition, samples_of in of_each.items():
            yield definition.head().encode()
            objects, metric = self._objects(inventory), definition.name
            while part := list(islice(objects, PART)):
                yield "".join(
                    f"{metric}{{{labels}{more}}} {value}\n"
                    for one in part
                    for labels in (_labels(one),)
                    for more, value in samples_of(one)
                ).encode()
        yield from self._policies(inventory)
        of_sets: dict[Definition, Callable[[SetObject], Iterator[Sample]]] = {
            known.SET_ORGANIZATIONS: _organizations,
            known.SET_REMOVAL_WAITING: _removal,
        }
        for definition, counts_of in of_sets.items():
            sets = list(inventory.of(SET)) if inventory else []
            lines = (
                f'{definition.name}{{namespace="{one.key.namespace}",'
                f'name="{one.key.name}"{more}}} {value}\n'
                for one in sets
                if isinstance(one, SetObject)
                for more, value in counts_of(one)
            )
            yield "".join([definition.head(), *lines]).encode()
        of_instances: dict[Definition, Callable[[InstanceObject], Iterator[Sample]]] = {
            known.CREDENTIAL_EXPIRY: _expiry,
            known.DRIFT_DETECTION: _detection,
            known.DRIFT_DEGRADED: _degraded,
            known.DEPRECATED_CALLS: self._deprecated,
            known.SUNSET: self._sunset,
        }
        for definition, values_of in of_instances.items():
            instances = list(inventory.instances.values()) if inventory else []
            lines = (
                f'{definition.name}{{name="{one.name}"{more}}} {value}\n'
                for one in instances
                for more, value in values_of(one)
            )
            yield "".join([definition.head(), *lines]).encode()

        yield self._refused(inventory)

    def _objects(self, inventory: Inventory | None) -> Iterator[OwnObject]:
        if inventory is None:
            return
        for kind in reversed(KINDS):
            if self.of_policies or kind is not POLICY:
                yield from list(inventory.of(kind))

    def _policies(self, inventory: Inventory | None) -> Iterator[bytes]:
        """Yield how many policies there are, by the status of Ready."""
        counts = dict.fromkeys(_STATUSES, 0)
        policies = iter(list(inventory.of(POLICY)) if inventory is not None else ())
        while part := list(islice(policies, PART)):
            for one in part:
                ready = conditions.find(one.status.conditions, conditions.READY)
                counts[ready.status if ready is not None else "Unknown"] += 1
            yield b""
        metric = known.POLICIES
        lines = (
            f'{metric.name}{{ready="{status}"}} {count}\n'
            for status, count in counts.items()
            if inventory is not None
        )
        yield "".join([metric.head(), *lines]).encode()

    def _warn_of_many(self, policies: int) -> None:
        if policies >= MANY:
            self._has_warned = True
            _log.warning(
                "The %d policies make each scrape of /metrics about %d MB; "
                "--no-object-metrics leaves out their series",
                policies,
                round(policies * SERIES / 1e6),
            )

    def _refused(self, inventory: Inventory | None) -> bytes:
        metric = known.SERVED_ELSEWHERE
        names = sorted(self.refused()) if inventory is not None else []
        lines = (f'{metric.name}{{name="{one}"}} 1\n' for one in names)
        return "".join([metric.head(), *lines]).encode()

    def _sync(self, about: OwnObject) -> Iterator[Sample]:
        synced = self.synced[about.kind].get(about.key)
        if synced is not None:
            yield "", synced

    def _deprecated(self, instance: InstanceObject) -> Iterator[Sample]:
        if instance.name in self.deprecated:
            found = self.deprecated[instance.name]
            yield "", len(found.calls) if found else 0

    def _sunset(self, instance: InstanceObject) -> Iterator[Sample]:
        found = self.deprecated.get(instance.name)
        if found is not None and found.ends_at is not None:
            yield "", found.ends_at


def _labels(about: OwnObject) -> str:
    """Return kind, namespace and name."""
    namespace, name = about.key
    return f'kind="{about.kind.name}",namespace="{namespace}",name="{name}"'


def _conditions(about: OwnObject) -> Iterator[Sample]:
    for condition in about.status.conditions:
        yield from _SAMPLES_OF_CONDITION.get((condition.type, condition.status), ())


def _inconsistent(about: OwnObject) -> Iterator[Sample]:
    ready = conditions.find(about.status.conditions, conditions.READY)
    if ready is not None and ready.reason == Reason.ZITADEL_INCONSISTENT:
        yield "", 1


def _organizations(one: SetObject) -> Iterator[Sample]:
    counts = one.status.organizations
    if counts is not None:
        for result in _RESULTS:
            yield f',result="{result}"', getattr(counts, result)


def _removal(one: SetObject) -> Iterator[Sample]:
    if one.status.removal is not None:
        yield "", one.status.removal.count


def _expiry(instance: InstanceObject) -> Iterator[Sample]:
    expires = instance.status.credential_expires_at
    if expires is None:
        return
    try:
        yield "", datetime.fromisoformat(expires).timestamp()
    except ValueError:
        return  # anyone may write a status; ours has a time there


def _detection(instance: InstanceObject) -> Iterator[Sample]:
    detection = instance.status.drift_detection
    if detection is not None:
        for method in (DriftMethod.EVENTS, DriftMethod.POLL, DriftMethod.DISABLED):
            yield f',method="{method}"', int(detection.method is method)


def _degraded(instance: InstanceObject) -> Iterator[Sample]:
    detection = instance.status.drift_detection
    if detection is not None:
        yield "", int(instance.is_degraded(detection))
