"""Runs the engine over a copy of the objects until there is nothing left to do."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.instance_object import (
    DriftMethod,
    InstanceObject,
)
from zitadel_notification_operator.core.kinds import INSTANCE, POLICY, SET
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.engine.leader.composition import Composition
from zitadel_notification_operator.engine.leader.shared_parts import Ports
from zitadel_notification_operator.engine.ports import (
    Connector,
    Notice,
    SecretReader,
)
from zitadel_notification_operator.engine.queue.engine_metrics import Result
from zitadel_notification_operator.engine.queue.keys import Key, key_of
from zitadel_notification_operator.engine.queue.workqueue import Priority

from .dry_zitadel import Change, DryConnector
from .memory_cluster import MemoryCluster

WORKERS = 16
"""Passes over the policies of one instance that run at once, as in `znp run`."""

PATIENCE = 8.0
"""Seconds without any progress after which what is left counts as unknown. The deletion
of a set's policy waits for five."""

_TICK = 0.02
_SOON = 0.5
"""Seconds within which a scheduled pass is awaited, because it belongs to what the
engine is doing now."""

_ENDS = frozenset({Result.SUCCESS, Result.REQUEUE_AFTER, Result.TERMINAL})


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a dry run has shown.

    Attributes:
        objects: All objects as they were before it.
        cluster: All objects as they are after it.
        changes: The writes that the operator would make, in their order.
        synced: The objects whose pass has reached its end.
        results: The result of the last pass over each object.
        failures: Why an instance cannot be used, by its name.
        names: The names of organizations, by id, as far as they were read.
    """

    objects: tuple[OwnObject, ...]
    cluster: MemoryCluster
    changes: tuple[Change, ...]
    synced: frozenset[Key]
    results: dict[Key, Result]
    failures: dict[str, OperatorError]
    names: dict[str, str]


async def run(
    objects: list[OwnObject],
    cluster: MemoryCluster,
    secrets: SecretReader,
    connector: Connector,
    namespace: str,
    timeout: float,  # noqa: ASYNC109 - it ends the run with what is known, not an error
) -> DryRun:
    """Run the engine, and return what it did.

    Args:
        objects: The objects; the same as in `cluster`.
        cluster: The copy of the objects that the engine reads and writes.
        secrets: Reads credentials.
        connector: Creates clients of ZITADEL; they are only used to read.
        namespace: The operator's own namespace.
        timeout: Seconds after which what is left counts as unknown.

    Raises:
        RuntimeError: The engine has failed, which is a defect.
    """
    progress = _Progress()
    dry = DryConnector(connector)
    ports = Ports(
        reader=cluster,
        writer=cluster,
        secrets=secrets,
        connector=dry,
        recorder=_Nobody(),
        now=lambda: datetime.now(UTC),
        metrics=progress,
        chance=random.Random(0),  # noqa: S311 - jitter, not a secret
    )
    # All classes: a plan says what each object would do, whichever operator serves it.
    parts = Composition(ports, namespace, workers=WORKERS, operator_class=None)
    with _watching(parts, cluster):
        try:
            await parts.engine.start()
            await parts.engine.lead(fresh=True)
            async with asyncio.timeout(timeout):
                await _look_at_all(parts, progress, objects)
                await dry.name_targets()
        except TimeoutError:
            pass  # what is left is unknown
        finally:
            await parts.engine.stop()
    if parts.engine.failure is not None:
        raise RuntimeError("the dry run has failed") from parts.engine.failure
    failures = {
        name: failure
        for name in parts.inventory.instances
        if (failure := parts.connections.state(name).failure) is not None
    }
    return DryRun(
        tuple(objects),
        cluster,
        tuple(dry.overlay.changes),
        frozenset(progress.synced_keys),
        progress.results,
        failures,
        dry.overlay.names,
    )


def observed_only_by_reads(instance: InstanceObject) -> InstanceObject:
    """Return an instance whose events are not read: a plan reads each policy itself."""
    drift = replace(instance.drift, method=DriftMethod.DISABLED)
    return replace(instance, drift=drift)


@contextmanager
def _watching(parts: Composition, cluster: MemoryCluster) -> Iterator[None]:
    def watched(one: OwnObject, is_gone: bool) -> None:  # noqa: FBT001 - a callback
        parts.engine.watch_events.seen(one)
        if is_gone:
            parts.engine.watch_events.gone(key_of(one), one.uid)

    cluster.watched = watched
    yield
    cluster.watched = lambda _one, _gone: None


async def _look_at_all(
    parts: Composition, progress: "_Progress", objects: list[OwnObject]
) -> None:
    """Run a pass over each object, also over those that the operator would leave alone.

    Instances come first, because a pass over any other object waits until it is known
    whether its instance can be used.
    """
    instances = [key_of(one) for one in objects if one.kind is INSTANCE]
    for key in instances:
        parts.queue.add(key, Priority.CHANGE)
    await _settle(parts, progress, instances)
    for kind in (SET, POLICY):
        for one in objects:
            if one.kind is kind:
                parts.queue.add(key_of(one), Priority.CHANGE)
    await _settle(parts, progress, [key_of(one) for one in objects])


async def _settle(parts: Composition, progress: "_Progress", wanted: list[Key]) -> None:
    """Wait until all these objects had their pass, and nothing more is going on."""
    loop = asyncio.get_running_loop()
    progress.at = loop.time()
    while not parts.engine.failed.is_set():
        await asyncio.sleep(_TICK)
        due = parts.queue.next_due()
        is_busy = (
            len(parts.queue) > 0
            or parts.queue.active > 0
            or (due is not None and due - loop.time() < _SOON)
        )
        left = [key for key in wanted if progress.results.get(key) not in _ENDS]
        if not is_busy and not left:
            return
        if loop.time() - progress.at > PATIENCE and parts.queue.active == 0:
            return


@dataclass(eq=False, slots=True)
class _Progress:
    """Notes how passes end; implements `PassMetrics`, and counts nothing.

    Attributes:
        results: The result of the last pass over each object.
        synced_keys: The objects whose pass has reached its end.
        at: Loop time of the last pass that did not fail.
    """

    results: dict[Key, Result] = field(default_factory=dict)
    synced_keys: set[Key] = field(default_factory=set)
    at: float = 0.0

    def passed(self, key: Key, result: Result) -> None:
        self.results[key] = result
        if result is not Result.ERROR:
            self.at = asyncio.get_running_loop().time()

    def synced(self, about: OwnObject) -> None:
        self.synced_keys.add(key_of(about))

    def gone(self, key: Key) -> None:
        self.results[key] = Result.SUCCESS

    def added(self, key: Key) -> None:
        pass

    def taken(self, key: Key) -> None:
        pass

    def done(self, key: Key) -> None:
        pass

    def retried(self, key: Key) -> None:
        pass

    def dropped(self, key: Key) -> None:
        pass

    def corrected(self) -> None:
        pass

    def repaired(self, missed: str) -> None:
        pass

    def search_failed(self, instance: str) -> None:
        pass

    def deprecated(self, instance: str, found: Deprecation | None) -> None:
        pass


class _Nobody:
    """Posts no Events; implements `Recorder`."""

    def record(self, about: OwnObject, notice: Notice) -> None:
        pass
