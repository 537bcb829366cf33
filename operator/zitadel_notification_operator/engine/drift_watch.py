"""How drift is found at each instance, and what events have told about policies."""

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.objects import DriftMethod, InstanceObject
from zitadel_notification_operator.engine.connections import Connections


class DriftWatch:
    """Says how soon a quiet policy is looked at again, if at all.

    Args:
        connections: Tell what a credential may read.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._refused: set[str] = set()
        self._usable_since: dict[str, float] = {}
        self._editors: dict[PolicyKey, User | None] = {}
        self._doubted: set[PolicyKey] = set()

    def reads_events(self, instance: InstanceObject) -> bool:
        """Return whether the instance's events are searched."""
        proven = self._connections.line(instance.name).proven
        return (
            instance.method in {DriftMethod.AUTO, DriftMethod.EVENTS}
            and proven is not None
            and proven.identity.capabilities.read_events
            and instance.name not in self._refused
        )

    def interval(self, instance: InstanceObject) -> float | None:
        """Return the seconds until a quiet policy is due; None: nothing is planned."""
        if instance.method is DriftMethod.DISABLED or self.reads_events(instance):
            return None
        return instance.poll_interval

    def note_usable(self, instance: str, now: float) -> None:
        """Note that policies are looked at from now on (seconds, the loop's clock)."""
        self._usable_since[instance] = now

    def usable_since(self, instance: str) -> float:
        """Return since when policies are looked at."""
        return self._usable_since.get(instance, 0.0)

    def refuse(self, instance: str, *, refused: bool) -> bool:
        """Note whether searches are refused; return whether that is news."""
        was = instance in self._refused
        if refused:
            self._refused.add(instance)
        else:
            self._refused.discard(instance)
        return was is not refused

    def note_editor(self, key: PolicyKey, editor: User | None) -> None:
        """Note who has changed what a policy is about."""
        self._editors[key] = editor

    def editor(self, key: PolicyKey) -> User | None:
        """Return who has changed it, if an event has told."""
        return self._editors.get(key)

    def is_told_of(self, key: PolicyKey) -> bool:
        """Return whether an event has told of a policy that was not looked at since."""
        return key in self._editors or key in self._doubted

    def doubt(self, key: PolicyKey) -> None:
        """Note that a policy's organization may be gone."""
        self._doubted.add(key)

    def doubts(self, key: PolicyKey) -> bool:
        """Return whether its organization may be gone."""
        return key in self._doubted

    def forget(self, key: PolicyKey) -> None:
        """Drop what was told about a policy: it is gone, or was just looked at."""
        self._editors.pop(key, None)
        self._doubted.discard(key)
