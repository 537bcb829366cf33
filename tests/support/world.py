"""The world of random stories: stores in memory, and one engine process at a time."""

import asyncio
import contextlib
import logging
import random
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any
from unittest.mock import patch

from support.engines import INSTANCE, MOMENT, Harness, compose, with_spec
from support.virtual_time import VirtualLoop
from support.world_cluster import Lags, MortalSteps, WorldCluster
from support.world_judge import Judge
from support.world_model import Model
from support.world_zitadel import WorldConnector, WorldZitadel
from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.conditions import format_time
from zitadel_notification_operator.core.credentials import (
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.engine.leader.engine import Engine
from zitadel_notification_operator.engine.leader.passes import Passes
from zitadel_notification_operator.engine.queue.keys import Key

URLS = {"https://z": "z", "https://y": "y"}
"""The URLs of the ZITADELs, and their ids."""

ORGANIZATIONS = {"o1": "Alpha", "o2": "Beta", "o3": "Gamma"}
DOMAINS = {"alpha.example": "o1", "beta.example": "o2"}


class World(Harness):
    """A harness for stories; each complaint of its judge is a failure.

    Args:
        lags: The latency of a call each way, at most, and of the watch, in seconds.
        workers: How many policies of one instance may have a pass at the same time.
    """

    def __init__(self, lags: Lags = (0.0, 0.05), *, workers: int = 4) -> None:
        super().__init__()
        self._workers = workers
        self.checked: dict[str, list[float]] = {}
        self.steps: MortalSteps = MortalSteps()
        chance = random.Random(1)
        self.model = Model(self)
        self.judge = Judge(self, self.model)
        self.began = 0.0
        self.looked_up: dict[str, float] = {}
        self.number = 0
        self.tokens = {"s": "token"}
        self.cluster: WorldCluster = WorldCluster(self.steps, chance, lags)
        self.cluster.judge_mark = self.judge.mark
        self.cluster.judge_status = self.judge.status
        self.cluster.judge_strip = self.judge.strip
        self.cluster.on_stored = self._on_stored
        self.cluster.secrets["s"] = {"token": b"token"}
        self.zitadels = {url: WorldZitadel(self.steps, i) for url, i in URLS.items()}
        for zitadel in self.zitadels.values():
            zitadel.home = "o1"
            zitadel.names = dict(ORGANIZATIONS)
            zitadel.domains = dict(DOMAINS)
            zitadel.flags = {"": {"emailChange": True}}
            zitadel.record_names()
        self.zitadel = self.zitadels["https://z"]
        self._faults = _Faults(self.judge)

    async def start(self, workers: int | None = None) -> Engine:
        """Start a new process; its first LIST always succeeds."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        logging.getLogger(Passes.__module__).addHandler(self._faults)
        self.began = loop.time()
        self.judge.restarted()
        failure, self.cluster.failure = self.cluster.failure, None
        self.parts = compose(
            self.cluster,
            WorldConnector(self),
            self.recorder,
            loop.now,
            workers=workers or self._workers,
        )
        self.engine = self.parts.engine
        await self.engine.start()
        self.cluster.failure = failure
        self.cluster.beliefs.were_all_read()
        self.cluster.restart_watch(self.engine.watch_events)
        await self.engine.lead(fresh=True)
        return self.engine

    async def live(self, seconds: float) -> None:
        """Let the process run; a killed one is followed by another at once."""
        assert self.engine is not None
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > MOMENT:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.engine.failed.wait(), left)
                await self.crash()

    async def crash(self) -> None:
        """Kill the process in the middle of its work; start another one."""
        assert self.engine is not None
        failure = self.engine.failure or RuntimeError("killed")
        if type(failure).__name__ not in {"Killed", "RuntimeError"}:
            self.judge.complain(f"the engine failed: {failure!r}")
        self.steps.kill_at, self.steps.dead = -1, False
        self.cluster.restart_watch(None)
        self.engine.abort(failure)
        await self.engine.stop()
        await self.start()

    async def restart(self) -> None:
        """Stop the process in an orderly way; start another one."""
        assert self.engine is not None
        await self.engine.stop()
        self.cluster.restart_watch(None)
        await self.start()

    async def end(self) -> None:
        """Stop the process; start no other one."""
        assert self.engine is not None
        self.cluster.restart_watch(None)
        await self.engine.stop()
        logging.getLogger(Passes.__module__).removeHandler(self._faults)

    def now(self) -> str:
        """Return the time in the format of Kubernetes."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return format_time(loop.now())

    def uid(self) -> str:
        """Return a new uid."""
        self.number += 1
        return f"uid-{self.number}"

    def by_uid(self, uid: str) -> PolicyObject | None:
        """Return the stored policy with this uid, or None."""
        found = (p for p in self.cluster.policies.values() if p.uid == uid)
        return next(found, None)

    def put_instance(self, name: str, **changes: Any) -> InstanceObject:
        """Store an instance as an administrator does."""
        known = self.cluster.instances.get(name)
        if known is None:
            known = replace(
                INSTANCE,
                key=ObjectKey("", name),
                uid=self.uid(),
                created=self.now(),
                finalizers=(),
            )
        else:
            known = replace(known, generation=known.generation + 1)
        ref = CredentialRef(CredentialKind.TOKEN, "s", "token")
        changed = with_spec(known, credential=ref, **changes)
        self.model.changed(changed)
        return self.cluster.put_instance(changed)

    def put_set(self, one: SetObject) -> SetObject:
        """Store a set as a user does."""
        self.model.put_set(one)
        return self.cluster.put_set(one)

    def judge_call(self, zitadel: WorldZitadel, *what: Any) -> None:
        """Let the judge check a write."""
        self.judge.meet()
        self.judge.call(zitadel, *what)

    def note_call(
        self, zitadel: WorldZitadel, instance: str, name: str, args: Any, result: Any
    ) -> None:
        """Record the result of a call."""
        if name in {"search", "organizations"}:
            self.looked_up[instance] = asyncio.get_running_loop().time()
        if name in {"identify", "authenticate"}:
            times = self.checked.setdefault(instance, [])
            times.append(asyncio.get_running_loop().time())
        if name == "observe":
            self.judge.saw(
                (zitadel.id, args[0]),
                zitadel.value(args[0]),
                zitadel.flags_of(args[0] or ""),
            )

    def _on_stored(self, key: PolicyKey, stored: PolicyObject | None) -> None:
        self.judge.on_stored(key, stored)
        self.judge.meet()
        if stored is None or stored.organization is None:
            return
        org = stored.status.organization_id
        instance = self.cluster.instances.get(stored.instance)
        if org is None or instance is None:
            return
        zitadel = self.zitadels[instance.url]
        pins = self.model.pins.setdefault(stored.uid, [])
        if (zitadel.id, org) not in pins:
            pins.append((zitadel.id, org))


@lru_cache(maxsize=4096)
def _steady_hash(parts: tuple[Any, ...]) -> int:
    """Return a hash of a key's parts; a story asks for the same ones very often."""
    return zlib.crc32(repr(parts).encode())


@contextlib.contextmanager
def steady_order() -> Iterator[None]:
    """Give sets of keys the same order in every process, so that stories repeat.

    The hashes of strings differ from process to process, and with them the order in
    which the engine starts passes that are due at the same time.
    """

    def hash_of(key: tuple[Any, ...]) -> int:
        return _steady_hash(tuple(key))

    with contextlib.ExitStack() as stack:
        for kind in (PolicyKey, Target, Key):
            stack.enter_context(patch.object(kind, "__hash__", hash_of))
        yield


class _Faults(logging.Handler):
    """A log handler that finds passes which failed by a bug of the operator."""

    def __init__(self, judge: Judge) -> None:
        super().__init__(logging.ERROR)
        self._judge = judge

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._judge.complain(f"{record.getMessage()}: {error!r}")
