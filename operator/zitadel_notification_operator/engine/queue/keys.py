"""The keys of the work queue: a kind and a name."""

from typing import NamedTuple

from zitadel_notification_operator.core.claims import PolicyKey


class Key(NamedTuple):
    """One object of our kinds; `namespace` is empty for instances."""

    kind: str
    namespace: str
    name: str

    @property
    def policy(self) -> PolicyKey:
        """The policy's key; only for keys of that kind."""
        return PolicyKey(self.namespace, self.name)


POLICY = "NotificationPolicy"
INSTANCE = "ZitadelInstance"
EVENTS = "events"
"""The events of an instance's ZITADEL, which are no Kubernetes kind."""


def policy_key(key: PolicyKey) -> Key:
    """Return the queue key of a policy."""
    return Key(POLICY, key.namespace, key.name)


def events_key(instance: str) -> Key:
    """Return the queue key of an instance's events."""
    return Key(EVENTS, "", instance)


def instance_key(name: str) -> Key:
    """Return the queue key of an instance."""
    return Key(INSTANCE, "", name)
