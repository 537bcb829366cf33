"""Posts Events of events.k8s.io/v1: a queue, one task, repeats as a series.

Rules of client-go's recorder (conventions 3.1, 3.2): the first of a kind creates an
Event, repeats patch its series; after six quiet minutes it starts anew. A failure to
post never fails a pass.
"""

import asyncio
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
from kubernetes.aio.client import ApiClient

from zitadel_notification_operator.cluster.calls import (
    MERGE_PATCH,
    Expired,
    Forbidden,
    call,
)
from zitadel_notification_operator.cluster.names import (
    API_VERSION,
    FIELD_MANAGER,
    GROUP,
    INSTANCE_KIND,
    POLICY_KIND,
)
from zitadel_notification_operator.core.backoff import retry_delay
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject

QUEUE_LIMIT = 10_000
"""Events that may wait; more are dropped."""

BURST = 100
PER_SECOND = 50
"""Events posted at once, and on the long run: what they tell of comes before them."""

TRIES = 6
"""How often, within half a minute, what was neither taken nor refused is posted."""

SERIES_IDLE = 360.0
"""Seconds without a repeat after which a series is over."""

_NOTE_LIMIT = 1024
"""Bytes, as the API server counts."""

_NAME_LIMIT = 128
_PREFIX_LIMIT = 200
_log = logging.getLogger(__name__)


class Notice(Protocol):
    """What is told; the engine's notices have this shape."""

    @property
    def warning(self) -> bool:
        """Its type is Warning, else Normal."""
        ...

    @property
    def reason(self) -> str:
        """CamelCase."""
        ...

    @property
    def action(self) -> str:
        """A verb."""
        ...

    @property
    def note(self) -> str:
        """A sentence."""
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
        """What makes two notices the same; the note takes no part."""
        return self.regarding["uid"], self.reason, self.action, self.warning


@dataclass(slots=True)
class _Series:
    path: str
    count: int
    seen: float


class EventRecorder:
    """The engine's `Recorder`."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._queue: asyncio.Queue[_Wanted] = asyncio.Queue(QUEUE_LIMIT)
        self._series: OrderedDict[tuple[str, str, str, bool], _Series] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        # A pod's host may be its node's.
        pod = os.environ.get("POD_NAME") or socket.gethostname()
        self._instance = pod[:_NAME_LIMIT]
        self._later: dict[str, _Wanted] = {}
        self._failing = False
        self._pace = AsyncLimiter(BURST, BURST / PER_SECOND)
        self._hurried = False

    async def start(self) -> None:
        """Start to post; once started, further calls do nothing until `stop`."""
        if self._task is None:
            self._hurried = False
            work = self._post_for_ever()
            self._task = asyncio.create_task(work, name="znp-recorder")

    async def stop(self, grace: float = 2.0) -> None:
        """Post what waits, for at most `grace` seconds, then end."""
        if self._task is None:
            return
        self._hurried = True
        for wanted in list(self._later.values()):
            self._put(wanted)
        try:
            await asyncio.wait_for(self._queue.join(), grace)
        except TimeoutError:
            _log.info("Some Events were not posted before the end")
        task, self._task = self._task, None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def record(self, about: PolicyObject | InstanceObject, notice: Notice) -> None:
        """Queue a notice; dropped when too many wait."""
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
            if not self._hurried:
                await self._pace.acquire()
            try:
                await self._post(wanted)
                self._failing = False
            except ClusterError as error:
                # Once for an outage, not once for each Event of it.
                level = logging.DEBUG if self._failing else logging.WARNING
                _log.log(level, "An Event was not posted: %s", error.message)
                self._failing = True
                self._try_again(wanted, error)
            finally:
                self._queue.task_done()

    def _try_again(self, wanted: _Wanted, error: ClusterError) -> None:
        """Post it later, unless it was refused; the others need not wait for it."""
        refused = isinstance(error, ObjectGone | ObjectChanged | Forbidden | Expired)
        tries = wanted.tries + 1
        full = len(self._later) >= QUEUE_LIMIT
        if refused or full or self._hurried or tries == TRIES:
            return
        again = self._later[wanted.name] = replace(wanted, tries=tries)
        delay = retry_delay(tries, chance=0.5)
        asyncio.get_running_loop().call_later(delay, self._due, again)

    def _due(self, wanted: _Wanted) -> None:
        if wanted.name in self._later:  # else `stop` was faster
            self._put(wanted)

    async def _post(self, wanted: _Wanted) -> None:
        now = time.monotonic()
        self._forget(now)
        series = self._series.get(wanted.kind)
        if series is None or not await self._repeat(wanted, series, now):
            await self._create(wanted, now)

    async def _repeat(self, wanted: _Wanted, series: _Series, now: float) -> bool:
        """Patch the series; False when its Event is no longer there."""
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
        # Events about cluster-scoped objects live in the namespace `default`.
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
            # It is there: the answer to an earlier try was lost.
            if not wanted.tries:
                raise
        self._series[wanted.kind] = _Series(f"{path}/{wanted.name}", 1, now)

    def _forget(self, now: float) -> None:
        # Ordered by the last repeat: only what is over is looked at.
        while self._series:
            kind, series = next(iter(self._series.items()))
            if now - series.seen <= SERIES_IDLE:
                return
            del self._series[kind]


def _cut(text: str, limit: int) -> str:
    """Return the text in at most so many bytes of UTF-8, cut between characters."""
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
    """Return the instance that a policy names, whether there is one or not."""
    if isinstance(about, InstanceObject):
        return None
    return {"apiVersion": API_VERSION, "kind": INSTANCE_KIND, "name": about.instance}


def _micro_time(moment: datetime) -> str:
    """Return RFC 3339 with microseconds, also when they are zero."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
