"""Posts each Event once, after the status write that it is about.

A transition leads from the stored status to the next one, so its Event is posted when
Kubernetes has accepted that. While Kubernetes refuses the write, each repeated pass
finds the same transition, and posts nothing. If only the answer to the write was lost,
the Event is posted as soon as the status is seen as stored. The Event of a deletion is
posted right before the finalizer is removed, because the object may vanish with it
(docs/reference/logs-and-events.md).
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.objects import OwnObject, OwnStatus
from zitadel_notification_operator.engine.ports import Notice, Recorder

from .event_messages import deletion_event

_log = logging.getLogger(__name__)


class EventOutbox:
    """Events that wait for a write, and the Events that deletions have posted.

    Args:
        recorder: Posts Events.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._waiting: dict[str, tuple[OwnStatus, tuple[Notice, ...]]] = {}
        self._endings: dict[str, str] = {}

    def tell(self, about: OwnObject, notice: Notice) -> None:
        """Log and post an Event now."""
        level = logging.WARNING if notice.warning else logging.INFO
        _log.log(level, "%s", notice.note, extra={"znp_reason": str(notice.reason)})
        self._recorder.record(about, notice)

    @contextmanager
    def after(
        self, about: OwnObject, status: OwnStatus, notices: Iterable[Notice]
    ) -> Iterator[None]:
        """Post the notices once the block, which writes the status, has succeeded.

        Args:
            about: The object.
            status: The status that the block writes.
            notices: The Events about it.
        """
        events = tuple(notices)
        self._waiting[about.uid] = status, events
        yield
        self._waiting.pop(about.uid, None)
        for notice in events:
            self.tell(about, notice)

    def confirm(self, stored: OwnObject) -> None:
        """Post the Events that wait for a status if it is stored; otherwise drop them.

        Called before the next transition is determined, as that begins at what is
        stored.
        """
        status, notices = self._waiting.pop(stored.uid, (None, ()))
        if status == stored.status:
            for notice in notices:
                self.tell(stored, notice)

    def ending(self, about: OwnObject, sentence: str) -> None:
        """Post the Event about a deletion, unless it was posted before."""
        if about.uid not in self._endings:
            self._endings[about.uid] = sentence
            self.tell(about, deletion_event(sentence))

    def posted(self, about: OwnObject) -> str | None:
        """Return the sentence that this deletion has posted earlier, if any."""
        return self._endings.get(about.uid)

    def ended(self, about: OwnObject) -> None:
        """Forget a deletion that has come to its end."""
        self._endings.pop(about.uid, None)

    def keep(self, uids: frozenset[str]) -> None:
        """Forget all objects but these: the others are gone."""
        self._waiting = {u: w for u, w in self._waiting.items() if u in uids}
        self._endings = {u: s for u, s in self._endings.items() if u in uids}


def level_of(error: ClusterError) -> int:
    """Return the log level for an error: a warning the first time, else debug."""
    return logging.WARNING if error.claim_logging() else logging.DEBUG
