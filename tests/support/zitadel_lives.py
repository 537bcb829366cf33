"""Lives of a policy in a ZITADEL under faults: engine, adapter and emulator over HTTP.

A policy is created by name, edited, reset by somebody else, and deleted; Kubernetes is
in memory. A life that ends well always leaves the same events in ZITADEL's log.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypedDict

from support.engines import INSTANCE, compose, policy, with_spec
from support.fakes import FakeCluster, FakeRecorder
from support.settings import mails
from support.steps import Steps
from zitadel_emulator.access import INSTANCE as EVERYWHERE
from zitadel_emulator.faults import Fault
from zitadel_emulator.policies import reset
from zitadel_emulator.server import Emulator
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.credentials import (
    CaRef,
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.engine.leader.engine import Engine
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

ACME = "280000000000000101"
KEY = PolicyKey("own", "p")
POLICY = "/management/v1/policies/notification"
CALL = 2.0
"""The timeout of a call in seconds; on a busy machine half a second is too short."""

PATIENCE = 200.0
"""Seconds that a phase may take on a busy machine: twice two faults with their backoff.
"""


class Where(TypedDict):
    """Which calls a fault befalls."""

    method: str
    path: str


CALLS: dict[str, Where] = {
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
"""The events of a life in ZITADEL's log; the first removal is somebody else's."""


@dataclass
class ZitadelLife:
    """One policy, its ZITADEL, and the engine between them."""

    emulator: Emulator
    fault: Callable[[], Fault] | None
    cluster: FakeCluster
    engine: Engine

    async def run(self) -> None:
        """Live all phases, with two faults at the beginning of each."""
        await self.create()
        self._phase()
        self.seen(settings=mails(True), generation=2)
        await self.until(lambda: self.holds(2, value=True))
        self._phase()
        reset(self.emulator.zitadel.log, ACME, "somebody")
        await self.until(lambda: self.holds(4, value=True))
        self._phase()
        self.seen(deleting=True, generation=3)
        await self.until(lambda: KEY not in self.cluster.policies)

    async def create(self) -> None:
        """Start the engine and create the policy; return when it is Ready."""
        self._phase()
        await self.engine.start()
        await self.engine.lead(fresh=True)
        self.cluster.put(replace(policy("p"), organization=Reference(By.NAME, "acme")))
        self.engine.watch_events.seen(self.cluster.policies[KEY])
        await self.until(lambda: self.holds(1, value=False))

    def _phase(self) -> None:
        self.emulator.faults.active.clear()
        if self.fault is not None:
            self.emulator.faults.add(self.fault())

    def seen(self, **changes: Any) -> None:
        """Store a change of the policy, and deliver its watch event to the engine."""
        stored = self.cluster.put(replace(self.cluster.policies[KEY], **changes))
        self.engine.watch_events.seen(stored)

    def holds(self, events: int, *, value: bool) -> bool:
        """Return whether the policy is Ready with a value after this many events."""
        stored = self.cluster.policies[KEY]
        ready = find(stored.status.conditions, "Ready")
        return (
            ready is not None
            and ready.status == "True"
            and ready.observed_generation == stored.generation
            and stored.status.is_default is False
            and stored.status.settings == mails(value)
            and len(self.events()) >= events
        )

    async def until(self, ask: Callable[[], bool]) -> None:
        """Wait until a condition holds, at most as long as a phase may take."""
        async with asyncio.timeout(PATIENCE):
            while not ask():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.05)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the policy's events in ZITADEL, oldest first."""
        return [
            (event.type, dict(event.payload))
            for event in self.emulator.zitadel.log.of(ACME)
            if ".policy.notification." in event.type
        ]


def add_credential(
    emulator: Emulator, cluster: FakeCluster, *, key: bool, token: str = ""
) -> CredentialRef:
    """Create a user with role IAM_OWNER, and store its credential in a Secret.

    Args:
        emulator: Where the user is created.
        cluster: Where the Secret is stored.
        key: Whether to create a key file instead of a client secret.
        token: The personal access token that the emulator was started with; if given,
            it is stored instead.
    """
    if token:
        cluster.secrets["s"] = {"token": token.encode()}
        return CredentialRef(CredentialKind.TOKEN, "s", "token")
    user = emulator.zitadel.add_user({EVERYWHERE: ["IAM_OWNER"]})
    if key:
        content = emulator.zitadel.keys.add_key(user.id)[0].content
        cluster.secrets["s"] = {"key.json": json.dumps(content).encode()}
        return CredentialRef(CredentialKind.KEY, "s", "key.json")
    secret, _ = emulator.zitadel.keys.set_secret(user.id)
    cluster.secrets["s"] = {
        "clientId": user.user_name.encode(),
        "clientSecret": secret.encode(),
    }
    return CredentialRef(CredentialKind.CLIENT, "s")


async def one_life(
    emulator: Emulator,
    url: str,
    fault: Callable[[], Fault] | None,
    roots: bytes = b"",
    *,
    key: bool = False,
    token: str = "",
) -> list[tuple[str, Any]]:
    """Live a life; return its events in ZITADEL.

    Args:
        emulator: A ZITADEL that no other life uses.
        url: Its URL.
        fault: Creates the fault of a phase; None means that there are no faults.
        roots: The authority of the URL's certificate in PEM, if the system does not
            trust it.
        key: Whether to use a key file, which needs discovery, instead of a client
            secret.
        token: The emulator's personal access token, which is used instead if given.
    """
    async with a_life(emulator, url, fault, roots, key=key, token=token) as life:
        await life.run()
    assert life.cluster.complaints == []
    return life.events()


@asynccontextmanager
async def a_life(
    emulator: Emulator,
    url: str,
    fault: Callable[[], Fault] | None,
    roots: bytes = b"",
    *,
    key: bool = False,
    token: str = "",
    **instance: Any,
) -> AsyncIterator[ZitadelLife]:
    """Yield a life for the test to run; stop its engine afterwards.

    Args:
        emulator: As in `one_life`.
        url: As in `one_life`.
        fault: As in `one_life`.
        roots: As in `one_life`.
        key: As in `one_life`.
        token: As in `one_life`.
        instance: Fields of the ZitadelInstance.
    """
    cluster = FakeCluster(Steps())
    credential = add_credential(emulator, cluster, key=key, token=token)
    cluster.config_maps["ca"] = {"ca.crt": roots}
    connector = ZitadelConnector(call_timeout=CALL, allow_local=True)
    parts = compose(
        cluster,
        connector,
        FakeRecorder(),
        lambda: datetime.now(UTC),
        write_limit=CALL,
    )
    fields = {"method": DriftMethod.EVENTS, "events_interval": 1.0, **instance}
    cluster.put_instance(
        with_spec(
            INSTANCE,
            url=url,
            credential=credential,
            ca=CaRef("ConfigMap", "ca", "ca.crt") if roots else None,
            **fields,
        )
    )
    engine = parts.engine
    try:
        yield ZitadelLife(emulator, fault, cluster, engine)
    finally:
        await engine.stop()
        await connector.aclose()
