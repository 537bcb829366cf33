"""Which ZITADEL each instance reaches, by ZITADEL's own id."""

from collections.abc import Mapping

from zitadel_notification_operator.core.instance_object import InstanceObject

from .records import reported_id


class ZitadelIds:
    """The ids as probes have found them, else as statuses say.

    Args:
        instances: The instances by name; they may change.
    """

    def __init__(self, instances: Mapping[str, InstanceObject]) -> None:
        self._instances = instances
        # None means that it leads to another ZITADEL, which nobody has accepted yet.
        self._found: dict[str, str | None] = {}
        self._former: dict[str, str] = {}

    def of(self, instance: str) -> str | None:
        """Return the id, or None if it is not known or not accepted."""
        if instance in self._found:
            return self._found[instance]
        record = self._instances.get(instance)
        return None if record is None else reported_id(record)

    def former(self, instance: str) -> str | None:
        """Return the last id that this process found under this name."""
        return self._former.get(instance)

    def found(self, instance: str, zitadel_id: str) -> bool:
        """Store what a probe found; return whether that differs from before."""
        before = self.of(instance)
        self._found[instance] = self._former[instance] = zitadel_id
        return before != zitadel_id

    def lost(self, instance: str) -> None:
        """Store that an instance leads to a ZITADEL that nobody has accepted."""
        self._found[instance] = None

    def forget(self, instance: str) -> None:
        """Forget what an instance that is gone has reached."""
        self._found.pop(instance, None)

    def keep(self, instances: frozenset[str]) -> None:
        """Forget all names but these."""
        self._found = {n: id_ for n, id_ in self._found.items() if n in instances}
        self._former = {n: id_ for n, id_ in self._former.items() if n in instances}
