"""Thin kopf handlers: unpack a watch event, hand it over, return None.

kopf does discovery, watching, reconnecting and login here, and nothing else: its
storages, timers, daemons, indices, peering and Event posting stay off (ADR 0004).
A value returned from a handler would be written into the object's status.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from itertools import repeat
from typing import Any

import kopf

from zitadel_notification_operator.cluster.names import (
    GROUP,
    INSTANCES,
    POLICIES,
    VERSION,
)
from zitadel_notification_operator.cluster.resources import (
    UnusableObject,
    parse_instance,
    parse_policy,
)
from zitadel_notification_operator.core.backoff import retry_delay
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.engine.engine import Engine

_UNUSED_FINALIZER = "zitadel-notification.dev/never-set-by-kopf"

_log = logging.getLogger(__name__)


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing, so that kopf copies and compares no bodies."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return {}

    def fetch(self, *, body: Any) -> Any:
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """Keeps nothing: the engine's queue has the retries."""

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


class _Patience:
    """Seconds between tries of kopf's own calls: growing, and without an end.

    With its own list a watch ends after a minute of refusals, and the process with it:
    an outage of the API server, or rights that one namespace lacks, would restart the
    operator again and again. A leader still ends with its lease.
    """

    def __iter__(self) -> Iterator[float]:
        """Begin anew."""
        yield from (1, 1, 2, 3, 5, 8, 13, 21)
        yield from repeat(30)


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings; figures and reasons: ADR 0004."""
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
    engine: Engine,
    login: Callable[[], Awaitable[kopf.ConnectionInfo]],
    start: Callable[[], Awaitable[None]],
    stop: Callable[[], Awaitable[None]],
) -> kopf.OperatorRegistry:
    """Return a registry whose handlers feed the engine.

    Args:
        engine: Takes what the watches tell.
        login: Gives the way into the cluster, again when it has expired.
        start: Starts the engine; awaited before the first watch, and again when
            Kubernetes did not answer.
        stop: Stops it; awaited at the end.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, id="login")
    async def _login(**_: Any) -> kopf.ConnectionInfo:
        return await login()

    @kopf.on.startup(registry=registry, id="start")
    async def _start(retry: int, **_: Any) -> None:
        try:
            await start()
        except ClusterError as error:
            # kopf would wait for a minute, and log where the error came from.
            delay = retry_delay(retry + 1, chance=0.5)
            raise kopf.TemporaryError(error.message, delay=delay) from error

    @kopf.on.cleanup(registry=registry, id="stop")
    async def _stop(**_: Any) -> None:
        await stop()

    @kopf.on.event(GROUP, VERSION, POLICIES, registry=registry, id="policy")
    async def _policy(event: Any, **_: Any) -> None:
        _hand_over_policy(engine, event)

    @kopf.on.event(GROUP, VERSION, INSTANCES, registry=registry, id="instance")
    async def _instance(event: Any, **_: Any) -> None:
        _hand_over_instance(engine, event)

    return registry


def _hand_over_policy(engine: Engine, event: Any) -> None:
    body = event["object"]
    metadata = body["metadata"]
    key = PolicyKey(metadata["namespace"], metadata["name"])
    if event["type"] == "DELETED":
        engine.policy_gone(key, metadata["uid"])
        return
    # Two of three events are echoes of our own writes, whose answers we have read.
    if engine.has_policy(key, metadata["uid"], metadata["resourceVersion"]):
        return
    try:
        policy = parse_policy(body)
    except UnusableObject as error:
        _log.warning("Ignored an object that does not fit its schema: %s", error)
        return
    engine.policy_seen(policy)


def _hand_over_instance(engine: Engine, event: Any) -> None:
    body = event["object"]
    if event["type"] == "DELETED":
        engine.instance_gone(body["metadata"]["name"], body["metadata"]["uid"])
        return
    try:
        instance = parse_instance(body)
    except UnusableObject as error:
        _log.warning("Ignored an object that does not fit its schema: %s", error)
        return
    engine.instance_seen(instance)
