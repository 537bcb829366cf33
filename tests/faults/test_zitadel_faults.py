"""Each fault at each call: the end is that of a run without faults, write by write.

The engine and the real adapter speak HTTP with the emulator; Kubernetes is in memory.
Every case is a life of one policy: created by name, edited, reset by somebody else,
deleted. All cases live at one time, each with a ZITADEL of its own.
"""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from support.engines import INSTANCE, policy
from support.fakes import FakeCluster, FakeRecorder, Steps
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.credentials import (
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.objects import (
    DriftMethod,
    Endpoint,
)
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.emulator.access import INSTANCE as EVERYWHERE
from zitadel_notification_operator.emulator.faults import Fault
from zitadel_notification_operator.emulator.policies import reset
from zitadel_notification_operator.emulator.server import (
    Emulator,
    new_emulator,
    serve,
)
from zitadel_notification_operator.engine import instance_pass
from zitadel_notification_operator.engine.engine import Engine
from zitadel_notification_operator.engine.inventory import Inventory
from zitadel_notification_operator.engine.room import Room
from zitadel_notification_operator.engine.workqueue import WorkQueue
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

ACME = "280000000000000101"
KEY = PolicyKey("own", "p")
POLICY = "/management/v1/policies/notification"
PATIENCE = 90.0
"""Seconds that a phase of a life may take: twice two faults, with their backoff."""

HTML = "<html><body>Bad gateway</body></html>"
DATABASE = {
    "code": 5,
    "message": "unable to set instance using origin x: ID=QUERY-d3fas",
}
REJECTED = {"code": 16, "message": "Errors.Token.Invalid (AUTH-7fs1e)"}

FAULTS: dict[str, dict[str, Any]] = {
    "429 with Retry-After": {"status": 429, "headers": {"Retry-After": "1"}},
    "429": {"status": 429},
    "500": {"status": 500, "body": "{}"},
    "503 HTML": {"status": 503, "body": HTML},
    "200 HTML": {"status": 200, "body": HTML},
    "reset": {"reset": True},
    "hang": {"hang": True},
    "slow": {"latency": 2.0},
    "truncated": {"truncate": 20},
    "empty object": {"status": 200, "body": "{}"},
    "401": {"status": 401, "body": json.dumps(REJECTED)},
    "database down": {"status": 404, "body": json.dumps(DATABASE)},
    "done, then reset": {"reset": True, "after": True},
    "done, then 500": {"status": 500, "after": True},
}
CALLS: dict[str, dict[str, str]] = {
    "GET": {"method": "GET", "path": POLICY},
    "POST": {"method": "POST", "path": POLICY},
    "PUT": {"method": "PUT", "path": POLICY},
    "DELETE": {"method": "DELETE", "path": POLICY},
    "existence": {"method": "GET", "path": "/management/v1/orgs/me"},
    "token": {"method": "POST", "path": "/oauth/v2/token"},
    "discovery": {"method": "GET", "path": "/.well-known"},
    "organizations": {"method": "POST", "path": "/v2/organizations/_search"},
    "events": {"method": "POST", "path": "/admin/v1/events/_search"},
    "identity": {"method": "POST", "path": "/auth/v1/permissions"},
}
HISTORY = [
    ("org.policy.notification.added", {}),
    ("org.policy.notification.changed", {"passwordChange": True}),
    ("org.policy.notification.removed", {}),
    ("org.policy.notification.added", {"passwordChange": True}),
    ("org.policy.notification.removed", {}),
]
"""What a life leaves in ZITADEL's event log; the first removal is somebody else's."""


@dataclass
class Life:
    """One policy, its ZITADEL, and the engine between them."""

    emulator: Emulator
    fault: Callable[[], Fault] | None
    cluster: FakeCluster
    engine: Engine

    async def run(self) -> None:
        """Live it, with two faults at the beginning of each phase."""
        self._phase()
        self.cluster.put(replace(policy("p"), organization=Reference(By.NAME, "acme")))
        self.engine.policy_seen(self.cluster.policies[KEY])
        await self._until(lambda: self._holds(1, value=False))
        self._phase()
        self._seen(password_change=True, generation=2)
        await self._until(lambda: self._holds(2, value=True))
        self._phase()
        reset(self.emulator.zitadel.log, ACME, "somebody")
        await self._until(lambda: self._holds(4, value=True))
        self._phase()
        self._seen(deleting=True, generation=3)
        await self._until(lambda: KEY not in self.cluster.policies)

    def _phase(self) -> None:
        self.emulator.faults.active.clear()
        if self.fault is not None:
            self.emulator.faults.add(self.fault())

    def _seen(self, **changes: Any) -> None:
        stored = self.cluster.put(replace(self.cluster.policies[KEY], **changes))
        self.engine.policy_seen(stored)

    def _holds(self, events: int, *, value: bool) -> bool:
        stored = self.cluster.policies[KEY]
        ready = find(stored.status.conditions, "Ready")
        return (
            ready is not None
            and ready.status == "True"
            and ready.observed_generation == stored.generation
            and stored.status.is_default is False
            and stored.status.password_change is value
            and len(self.events()) >= events
        )

    async def _until(self, ask: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not ask():  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.05)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what happened to the policy, oldest first."""
        return [
            (event.type, dict(event.payload))
            for event in self.emulator.zitadel.log.of(ACME)
            if ".policy.notification." in event.type
        ]


async def one_life(call: str | None, fault: str | None) -> list[tuple[str, Any]]:
    """Live a life with one kind of fault at one kind of call; return its history."""
    emulator = new_emulator("token")
    async with serve(emulator) as running:
        cluster = FakeCluster(Steps())
        user = running.zitadel.add_user({EVERYWHERE: ["IAM_OWNER"]})
        ref = CredentialRef(CredentialKind.CLIENT, "s")
        secret, _ = running.zitadel.keys.set_secret(user.id)
        cluster.secrets["s"] = {
            "clientId": user.user_name.encode(),
            "clientSecret": secret.encode(),
        }
        connector = ZitadelConnector(call_timeout=0.5, allow_local=True)
        room = Room(
            inventory=Inventory("own"),
            queue=WorkQueue(),
            writer=cluster,
            instance_writer=cluster,
            secrets=cluster,
            connector=connector,
            recorder=FakeRecorder(),
            now=lambda: datetime.now(UTC),
            chance=random.Random(1),
        )
        cluster.put_instance(
            replace(
                INSTANCE,
                endpoint=Endpoint(running.url),
                credential=ref,
                method=DriftMethod.EVENTS,
                events_interval=1.0,
            )
        )
        engine = Engine(room, cluster, workers=4)
        await engine.start()
        await engine.lead(fresh=True)
        made = None
        if call is not None and fault is not None:
            settings = CALLS[call] | FAULTS[fault] | {"times": 2}

            def made() -> Fault:
                return Fault(**settings)

        life = Life(running, made, cluster, engine)
        try:
            await life.run()
        finally:
            await engine.stop()
            await connector.aclose()
        assert cluster.complaints == []
        return life.events()


def test_every_fault_at_every_call_ends_as_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No fault is taken for a value, none leads to a write that nobody asked for."""
    # Else a credential that is refused twice is looked at again after a minute.
    monkeypatch.setattr(instance_pass, "SECRET_INTERVAL", 5.0)

    async def story() -> dict[str, Any]:
        cases = [(call, fault) for call in CALLS for fault in FAULTS]
        found = await asyncio.gather(
            *(one_life(call, fault) for call, fault in cases), return_exceptions=True
        )
        return {
            f"{call}: {fault}": history
            for (call, fault), history in zip(cases, found, strict=True)
            if history != HISTORY
        }

    assert asyncio.run(one_life(None, None)) == HISTORY
    assert asyncio.run(story()) == {}
