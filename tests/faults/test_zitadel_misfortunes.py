"""Single failures over HTTP: engine, adapter and emulator, with fifty quiet policies.

Kubernetes is in memory. Real time passes, because tokens expire by the server's clock.
The checks after a failure come as in production; those in quiet times come sooner.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from support.engines import INSTANCE, compose, policy, with_spec
from support.fakes import FakeCluster, FakeRecorder
from support.settings import mails
from support.steps import Steps
from support.zitadel_lives import Where
from zitadel_emulator.access import INSTANCE as EVERYWHERE
from zitadel_emulator.faults import Fault
from zitadel_emulator.server import (
    Emulator,
    new_emulator,
    serve,
)
from zitadel_notification_operator.core.conditions import Condition, find
from zitadel_notification_operator.core.credentials import (
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.engine.instances import instance_pass, instance_probe
from zitadel_notification_operator.engine.leader.engine import Engine
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

pytestmark = [pytest.mark.clock, pytest.mark.timeout(600)]

COUNT = 50
FIRST = 280000000000000101
LIFE = 60
"""Seconds that a token lives; its renewal begins six before."""

REJECTED = json.dumps({"code": 16, "message": "Errors.Token.Invalid (AUTH-7fs1e)"})
FAILED = json.dumps({"error": "server_error", "error_description": "Errors.Internal"})
TOKEN: Where = {"method": "POST", "path": "/oauth/v2/token"}
PERMISSIONS: Where = {"method": "POST", "path": "/auth/v1/permissions"}


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let instances be checked every second while nothing fails."""
    monkeypatch.setattr(instance_pass, "SECRET_INTERVAL", 1.0)
    monkeypatch.setattr(instance_probe, "CHECK_INTERVAL", 0.5)


@dataclass
class Running:
    """An operator with fifty policies that are Ready, and its ZITADEL."""

    emulator: Emulator
    cluster: FakeCluster
    recorder: FakeRecorder
    engine: Engine
    user: str

    def writes(self) -> tuple[int, int]:
        """Return the status writes of policies and of the instance."""
        written = [step[1] for step in self.cluster.steps.log if step[0] == "status"]
        return len(written) - written.count("default"), written.count("default")

    def requests(self, path: str) -> int:
        """Return the number of calls to a path."""
        seen = self.emulator.requests
        return sum(request["path"].startswith(path) for request in seen)

    def reasons(self) -> set[str]:
        """Return the reasons of all policies' Ready conditions."""
        return {_ready(stored).reason for stored in self.cluster.policies.values()}

    def instance(self) -> Condition:
        """Return the instance's Ready condition."""
        return _ready(self.cluster.instances["default"])

    def all_say(self, reason: str) -> bool:
        """Return whether the instance and each policy report this reason."""
        return self.reasons() == {reason} and self.instance().reason == reason

    async def until(self, ask: Callable[[], bool], seconds: float) -> None:
        """Wait until a condition holds."""
        async with asyncio.timeout(seconds):
            while not ask():  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.1)


def _ready(stored: Any) -> Condition:
    found = find(stored.status.conditions, "Ready")
    return found or Condition("Ready", "Unknown", "None", "", 0)


def store_key(emulator: Emulator, cluster: FakeCluster, user: str) -> None:
    """Create a key of a user and store it in the Secret."""
    content = emulator.zitadel.keys.add_key(user)[0].content
    cluster.secrets["s"] = {"key.json": json.dumps(content).encode()}


@asynccontextmanager
async def running(**instance: Any) -> AsyncIterator[Running]:
    """Run an operator with an emulator until all is Ready; then begin to count."""
    cluster, recorder = FakeCluster(Steps()), FakeRecorder()
    async with serve(new_emulator("token", COUNT)) as emulator:
        behavior = replace(emulator.zitadel.behavior, token_lifetime=LIFE)
        emulator.zitadel.behavior = behavior
        user = emulator.zitadel.add_user({EVERYWHERE: ["IAM_OWNER"]}).id
        store_key(emulator, cluster, user)
        key = CredentialRef(CredentialKind.KEY, "s", "key.json")
        reached = {"url": emulator.url, "credential": key}
        cluster.put_instance(with_spec(INSTANCE, **reached, **instance))
        for number in range(COUNT):
            cluster.put(policy(f"p{number}", str(FIRST + number)))
        connector = ZitadelConnector(call_timeout=5, allow_local=True)
        parts = compose(cluster, connector, recorder, lambda: datetime.now(UTC))
        made = Running(emulator, cluster, recorder, parts.engine, user)
        await made.engine.start()
        await made.engine.lead(fresh=True)
        try:
            await made.until(lambda: made.reasons() == {"Succeeded"}, 120)
            cluster.steps.log.clear()
            recorder.notices.clear()
            yield made
        finally:
            await made.engine.stop()
            await connector.aclose()


