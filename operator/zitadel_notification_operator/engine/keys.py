"""What the queue holds: a kind and a name."""

from typing import NamedTuple

from zitadel_notification_operator.core.claims import PolicyKey


class Key(NamedTuple):
    """One object of ours; `namespace` is empty for instances."""

    kind: str
    namespace: str
    name: str

    @property
    def policy(self) -> PolicyKey:
        """The policy's key; for keys of that kind only."""
        return PolicyKey(self.namespace, self.name)


POLICY = "NotificationPolicy"
INSTANCE = "ZitadelInstance"
EVENTS = "events"
"""The events of an instance's ZITADEL; no kind of ours."""


def policy_key(key: PolicyKey) -> Key:
    """Return the queue's key of a policy."""
    return Key(POLICY, key.namespace, key.name)


def events_key(instance: str) -> Key:
    """Return the queue's key of an instance's events."""
    return Key(EVENTS, "", instance)


def instance_key(name: str) -> Key:
    """Return the queue's key of an instance."""
    return Key(INSTANCE, "", name)
