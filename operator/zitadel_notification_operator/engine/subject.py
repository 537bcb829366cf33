"""Which object the running pass is about, for whoever writes log lines.

Each pass is a task of its own, so passes do not see each other's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from zitadel_notification_operator.engine.inventory import Inventory
from zitadel_notification_operator.engine.keys import INSTANCE, POLICY, Key


class Subject(NamedTuple):
    """An object; the namespace of an instance is empty, an unknown generation None."""

    kind: str
    namespace: str
    name: str
    generation: int | None = None


_current: ContextVar[Subject | None] = ContextVar("znp_subject", default=None)


def subject_of(key: Key, inventory: Inventory) -> Subject:
    """Return what a pass is about; a search for events is about its instance."""
    if key.kind == POLICY:
        policy = inventory.policies.get(key.policy)
        return Subject(*key, policy.generation if policy else None)
    instance = inventory.instances.get(key.name)
    return Subject(INSTANCE, "", key.name, instance.generation if instance else None)


def current() -> Subject | None:
    """Return what the running pass is about; None outside of passes."""
    return _current.get()


@contextmanager
def concerning(subject: Subject) -> Iterator[None]:
    """Have all that is called within be about this object."""
    _current.set(subject)
    try:
        yield
    finally:
        # Not by the token of `set`: a task that is dropped unfinished ends anywhere.
        _current.set(None)
