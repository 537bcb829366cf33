"""The keys of the work queue: a kind and a name."""

from typing import NamedTuple

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.kinds import (
    INSTANCE,
    POLICY,
    SET,
    Kind,
    ObjectKey,
)
from zitadel_notification_operator.core.objects import OwnObject

EVENTS = Kind("events", "", namespaced=False)
"""The events of an instance's ZITADEL, which are no kind of Kubernetes."""


class Key(NamedTuple):
    """What one pass is about: an object of our kinds, or an instance's events.

    Attributes:
        kind: The kind of the object, or `EVENTS`.
        namespace: Empty if the kind has none.
        name: The name of the object.
    """

    kind: Kind
    namespace: str
    name: str

    @property
    def of_object(self) -> tuple[Kind, ObjectKey]:
        """The object that it is about; events are about their instance."""
        kind = INSTANCE if self.kind is EVENTS else self.kind
        return kind, ObjectKey(self.namespace, self.name)


def key_of(one: OwnObject) -> Key:
    """Return the queue key of an object."""
    return Key(one.kind, *one.key)


def policy_key(key: PolicyKey) -> Key:
    """Return the queue key of a policy."""
    return Key(POLICY, *key)


def set_key(key: ObjectKey) -> Key:
    """Return the queue key of a set."""
    return Key(SET, *key)


def events_key(instance: str) -> Key:
    """Return the queue key of an instance's events."""
    return Key(EVENTS, "", instance)


def instance_key(name: str) -> Key:
    """Return the queue key of an instance."""
    return Key(INSTANCE, "", name)
