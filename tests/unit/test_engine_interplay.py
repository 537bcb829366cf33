"""Two rules at once, which were kept each alone, but once not together."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from support.engines import INSTANCE, Harness, policy, with_spec
from support.fakes import FakeZitadel
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.credentials import Credential
from zitadel_notification_operator.core.errors import ApiMissing, TransientError
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.identity import Identity
from zitadel_notification_operator.core.instance_object import (
    DriftMethod,
    Endpoint,
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.kinds import POLICY, ObjectKey
from zitadel_notification_operator.core.objects import NotUnderstood
from zitadel_notification_operator.core.policy import ObservedPolicy, Scope
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.engine.ports import PolicyClient

WRITES = {"Create", "Update", "Reset", "original", "strip", "status"}


def made(harness: Harness, since: int) -> list[tuple[str, ...]]:
    """Return the writes about policies to Kubernetes and to ZITADEL."""
    log = harness.steps.log[since:]
    return [s for s in log if s[0] in WRITES and s[1:] not in {("default",), ("b",)}]


@pytest.mark.parametrize("understood", [True, False])
def test_a_crd_that_goes_retains_whether_it_is_understood_or_not(
    understood: bool,
) -> None:
    """A rolled-back image cannot read a policy, and then its CRD is deleted."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(30)
        if not understood:
            fields = frozenset({"passwordChange"})
            unread = NotUnderstood("spec.passwordChange is missing", fields)
            harness.seen(
                replace(harness.policy("p"), generation=2, not_understood=unread)
            )
            await harness.live(10)
        harness.cluster.crds_ending = {POLICY}
        harness.seen(replace(harness.policy("p"), deleting=True))
        await harness.live(30)
        assert harness.cluster.policies == {}
        assert harness.zitadel.own == {"o": False}
        await harness.stop()

    run(story())


class TwoPaths(FakeZitadel):
    """A ZITADEL that two instances reach in different ways."""

    slow = 0.0
    wrong = 0

    def connect(
        self,
        instance: str,
        endpoint: Endpoint,
        credential: Credential,
        roots: str | None,
    ) -> PolicyClient:
        """Return a client that may be slow or misled, for `default` only."""
        client = super().connect(instance, endpoint, credential, roots)
        return MisledClient(self, client) if instance == "default" else client


class MisledClient:
    """The client of one instance."""

    def __init__(self, zitadel: TwoPaths, client: PolicyClient) -> None:
        self._zitadel, self._client = zitadel, client

    def guarded(self, check: Callable[[], None]) -> "MisledClient":
        return MisledClient(self._zitadel, self._client.guarded(check))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def identify(self) -> Identity:
        await asyncio.sleep(self._zitadel.slow)
        found = await self._client.identify()
        if self._zitadel.wrong:
            self._zitadel.wrong -= 1
            return replace(found, zitadel_id="another")
        return found


def two_ways(harness: Harness) -> TwoPaths:
    """Create an older policy of one instance, and a younger one of the other."""
    zitadel = harness.zitadel = TwoPaths(harness.steps)
    zitadel.names["o"] = "acme"
    by_name = frozenset({Reference(By.NAME, "acme")})
    by_id = frozenset({Reference(By.ID, "o")})
    scopes = frozenset({Scope.ORGANIZATION})
    one = replace(INSTANCE, grants=(Grant(("one",), scopes, by_name),))
    harness.cluster.put_instance(one)
    other = replace(
        one, key=ObjectKey("", "b"), uid="b", grants=(Grant(("two",), scopes, by_id),)
    )
    harness.cluster.put_instance(other)
    harness.cluster.put(replace(policy("p"), key=PolicyKey("one", "p")))
    younger = replace(policy("p", second=5), key=PolicyKey("two", "p"), uid="younger")
    harness.cluster.put(replace(younger, instance="b", settings=mails(True)))
    return zitadel


def reasons(harness: Harness) -> list[str]:
    """Return the reasons of both Ready conditions, the older policy's first."""
    found = []
    for key in (PolicyKey("one", "p"), PolicyKey("two", "p")):
        ready = find(harness.cluster.policies[key].status.conditions, "Ready")
        assert ready is not None
        found.append(str(ready.reason))
    return found


def test_a_restart_gives_nobody_what_another_one_had() -> None:
    """Its grant by name is looked up a second later than the other's."""

    async def story() -> None:
        harness = Harness()
        zitadel = two_ways(harness)
        await harness.start()
        await harness.live(60)
        assert reasons(harness) == ["Succeeded", "Conflict"]
        await harness.stop()
        zitadel.slow, since = 1.0, len(harness.steps.log)
        await harness.start()
        await harness.live(120)
        assert reasons(harness) == ["Succeeded", "Conflict"]
        assert made(harness, since) == []
        await harness.stop()

    run(story())


def test_one_wrong_answer_gives_nobody_what_another_one_has() -> None:
    """Another ZITADEL at the url is confirmed by three checks, not by one."""

    async def story() -> None:
        harness = Harness()
        zitadel = two_ways(harness)
        await harness.start()
        await harness.live(60)
        zitadel.wrong, since = 1, len(harness.steps.log)
        assert harness.parts is not None
        harness.parts.connections.recheck("default")
        await harness.live(120)
        assert zitadel.wrong == 0
        assert reasons(harness) == ["Succeeded", "Conflict"]
        assert made(harness, since) == []
        await harness.stop()

    run(story())


def test_an_edit_that_our_own_write_returns_first_begins_searches() -> None:
    """The method changes from Poll to Events during a write of the status."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(700)
        apply, edits = harness.cluster.apply_instance_status, [DriftMethod.EVENTS]

        async def edited(
            instance: InstanceObject, status: InstanceStatus
        ) -> InstanceObject:
            while edits:
                known = harness.cluster.instances["default"]
                edit = with_spec(known, method=edits.pop(), generation=2)
                harness.cluster.put_instance(edit)
            return await apply(instance, status)

        instead_of(harness.cluster.apply_instance_status).call(edited)
        harness.seen(policy("q", "other"))
        await harness.live(100)
        assert edits == []
        harness.zitadel.change("o", True)
        await harness.live(130)
        assert harness.zitadel.own["o"] is False
        await harness.stop()

    run(story())


def test_an_outage_of_changing_causes_costs_one_write_a_policy() -> None:
    async def story() -> None:
        harness = Harness()
        for number in range(10):
            harness.cluster.put(policy(f"p{number}", f"o{number}"))
        await harness.start()
        await harness.live(60)
        since = len(harness.steps.log)
        for turn in range(120):
            words = ("connection refused", "HTTP 503")[turn % 2]
            harness.zitadel.failure = TransientError(Reason.UNREACHABLE, words)
            await harness.live(30)
        assert len(made(harness, since)) == 10
        await harness.stop()

    run(story())


def test_a_restart_takes_no_missing_call_back() -> None:
    """The status says ApiUnsupported, and nothing has changed since."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(30)

        async def missing(*_: object, **__: object) -> ObservedPolicy:
            what = "GET of a policy was answered with HTTP 404"
            raise ApiMissing(TransientError(Reason.UNEXPECTED_ANSWER, what), what)

        instead_of(harness.zitadel.observe).call(missing)
        harness.seen(replace(harness.policy("p"), requested_at="now"))
        await harness.live(600)
        assert harness.ready("p").reason == Reason.API_UNSUPPORTED
        await harness.stop()
        since = len(harness.steps.log)
        await harness.start()
        await harness.live(1200)
        assert harness.ready("p").reason == Reason.API_UNSUPPORTED
        assert made(harness, since) == []
        await harness.stop()

    run(story())
