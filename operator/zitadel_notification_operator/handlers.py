"""Thin kopf handlers: they unpack a watch event, hand it to the engine and return None.

kopf is used only for discovery, watching, reconnecting and login. Its storages, timers,
daemons, indices, peering and Event posting stay off (ADR 0004). kopf would write a
value that a handler returns into the object's status.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Iterator
from itertools import count, repeat
from typing import Any

import kopf

# kopf offers the class of its parameter `memories` nowhere else.
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from zitadel_notification_operator.cluster.names import GROUP, VERSION
from zitadel_notification_operator.cluster.resources import UnusableObject, parse
from zitadel_notification_operator.core.backoff import bounded_delay
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.kinds import Kind
from zitadel_notification_operator.engine.leader.intake import Intake
from zitadel_notification_operator.engine.queue.keys import Key

_UNUSED_FINALIZER = "zitadel-notification.dev/never-set-by-kopf"

_log = logging.getLogger(__name__)


class _FaultsAlone(logging.Filter):
    """Drops the tracebacks of watches whose kind is no longer served.

    `app` logs that in a sentence, and starts again without the kind.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is about anything else."""
        error = record.exc_info[1] if record.exc_info else None
        return getattr(error, "status", None) != _NOT_FOUND


_NOT_FOUND = 404

for _name in ("running", "orchestration"):
    logging.getLogger(f"kopf._core.reactor.{_name}").addFilter(_FaultsAlone())


class _NoDiffBase(kopf.DiffBaseStorage):
    """Stores nothing, so that kopf neither copies nor compares bodies."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return {}

    def fetch(self, *, body: Any) -> Any:
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """Stores nothing: the engine's queue is responsible for retries.

    kopf's own storage would copy each body in order to take its annotations out.
    """

    def fetch(self, *, key: Any, body: Any) -> Any:
        return None

    def store(self, *, key: Any, record: Any, body: Any, patch: Any) -> None:
        return None

    def purge(self, *, key: Any, body: Any, patch: Any) -> None:
        return None

    def touch(self, *, body: Any, patch: Any, value: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence


class NoMemories(ResourceMemories):
    """Remembers no object: the engine's inventory does that.

    kopf keeps a kilobyte for each object that it has ever seen, for the handlers of
    changes, timers and daemons. There are none, and events are only handed over.
    """

    async def recall(self, raw_body: Any, **options: Any) -> ResourceMemory:
        """Return a memory for one event, which is not kept."""
        return await super().recall(raw_body, **{**options, "ephemeral": True})


class _Patience:
    """Seconds between retries of kopf's own calls: they grow, and never end.

    With kopf's own list, a watch would end after a minute of refusals, and the process
    with it: an outage of the API server, or missing permissions in one namespace, would
    restart the operator again and again. A leader still ends with its lease. Most
    failures never reach kopf, because the session that it is given retries by itself
    (`cluster.watching`).
    """

    def __iter__(self) -> Iterator[float]:
        """Start with the shortest delay again."""
        yield from (1, 1, 2, 3, 5, 8, 13, 21)
        yield from repeat(30)


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings; ADR 0004 has the figures and reasons."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.persistence.finalizer = _UNUSED_FINALIZER
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.queueing.worker_limit = 256
    settings.queueing.idle_timeout = 0.01
    settings.queueing.exit_timeout = 2.0
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 290
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = _Patience()
    # kopf would kill this whole process some time after its own end.
    settings.process.ultimate_exiting_timeout = None
    return settings


def build_registry(
    watch_events: Intake,
    login: Callable[[], Awaitable[kopf.AiohttpSession]],
    start: Callable[[], Awaitable[None]],
    stop: Callable[[], Awaitable[None]],
    kinds: Collection[Kind],
) -> kopf.OperatorRegistry:
    """Return a registry whose handlers feed the engine.

    Args:
        watch_events: Receives the objects that the watches deliver.
        login: Returns the session for the watches.
        start: Starts the engine. It is awaited before the first watch, and again if
            Kubernetes did not answer.
        stop: Stops the engine; awaited at the end.
        kinds: The kinds that are served. kopf looks for each only once, when it starts.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, id="login")
    async def _login(**_: Any) -> kopf.AiohttpSession:
        return await login()

    @kopf.on.startup(registry=registry, id="start")
    async def _start(**_: Any) -> None:
        await _try_until_started(start)

    @kopf.on.cleanup(registry=registry, id="stop")
    async def _stop(**_: Any) -> None:
        await stop()

    def watch(kind: Kind) -> None:
        @kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id=kind.name)
        async def _handle(event: Any, **_: Any) -> None:
            try:
                _hand_over(watch_events, kind, event)
            except UnusableObject as error:
                _log.warning("Ignored an object: %s", error)

    for kind in kinds:
        watch(kind)
    return registry


async def _try_until_started(start: Callable[[], Awaitable[None]]) -> None:
    """Retry with growing delays; kopf's own retries would log a line each."""
    for attempt in count(1):
        try:
            await start()
        except ClusterError as error:
            level = logging.WARNING if error.claim_logging() else logging.DEBUG
            _log.log(level, "The start waits: %s", error.message)
            delay = bounded_delay(attempt, random.random(), error.retry_after)  # noqa: S311 - it spreads load
            await asyncio.sleep(delay)
        else:
            return


def _hand_over(watch_events: Intake, kind: Kind, event: Any) -> None:
    body = event["object"]
    metadata = body.get("metadata") or {}
    key = Key(kind, metadata.get("namespace", ""), metadata.get("name", ""))
    uid, version = metadata.get("uid", ""), metadata.get("resourceVersion", "")
    if event["type"] == "DELETED":
        watch_events.gone(key, uid)
    # An echo of our own write, whose response has come after the watch let it through.
    elif not watch_events.has(key, uid, version):
        watch_events.seen(parse(kind, body))
