"""Sets in an engine on a virtual clock: a harness, and how tests make sets."""

from dataclasses import replace
from typing import Any

from support.engines import INSTANCE, Harness, condition_of, with_spec
from support.settings import mails
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.selection import Selector
from zitadel_notification_operator.core.set_object import SetObject

ALL = Selector(all=True)


POLL = 60.0


def a_set(name: str = "s", second: int = 0, **spec: Any) -> SetObject:
    """Return a set that turns mails off, which ZITADEL sends by default."""
    values: dict[str, Any] = {"organizations": ALL, "settings": mails(False), **spec}
    return SetObject(
        key=ObjectKey(values.pop("namespace", "own"), name),
        uid=f"uid-{name}",
        generation=1,
        created=f"2026-01-01T00:00:{second:02}Z",
        **values,
    )


class Sets(Harness):
    """A harness with a ZITADEL of three organizations, which is polled each minute."""

    def __init__(self) -> None:
        super().__init__()
        self.zitadel.names = {"1": "one", "2": "two", "3": "three"}
        self.cluster.put_instance(with_spec(INSTANCE, poll_interval=POLL))

    def of(self, name: str = "s") -> SetObject:
        """Return a set as stored."""
        return self.cluster.sets[ObjectKey("own", name)]

    def ready_of(self, name: str = "s") -> Condition:
        """Return a set's Ready condition."""
        return condition_of(self.of(name).status, "Ready")

    def edit(self, name: str = "s", **spec: Any) -> None:
        """Change a set's spec as a user would."""
        one = self.of(name)
        self.set_seen(replace(one, generation=one.generation + 1, **spec))

    def names(self) -> set[str]:
        """Return the names of all policies."""
        return {key.name for key in self.cluster.policies}


def counts(harness: Sets, name: str = "s") -> tuple[int, int, int, int, int]:
    """Return how many are matched, ready, overridden, failed and pending."""
    found = harness.of(name).status.organizations
    assert found is not None
    return found.matched, found.ready, found.overridden, found.failed, found.pending
