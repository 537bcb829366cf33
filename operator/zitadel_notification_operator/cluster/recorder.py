"""Posts Events of events.k8s.io/v1 from a queue, and repeats as a series.

The rules are those of client-go's recorder (conventions 3.1, 3.2): the first Event of a
kind creates an object, repeats patch its series, and six minutes without a repeat end
the series. A failure to post never fails a pass.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from aiolimiter import AsyncLimiter

from zitadel_notification_operator.cluster.calls import (
    MERGE_PATCH,
    Expired,
    Forbidden,
    call,
)
from zitadel_notification_operator.cluster.client import ApiClient
from zitadel_notification_operator.cluster.names import (
    API_VERSION,
    FIELD_MANAGER,
    GROUP,
    INSTANCE_KIND,
    POLICY_KIND,
)
from zitadel_notification_operator.core.backoff import bounded_delay, retry_delay
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject

QUEUE_LIMIT = 10_000
"""How many Events may wait; more are dropped."""

BURST = 100
PER_SECOND = 50
"""How many Events may be posted at once, and how many per second in the long run. An
Event costs the API server as much as a status; the limit keeps Events from delaying the
writes that they report."""

TRIES = 6
"""How often an Event is posted at most, within half a minute, if posting fails without
a definite refusal."""

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


@dataclass(frozen=True, slots=True)
class _Wanted:
    regarding: dict[str, str]
    warning: bool
    reason: str
    action: str
    note: str
    time: datetime
    name: str
    related: dict[str, str] | None
    tries: int = 0

    @property
    def kind(self) -> tuple[str, str, str, bool]:
        """What makes two notices repeats of each other; the note does not matter."""
        return self.regarding["uid"], self.reason, self.action, self.warning


@dataclass(slots=True)
class _Series:
    path: str
    count: int
    seen: float


class EventRecorder:
    """The adapter behind the engine's `Recorder`."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._queue: asyncio.Queue[_Wanted] = asyncio.Queue(QUEUE_LIMIT)
        self._series: OrderedDict[tuple[str, str, str, bool], _Series] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        # The host name of a pod may be that of its node.
        pod = os.environ.get("POD_NAME") or socket.gethostname()
        self._instance = pod[:_NAME_LIMIT]
        self._later: dict[str, _Wanted] = {}
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
        for wanted in list(self._later.values()):
            self._put(wanted)
        try:
            # Unlike `wait_for`, this notices an empty queue even if `grace` is 0.
            async with asyncio.timeout(grace):
                await self._queue.join()
        except TimeoutError:
            _log.info("Some Events were not posted before the end")
        task, self._task = self._task, None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def record(self, about: PolicyObject | InstanceObject, notice: Notice) -> None:
        """Queue an Event about an object. It is dropped if too many are waiting."""
        regarding = _regarding(about)
        prefix = regarding["name"][:_PREFIX_LIMIT].rstrip("-.")
        wanted = _Wanted(
            regarding,
            notice.warning,
            notice.reason[:_NAME_LIMIT],
            notice.action[:_NAME_LIMIT],
            _cut(notice.note, _NOTE_LIMIT),
            datetime.now(UTC),
            f"{prefix}.{secrets.token_hex(8)}",
            _related(about),
        )
        self._put(wanted)

    def _put(self, wanted: _Wanted) -> None:
        self._later.pop(wanted.name, None)
        try:
            self._queue.put_nowait(wanted)
        except asyncio.QueueFull:
            _log.debug("Dropped an Event: too many wait")

    async def _post_for_ever(self) -> None:
        while True:
            wanted = await self._queue.get()
            if not self._hurried.is_set():
                await self._pace.acquire()
            try:
                await self._post(wanted)
                self._failures = 0
            except ClusterError as error:
                self._not_posted(wanted, error)
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

    def _not_posted(self, wanted: _Wanted, error: ClusterError) -> None:
        """Schedule another try without holding up the others, unless it was refused."""
        # Log a warning once per outage, not for each Event of it.
        news = error.claim_telling() and (error.trouble or not self._failures)
        level = logging.WARNING if news else logging.DEBUG
        _log.log(level, "An Event was not posted: %s", error.message)
        self._failures += 1
        refused = isinstance(error, ObjectGone | ObjectChanged | Forbidden | Expired)
        tries = wanted.tries + 1
        full = len(self._later) >= QUEUE_LIMIT
        if refused or full or self._hurried.is_set() or tries == TRIES:
            return
        again = self._later[wanted.name] = replace(wanted, tries=tries)
        delay = retry_delay(tries, chance=0.5, asked=error.retry_after)
        asyncio.get_running_loop().call_later(delay, self._due, again)

    def _due(self, wanted: _Wanted) -> None:
        if wanted.name in self._later:  # else `stop` has queued it already
            self._put(wanted)

    async def _post(self, wanted: _Wanted) -> None:
        now = time.monotonic()
        self._forget(now)
        series = self._series.get(wanted.kind)
        if series is None or not await self._repeat(wanted, series, now):
            await self._create(wanted, now)

    async def _repeat(self, wanted: _Wanted, series: _Series, now: float) -> bool:
        """Patch the series. Return False if its Event no longer exists."""
        series.seen = now
        self._series.move_to_end(wanted.kind)
        seen = {
            "count": series.count + 1,
            "lastObservedTime": _micro_time(wanted.time),
        }
        try:
            await call(
                self._api,
                "PATCH",
                series.path,
                body={"series": seen},
                content_type=MERGE_PATCH,
            )
        except ObjectGone:
            del self._series[wanted.kind]
            return False
        series.count += 1
        return True

    async def _create(self, wanted: _Wanted, now: float) -> None:
        # Events about cluster-scoped objects belong in the namespace `default`.
        namespace = wanted.regarding.get("namespace") or "default"
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": wanted.name, "namespace": namespace},
            "eventTime": _micro_time(wanted.time),
            "type": "Warning" if wanted.warning else "Normal",
            "reason": wanted.reason,
            "action": wanted.action,
            "note": wanted.note,
            "regarding": wanted.regarding,
            "reportingController": f"{GROUP}/{FIELD_MANAGER}",
            "reportingInstance": self._instance,
        }
        if wanted.related is not None:
            body["related"] = wanted.related
        try:
            await call(self._api, "POST", path, body=body)
        except ObjectChanged:
            # It exists already if the response to an earlier try was lost.
            if not wanted.tries:
                raise
        self._series[wanted.kind] = _Series(f"{path}/{wanted.name}", 1, now)

    def _forget(self, now: float) -> None:
        # The series are ordered by their last repeat, so the search ends at the first
        # live one.
        while self._series:
            kind, series = next(iter(self._series.items()))
            if now - series.seen <= SERIES_IDLE:
                return
            del self._series[kind]


def _cut(text: str, limit: int) -> str:
    """Truncate to `limit` bytes of UTF-8 without splitting a character."""
    return text.encode()[:limit].decode(errors="ignore")


def _regarding(about: PolicyObject | InstanceObject) -> dict[str, str]:
    if isinstance(about, PolicyObject):
        return {
            "apiVersion": API_VERSION,
            "kind": POLICY_KIND,
            "namespace": about.key.namespace,
            "name": about.key.name,
            "uid": about.uid,
        }
    return {
        "apiVersion": API_VERSION,
        "kind": INSTANCE_KIND,
        "name": about.name,
        "uid": about.uid,
    }


def _related(about: PolicyObject | InstanceObject) -> dict[str, str] | None:
    """Return a reference to a policy's instance, whether or not that exists."""
    if isinstance(about, InstanceObject):
        return None
    return {"apiVersion": API_VERSION, "kind": INSTANCE_KIND, "name": about.instance}


def _micro_time(moment: datetime) -> str:
    """Format as RFC 3339, always with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
