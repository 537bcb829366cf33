"""An engine on a virtual clock, between a Kubernetes and a ZITADEL in memory."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypedDict

from prometheus_client import CollectorRegistry

from support.fakes import FakeCluster, FakeRecorder, FakeZitadel
from support.settings import mails
from support.steps import Steps
from support.virtual_time import VirtualLoop
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import Condition, find
from zitadel_notification_operator.core.credentials import (
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.instance_object import (
    DriftMethod,
    DriftSettings,
    InstanceObject,
)
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.objects import (
    NotUnderstood,
    OwnObject,
    OwnStatus,
)
from zitadel_notification_operator.core.original import Original
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.core.settings import Settings
from zitadel_notification_operator.engine.calls.lease_guard import LeaseGuard
from zitadel_notification_operator.engine.calls.write_turns import WRITE_LIMIT
from zitadel_notification_operator.engine.leader.composition import Composition
from zitadel_notification_operator.engine.leader.engine import Engine
from zitadel_notification_operator.engine.leader.shared_parts import Ports
from zitadel_notification_operator.engine.ports import Connector, Recorder
from zitadel_notification_operator.engine.queue.engine_metrics import PassMetrics
from zitadel_notification_operator.engine.queue.keys import key_of, policy_key
from zitadel_notification_operator.telemetry.objects import ObjectMetrics
from zitadel_notification_operator.telemetry.passes import PrometheusMetrics

MOMENT = 1e-6
"""Seconds below which a difference is a rounding error of the virtual clock. To wait
for less would not move the clock, and would never end."""

REF = CredentialRef(CredentialKind.TOKEN, "s", "token")
INSTANCE = InstanceObject(
    key=ObjectKey("", "default"),
    uid="i",
    generation=1,
    created="2026-01-01T00:00:00Z",
    url="https://z",
    credential=REF,
    drift=DriftSettings(DriftMethod.POLL),
    finalizers=("zitadel-notification.dev/cleanup",),
)


class PolicyChanges(TypedDict, total=False):
    """Fields of a policy that a test sets, for `dataclasses.replace`."""

    key: PolicyKey
    uid: str
    generation: int
    created: str
    deleting: bool
    finalizers: tuple[str, ...]
    requested_at: str | None
    status: PolicyStatus
    not_understood: NotUnderstood | None
    instance: str
    scope: Scope
    organization: Reference | None
    settings: Settings
    management: ManagementPolicy
    deletion: DeletionPolicy | None
    suspended: bool
    original: Original | None
    original_text: str | None


def with_spec(instance: InstanceObject, **changes: Any) -> InstanceObject:
    """Return the instance with other values; those of `drift` go by their own names."""
    of_drift = {
        name: changes.pop(name)
        for name in {"method", "events_interval", "poll_interval"} & changes.keys()
    }
    drift = replace(instance.drift, **of_drift)
    return replace(instance, drift=drift, **changes)


def policy(name: str, org: str = "o", second: int = 0) -> PolicyObject:
    """Return a policy of an organization, in the operator's own namespace."""
    return PolicyObject(
        key=PolicyKey("own", name),
        uid=f"uid-{name}",
        generation=1,
        created=f"2026-01-01T00:00:{second:02}Z",
        scope=Scope.ORGANIZATION,
        instance="default",
        settings=mails(False),
        organization=Reference(By.ID, org),
    )


def condition_of(status: OwnStatus, kind: str) -> Condition:
    """Return a condition that this status must have."""
    found = find(status.conditions, kind)
    assert found is not None, f"there is no {kind} in {status.conditions}"
    return found


def original_of(marked: PolicyObject) -> Original:
    """Return the original in the annotation that this policy must have."""
    assert marked.original is not None, marked.original_text
    return marked.original


def pass_metrics() -> PrometheusMetrics:
    """Return a metrics recorder with a registry of its own."""
    return PrometheusMetrics(
        CollectorRegistry(), ObjectMetrics(lambda: True), workers=1
    )


def compose(
    cluster: FakeCluster,
    connector: Connector,
    recorder: Recorder,
    now: Callable[[], datetime],
    *,
    workers: int = 4,
    seed: int = 1,
    metrics: PassMetrics | None = None,
    lease_guard: LeaseGuard | None = None,
    write_limit: float = WRITE_LIMIT,
    namespace: str = "own",
    operator_class: str = "",
) -> Composition:
    """Build an engine as `app` does, with a Kubernetes in memory."""
    ports = Ports(
        reader=cluster,
        writer=cluster,
        secrets=cluster,
        connector=connector,
        recorder=recorder,
        now=now,
        chance=random.Random(seed),
        metrics=pass_metrics() if metrics is None else metrics,
    )
    return Composition(
        ports,
        namespace,
        workers=workers,
        operator_class=operator_class,
        lease_guard=lease_guard,
        write_limit=write_limit,
    )


class Harness:
    """The stores in memory, which outlive a process, and one process at a time."""

    def __init__(self) -> None:
        self.steps = Steps()
        self.cluster = FakeCluster(self.steps)
        self.zitadel = FakeZitadel(self.steps)
        self.recorder = FakeRecorder()
        self.cluster.secrets["s"] = {"token": b"token"}
        self.cluster.put_instance(INSTANCE)
        self.engine: Engine | None = None
        self.parts: Composition | None = None

    async def start(self, workers: int = 4) -> Engine:
        """Start a new process."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.parts = compose(
            self.cluster, self.zitadel, self.recorder, loop.now, workers=workers
        )
        self.engine = self.parts.engine
        self.cluster.watched = self._deliver
        await self.engine.start()
        await self.engine.lead(fresh=True)
        return self.engine

    async def live(self, seconds: float) -> None:
        """Let the process run; if it is killed, another one starts at once."""
        assert self.engine is not None
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > MOMENT:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.engine.failed.wait(), left)
                assert self.engine.failure is not None
                self.engine.abort(self.engine.failure)
                await self.engine.stop()
                await self.start()

    async def stop(self) -> None:
        """End the process; require that Flux understands each status that it stored."""
        assert self.engine is not None
        await self.engine.stop()
        assert self.cluster.complaints == []

    def seen(self, changed: PolicyObject) -> None:
        """Store a user's change and deliver its watch event to the engine."""
        stored = self.cluster.put(changed)
        assert self.engine is not None
        self.engine.watch_events.seen(stored)
        if changed.key not in self.cluster.policies:
            self.engine.watch_events.gone(policy_key(changed.key))

    def _deliver(self, one: OwnObject, is_gone: bool) -> None:
        """Deliver the watch event of a change that the engine itself has made."""
        assert self.engine is not None
        self.engine.watch_events.seen(one)
        if is_gone:
            self.engine.watch_events.gone(key_of(one), one.uid)

    def set_seen(self, changed: SetObject) -> None:
        """Store a user's change of a set and deliver its watch event to the engine."""
        stored = self.cluster.put_set(changed)
        assert self.engine is not None
        self._deliver(stored, changed.key not in self.cluster.sets)

    def instance_seen(self, changed: InstanceObject) -> None:
        """Store an administrator's change and deliver its watch event to the engine."""
        stored = self.cluster.put_instance(changed)
        assert self.engine is not None
        self.engine.watch_events.seen(stored)

    def policy(self, name: str) -> PolicyObject:
        """Return a policy as stored."""
        return self.cluster.policies[PolicyKey("own", name)]

    def ready(self, name: str) -> Condition:
        """Return a policy's Ready condition."""
        return condition_of(self.policy(name).status, "Ready")