async def renewal(system: Running) -> None:
    """Let one renewal of a token fail that is still valid."""
    before = system.requests("/oauth/v2/token")
    fault = system.emulator.faults.add(Fault(**TOKEN, status=500, body=FAILED, times=1))
    await system.until(lambda: system.requests("/oauth/v2/token") >= before + 2, 90)
    assert fault.times == 0


async def new_key(system: Running) -> None:
    """Let the first use of a rotated key fail."""
    before = system.requests("/oauth/v2/token")
    system.emulator.faults.add(Fault(**TOKEN, status=500, body=FAILED, times=1))
    store_key(system.emulator, system.cluster, system.user)
    await system.until(lambda: system.requests("/oauth/v2/token") >= before + 2, 30)


async def one_401(system: Running) -> None:
    """Refuse one call of a check."""
    fault = Fault(**PERMISSIONS, status=401, body=REJECTED, times=1)
    system.emulator.faults.add(fault)
    await system.until(lambda: fault.times == 0, 30)


async def one_503(system: Running) -> None:
    """Let one call of a check fail as behind a proxy."""
    fault = Fault(**PERMISSIONS, status=503, body="<html>", times=1)
    system.emulator.faults.add(fault)
    await system.until(lambda: fault.times == 0, 30)


async def no_secret(system: Running) -> None:
    """Remove the Secret for a while."""
    kept = system.cluster.secrets.pop("s")
    await system.until(lambda: system.instance().reason == "CredentialsMissing", 30)
    await asyncio.sleep(40)
    system.cluster.secrets["s"] = kept


async def apply_fault(befall: Callable[[Running], Awaitable[None]]) -> str:
    """Apply a fault to an operator; return what it has wrongly reported."""
    async with running() as system:
        await befall(system)
        await system.until(lambda: system.instance().status == "True", 60)
        await asyncio.sleep(5)
        policies, instance = system.writes()
        most = 2 if befall is no_secret else 0
        reported = [name for name, _ in system.recorder.notices if name != "default"]
        if policies or instance > most or reported:
            return f"{befall.__name__}: {policies}, {instance}, {reported}"
        return ""


async def test_nobody_notices_a_misfortune() -> None:
    """At most two statuses of the instance are written, and no policy's."""
    cases = (renewal, new_key, one_401, one_503, no_secret)
    assert await asyncio.gather(*map(apply_fault, cases)) == [""] * len(cases)


async def test_a_lasting_refusal_is_reported_and_taken_back_within_a_minute() -> None:
    """The user is deactivated and reactivated; all objects report it."""
    async with running() as system:
        for active, reason in ((False, "CredentialsRejected"), (True, "Succeeded")):
            access = system.emulator.zitadel.access
            access.set_active(system.user, "somebody", active=active)
            await system.until(partial(system.all_say, reason), 60)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html>hello</html>"), (403, "<html>WAF</html>"), (400, "{}"), (503, "")],
)
async def test_a_grant_by_name_that_cannot_be_looked_up_stays_alone(
    status: int, body: str
) -> None:
    """Policies by id are served; one of the grant says why."""
    org = frozenset({Scope.ORGANIZATION})
    named = frozenset({Reference(By.NAME, "ACME")})
    grants = (Grant(("team",), org, named),)
    async with running(grants=grants) as system:
        fault = Fault(path="/v2/", status=status, body=body)
        system.emulator.faults.add(fault)
        theirs = policy("theirs", str(FIRST))
        theirs = replace(theirs, key=theirs.key._replace(namespace="team"))
        system.cluster.put(theirs)
        system.engine.watch_events.seen(system.cluster.policies[theirs.key])
        await asyncio.sleep(3)
        mine = system.cluster.policies[policy("p1").key]
        system.cluster.put(replace(mine, settings=mails(True), generation=2))
        system.engine.watch_events.seen(system.cluster.policies[mine.key])

        def is_settled() -> bool:
            ready = _ready(system.cluster.policies[theirs.key])
            served = _ready(system.cluster.policies[mine.key])
            return (
                ready.reason == "InstanceNotReady"
                and "ACME" in ready.message
                and served.observed_generation == 2
                and served.status == "True"
            )

        await system.until(is_settled, 60)
        assert system.instance().status == "True"
        assert len([n for n, _ in system.recorder.notices if n.startswith("p")]) == 1
