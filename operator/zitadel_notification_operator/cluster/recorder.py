"""Posts Events of events.k8s.io/v1 from a queue, and repeats as a series.

The rules are those of client-go's recorder: the first Event of a
kind creates an object, repeats patch its series, and six minutes
without a repeat end the series. A failure to post never fails a pass.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from aiolimiter import AsyncLimiter

from zitadel_notification_operator.core.backoff import bounded_delay
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.kinds import INSTANCE, Kind
from zitadel_notification_operator.core.objects import OwnObject

from .calls import MERGE_PATCH, ApiClient, Expired, Forbidden, call
from .names import API_VERSION, FIELD_MANAGER, GROUP, micro_time, pod_name

QUEUE_LIMIT = 10_000
"""How many Events may wait; more are dropped."""

BURST = 100
PER_SECOND = 50
"""How many Events may be posted at once, and how many per second in the long run. An
Event costs the API server as much as a status; the limit keeps Events from delaying the
writes that they report."""

TRIES = 8
"""How often an Event is posted at most, within half a minute in an outage, if posting
fails without a definite refusal."""

PATIENCE = 3
"""More failures in a row mean an outage; fewer may be due to single Events."""

SERIES_IDLE = 360.0
"""Seconds without a repeat after which a series is over."""

_NOTE_LIMIT = 1024
"""In bytes, as the API server counts."""

_NAME_LIMIT = 128
_PREFIX_LIMIT = 200
_log = logging.getLogger(__name__)


class Notice(Protocol):
    """The content of an Event; the engine's `Notice` has this shape."""

    @property
    def warning(self) -> bool:
        """Whether the type of the Event is Warning; otherwise it is Normal."""
        ...

    @property
    def reason(self) -> str:
        """A word in CamelCase."""
        ...

    @property
    def action(self) -> str:
        """A verb."""
        ...

    @property
    def note(self) -> str:
        """A sentence for people."""
        ...


