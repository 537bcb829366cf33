"""The object that the running pass is about, for its log lines.

Each pass is a task of its own, so passes do not see each other's object.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.queue.keys import Key


class LogContext(NamedTuple):
    """An object; the namespace of an instance is empty, an unknown generation None."""

    kind: str
    namespace: str
    name: str
    generation: int | None = None


_current: ContextVar[LogContext | None] = ContextVar("znp_subject", default=None)


def log_context_of(key: Key, inventory: Inventory) -> LogContext:
    """Return what a pass is about; a search for events is about its instance."""
    kind, name = key.of_object
    known = inventory.find(kind, name)
    return LogContext(str(kind), *name, known.generation if known else None)


def uid_of(key: Key, inventory: Inventory) -> str | None:
    """Return the uid of the object that has this name now, or None without one."""
    known = inventory.find(*key.of_object)
    return known.uid if known else None


def current() -> LogContext | None:
    """Return what the running pass is about, or None outside of passes."""
    return _current.get()


@contextmanager
def concerning(subject: LogContext) -> Iterator[None]:
    """Attach this object to every log line written inside the block."""
    _current.set(subject)
    try:
        yield
    finally:
        # `reset` with the token of `set` would fail: an unfinished task that is dropped
        # ends in another context.
        _current.set(None)
