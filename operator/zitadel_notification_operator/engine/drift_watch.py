"""How drift is found at each instance, and what events have told about policies."""

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.events import EventKind, ZitadelEvent
from zitadel_notification_operator.core.objects import (
    Drift,
    DriftMethod,
    InstanceObject,
)
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
        self._untold: dict[PolicyKey, Drift] = {}
        self._told: dict[PolicyKey, ZitadelEvent] = {}

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

    def keep(self, instances: frozenset[str]) -> None:
        """Forget all but these instances: nobody uses their names any longer."""
        self._refused &= instances
        since = self._usable_since
        self._usable_since = {n: since[n] for n in since.keys() & instances}

    def refuse(self, instance: str, *, refused: bool) -> bool:
        """Note whether searches are refused; return whether that is news."""
        was = instance in self._refused
        if refused:
            self._refused.add(instance)
        else:
            self._refused.discard(instance)
        return was is not refused

    def note(self, key: PolicyKey, event: ZitadelEvent) -> None:
        """Note what an event has told about a policy; a removal outlasts the rest."""
        known = self._told.get(key)
        if known is None or known.kind is not EventKind.ORGANIZATION_REMOVED:
            self._told[key] = event

    def told(self, key: PolicyKey) -> ZitadelEvent | None:
        """Return what an event has told about a policy that was not looked at since."""
        return self._told.get(key)

    def corrected(self, key: PolicyKey, drift: Drift | None) -> Drift | None:
        """Keep what was put right; return what no status tells yet."""
        if drift is not None:
            self._untold[key] = drift
        return self._untold.get(key)

    def reported(self, key: PolicyKey) -> None:
        """Drop what was put right: a status tells it, or its policy is gone."""
        self._untold.pop(key, None)

    def forget(self, key: PolicyKey, event: ZitadelEvent | None = None) -> None:
        """Drop what was told about a policy: it is gone, or was looked at.

        Args:
            key: Of the policy.
            event: What was known when the look began; anything later stays.
        """
        if event is None or self._told.get(key) is event:
            self._told.pop(key, None)