Same = tuple[str, str, str, bool, str]
"""What makes two Events repeats of each other: uid, reason, action, type, and the note.

The note counts for Normal Events only: it holds facts, such as a value or a person who
made a change, and must not stand for others. In client-go it never counts.
"""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An Event that is to be posted.

    Attributes:
        kind: What makes two Events repeats of each other.
        path: Where it is created.
        body: The Event, as it is created if it is no repeat.
        tries: How often it could not be posted so far.
    """

    kind: Same
    path: str
    body: dict[str, Any]
    tries: int = 0


@dataclass(frozen=True, slots=True)
class _Series:
    path: str
    count: int = 0
    seen: float = 0.0


class EventRecorder:
    """The adapter behind the engine's `Recorder`."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(QUEUE_LIMIT)
        # In the order of their last repeats.
        self._series: dict[Same, _Series] = {}
        self._task: asyncio.Task[None] | None = None
        self._instance = pod_name()[:_NAME_LIMIT]
        self._failures = 0
        self._pace = AsyncLimiter(BURST, BURST / PER_SECOND)
        self._hurried = asyncio.Event()

    async def start(self) -> None:
        """Start the task that posts. Further calls do nothing until `stop`."""
        if self._task is None:
            self._hurried.clear()
            work = self._post_for_ever()
            self._task = asyncio.create_task(work, name="znp-recorder")

    async def stop(self, grace: float = 2.0) -> None:
        """Post the waiting Events, for at most `grace` seconds, then stop the task."""
        if self._task is None:
            return
        self._hurried.set()
        try:
            # Unlike `wait_for`, this notices an empty queue even if `grace` is 0.
            async with asyncio.timeout(grace):
                await self._queue.join()
        except TimeoutError:
            _log.info("Some Events were not posted before the end")
        task, self._task = self._task, None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def record(self, about: OwnObject, notice: Notice) -> None:
        """Queue an Event about an object. It is dropped if too many are waiting."""
        regarding = _reference(about.kind, about.name)
        if about.kind.namespaced:
            regarding["namespace"] = about.key.namespace
        # Events about cluster-scoped objects belong in the namespace `default`.
        namespace = about.key.namespace or "default"
        related: dict[str, Any] = {}
        if about.needed_instance is not None:
            related["related"] = _reference(INSTANCE, about.needed_instance)
        prefix = about.name[:_PREFIX_LIMIT].rstrip("-.")
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{prefix}.{secrets.token_hex(8)}",
                "namespace": namespace,
            },
            "eventTime": micro_time(datetime.now(UTC)),
            "type": "Warning" if notice.warning else "Normal",
            "reason": notice.reason[:_NAME_LIMIT],
            "action": notice.action[:_NAME_LIMIT],
            "note": _cut(notice.note, _NOTE_LIMIT),
            "regarding": {**regarding, "uid": about.uid},
            "reportingController": f"{GROUP}/{FIELD_MANAGER}",
            "reportingInstance": self._instance,
            **related,
        }
        facts = "" if notice.warning else notice.note
        kind = (about.uid, notice.reason, notice.action, notice.warning, facts)
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        self._put(_Waiting(kind, path, body))

    def _put(self, waiting: _Waiting) -> None:
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            _log.debug("Dropped an Event: too many wait")

    async def _post_for_ever(self) -> None:
        while True:
            waiting = await self._queue.get()
            if not self._hurried.is_set():
                await self._pace.acquire()
            try:
                await self._post(waiting)
                self._failures = 0
            except ClusterError as error:
                self._not_posted(waiting, error)
            finally:
                self._queue.task_done()
            await self._wait_in_an_outage()

    async def _wait_in_an_outage(self) -> None:
        """Wait longer and longer while one Event after the other cannot be posted."""
        vain = self._failures - PATIENCE
        if vain > 0:
            pause = bounded_delay(vain, chance=0.5)
            with contextlib.suppress(TimeoutError):
                # `wait_for` cannot be used: before Python 3.12 it swallows a
                # cancellation that arrives while the event is being set, which is what
                # `stop` does.
                async with asyncio.timeout(pause):
                    await self._hurried.wait()

    def _not_posted(self, waiting: _Waiting, error: ClusterError) -> None:
        """Put an Event behind the others for another try, unless it was refused."""
        # Log a warning once per outage, not for each Event of it.
        news = error.claim_logging() and (error.shared_cause or not self._failures)
        level = logging.WARNING if news else logging.DEBUG
        _log.log(level, "An Event was not posted: %s", error.message)
        self._failures += 1
        refused = isinstance(error, ObjectGone | ObjectChanged | Forbidden | Expired)
        tries = waiting.tries + 1
        if not (refused or self._hurried.is_set() or tries == TRIES):
            self._put(replace(waiting, tries=tries))

    async def _post(self, waiting: _Waiting) -> None:
        now = time.monotonic()
        self._forget(now)
        series = self._series.get(waiting.kind)
        if series is None or not await self._repeat(waiting, series):
            series = await self._create(waiting)
        self._series.pop(waiting.kind, None)
        self._series[waiting.kind] = _Series(series.path, series.count + 1, now)

    async def _repeat(self, waiting: _Waiting, series: _Series) -> bool:
        """Patch the series. Return False if its Event no longer exists."""
        last = waiting.body["eventTime"]
        body = {"series": {"count": series.count + 1, "lastObservedTime": last}}
        try:
            await call(
                self._api, "PATCH", series.path, body=body, content_type=MERGE_PATCH
            )
        except ObjectGone:
            return False
        return True

    async def _create(self, waiting: _Waiting) -> _Series:
        try:
            await call(self._api, "POST", waiting.path, body=waiting.body)
        except ObjectChanged:
            # It exists already if the response to an earlier try was lost.
            if not waiting.tries:
                raise
        return _Series(f"{waiting.path}/{waiting.body['metadata']['name']}")

    def _forget(self, now: float) -> None:
        """Forget series that are over; the search ends at the first live one."""
        while self._series:
            kind, series = next(iter(self._series.items()))
            if now - series.seen <= SERIES_IDLE:
                return
            del self._series[kind]


def _cut(text: str, limit: int) -> str:
    """Truncate to `limit` bytes of UTF-8 without splitting a character."""
    return text.encode()[:limit].decode(errors="ignore")


def _reference(kind: Kind, name: str) -> dict[str, str]:
    """Return a reference to an object, whether or not that exists."""
    return {"apiVersion": API_VERSION, "kind": kind.name, "name": name}
