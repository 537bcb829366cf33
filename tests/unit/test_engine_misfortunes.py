"""One failure is not a verdict (design, section 11): fifty quiet policies."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from support.engines import with_spec
from support.fakes import Guarded
from support.many_policies import ManyPolicies, within
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.credentials import Credential
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.identity import Identity
from zitadel_notification_operator.core.instance_object import DriftMethod, Endpoint
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.ports import PolicyClient

REJECTED = TerminalError(Reason.CREDENTIALS_REJECTED, "401")
FORBIDDEN = TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "403")
WRONG_HOST = TransientError(Reason.HOST_NOT_RECOGNIZED, "no instance")
BROKEN = TransientError(Reason.SERVER_ERROR, "503")
LOCAL = TerminalError(Reason.ADDRESS_NOT_ALLOWED, "loopback")
REFUSED = TerminalError(Reason.REQUEST_REFUSED, "400")
HTML = TransientError(Reason.UNEXPECTED_ANSWER, "an answer")

Misfortune = Callable[[ManyPolicies], Any]


def in_a_call(method: str, error: OperatorError, times: int = 1) -> Misfortune:
    """Return a fault that lets some calls of a kind fail."""

    async def befall(harness: ManyPolicies) -> None:
        left = harness.fail(method, error, times)
        await harness.live(700)
        assert left == [0], "the fault befell nothing"

    return befall


def once_each(error: OperatorError) -> Misfortune:
    """Return a fault that lets one call about each policy fail."""

    async def befall(harness: ManyPolicies) -> None:
        observe, befallen = harness.zitadel.observe, set()

        async def failing(organization_id: str | None) -> ObservedPolicy | None:
            if organization_id not in befallen:
                befallen.add(organization_id)
                raise error
            return await observe(organization_id)

        instead_of(harness.zitadel.observe).call(failing)
        await harness.live(700)
        assert len(befallen) == harness.count

    return befall


async def alternating(harness: ManyPolicies) -> None:
    """Refuse every other check for ten minutes."""
    identify, turns = harness.zitadel.identify, [0]

    async def every_other() -> Identity:
        turns[0] += 1
        if turns[0] % 2:
            raise REJECTED
        return await identify()

    instead_of(harness.zitadel.identify).call(every_other)
    await harness.live(1800)
    assert turns[0] > 10


async def another_zitadel(harness: ManyPolicies) -> None:
    """Let a wrong upstream answer one check, while others change all in ZITADEL."""
    identify, left = harness.zitadel.identify, [2]

    async def wrong() -> Identity:
        found = await identify()
        if not left[0]:
            return found
        left[0] -= 1
        return replace(found, zitadel_id="another")

    instead_of(harness.zitadel.identify).call(wrong)
    await harness.live(700)
    assert left == [0]


def secret_for(seconds: float, content: dict[str, bytes] | None) -> Misfortune:
    """Return a fault that changes or removes the Secret's content for a while."""

    async def befall(harness: ManyPolicies) -> None:
        good = harness.cluster.secrets.pop("s")
        if content is not None:
            harness.cluster.secrets["s"] = content
        await harness.live(seconds)
        harness.cluster.secrets["s"] = good
        await harness.live(120)

    return befall


def roots_for(seconds: float, content: dict[str, bytes] | None) -> Misfortune:
    """Return a fault that changes or removes the CA bundle for a while."""

    async def befall(harness: ManyPolicies) -> None:
        good = harness.cluster.config_maps.pop("ca")
        if content is not None:
            harness.cluster.config_maps["ca"] = content
        await harness.live(seconds)
        harness.cluster.config_maps["ca"] = good
        await harness.live(120)

    return befall


async def new_key_and_500(harness: ManyPolicies) -> None:
    """Let the token endpoint fail once when a rotated credential is used."""
    harness.cluster.secrets["s"] = {"token": b"new"}
    harness.zitadel.accepted = "new"
    left = harness.fail("identify", BROKEN)
    await harness.live(120)
    assert left == [0]


@pytest.mark.parametrize(
    ("befall", "instance_writes"),
    [
        pytest.param(in_a_call("identify", REJECTED), 0, id="401 in a proof"),
        pytest.param(in_a_call("identify", REJECTED, 2), 0, id="two 401 in a row"),
        pytest.param(in_a_call("observe", REJECTED), 0, id="401 at a policy"),
        pytest.param(once_each(REJECTED), 0, id="401 at each policy"),
        pytest.param(in_a_call("identify", BROKEN), 0, id="503 in a proof"),
        pytest.param(in_a_call("observe", BROKEN), 0, id="503 at a policy"),
        pytest.param(once_each(BROKEN), 0, id="503 at each policy"),
        pytest.param(in_a_call("identify", FORBIDDEN), 0, id="403 in a proof"),
        pytest.param(in_a_call("observe", FORBIDDEN), 0, id="403 at a policy"),
        pytest.param(once_each(FORBIDDEN), 0, id="403 at each policy"),
        pytest.param(in_a_call("observe", REFUSED), 0, id="400 at a policy"),
        pytest.param(in_a_call("observe", HTML, 2), 0, id="html at policies"),
        pytest.param(in_a_call("identify", WRONG_HOST), 0, id="wrong host"),
        pytest.param(in_a_call("identify", LOCAL), 0, id="local address"),
        pytest.param(in_a_call("identify", REFUSED, 2), 0, id="400 in two proofs"),
        pytest.param(alternating, 0, id="401 and 200 in turn"),
        pytest.param(another_zitadel, 0, id="another ZITADEL for a moment"),
        pytest.param(new_key_and_500, 0, id="500 for a new key"),
        pytest.param(secret_for(15, {"token": b"bad"}), 0, id="bad for a moment"),
        pytest.param(secret_for(90, None), 2, id="Secret gone"),
        pytest.param(secret_for(90, {"other": b"x"}), 2, id="Secret without the key"),
        pytest.param(secret_for(90, {"token": b""}), 2, id="Secret empty"),
        pytest.param(secret_for(90, {"token": b"cut o"}), 2, id="Secret no token"),
        pytest.param(secret_for(560, None), 2, id="Secret gone for nine minutes"),
        pytest.param(roots_for(90, None), 2, id="authority gone"),
        pytest.param(roots_for(90, {"other": b""}), 2, id="authority without the key"),
        pytest.param(roots_for(90, {"ca.crt": b"cut"}), 2, id="authority no PEM"),
    ],
)
def test_fifty_quiet_policies_notice_nothing(
    befall: Misfortune, instance_writes: int
) -> None:
    """At most two statuses of the instance are written, no policy's and no Event."""

    async def story() -> None:
        harness = ManyPolicies(ca=True)
        await harness.settle()
        await befall(harness)
        assert harness.policy_writes() == 0
        assert harness.instance_writes() <= instance_writes
        assert harness.zitadel_writes() == []
        assert [name for name, _ in harness.recorder.notices if name != "default"] == []
        assert harness.instance_reason() == "Succeeded"
        assert harness.ready_ones() == harness.count
        # All of them are still served.
        changed = replace(harness.policy("p0"), settings=mails(True), generation=2)
        harness.seen(changed)
        await harness.live(5)
        assert harness.zitadel.own["o0"] is True
        await harness.stop()

    run(story())


def refuse(harness: ManyPolicies) -> Callable[[], None]:
    """Revoke the token; the returned function makes it valid again."""
    harness.zitadel.accepted = "nobody's"

    def end() -> None:
        harness.zitadel.accepted = "token"

    return end


def rotate_badly(harness: ManyPolicies) -> Callable[[], None]:
    """Store an invalid credential; the returned function stores a valid one."""
    good = harness.cluster.secrets["s"]
    harness.cluster.secrets["s"] = {"token": b"bad"}

    def end() -> None:
        harness.cluster.secrets["s"] = good

    return end


def take_roles(harness: ManyPolicies) -> Callable[[], None]:
    """Let every call be answered with 403."""
    harness.zitadel.failure = FORBIDDEN

    def end() -> None:
        harness.zitadel.failure = None

    return end


@pytest.mark.parametrize("method", ["Poll", "Auto", "Disabled"])
@pytest.mark.parametrize("refusal", [refuse, rotate_badly, take_roles])
def test_a_lasting_refusal_is_reported_and_taken_back_within_a_minute(
    refusal: Callable[[ManyPolicies], Callable[[], None]], method: str
) -> None:
    """This holds for the instance and all policies."""

    async def story() -> None:
        harness = ManyPolicies()
        stored = harness.cluster.instances["default"]
        harness.cluster.put_instance(with_spec(stored, method=DriftMethod(method)))
        await harness.settle()
        await harness.live(317)
        for _ in range(2):
            end = refusal(harness)
            await within(60, lambda: harness.ready_ones() == 0, harness)
            assert harness.instance_reason() != "Succeeded"
            (reason,) = harness.reasons()
            assert reason in {Reason.CREDENTIALS_REJECTED, Reason.INSTANCE_NOT_READY}
            await harness.live(613)
            end()
            await within(60, lambda: harness.ready_ones() == harness.count, harness)
            assert harness.instance_reason() == "Succeeded"
            await harness.live(100)
        await harness.stop()

    run(story())


def test_a_credential_that_never_worked_is_reported_at_once() -> None:
    """A person is waiting for the first result."""

    async def story() -> None:
        harness = ManyPolicies(count=2)
        harness.zitadel.accepted = "another"
        await harness.start()
        await harness.live(2)
        assert harness.instance_reason() == Reason.CREDENTIALS_REJECTED
        assert harness.reasons() == {Reason.CREDENTIALS_REJECTED}
        await harness.stop()

    run(story())


def test_a_restart_during_a_failure_reports_nothing() -> None:
    """The status says that the credential has worked before."""

    async def story() -> None:
        harness = ManyPolicies()
        await harness.settle()
        await harness.stop()
        harness.fail("identify", REJECTED, 2)
        await harness.start()
        await harness.live(60)
        assert harness.policy_writes() == harness.instance_writes() == 0
        await harness.stop()

    run(story())


def test_a_refusal_after_an_outage_is_no_verdict_either() -> None:
    """Quiet policies that wait for ZITADEL do not change because of one 401."""

    async def story() -> None:
        harness = ManyPolicies()
        await harness.settle()
        harness.zitadel.failure = BROKEN
        await harness.live(100)
        assert harness.instance_reason() == Reason.SERVER_ERROR
        harness.zitadel.failure = None
        harness.fail("identify", REJECTED)
        await harness.live(90)
        assert harness.policy_writes() == 0
        assert harness.instance_writes() == 2
        assert harness.instance_reason() == "Succeeded"
        await harness.stop()

    run(story())


def test_after_ten_minutes_without_a_secret_the_policies_report() -> None:
    """They do so over some time, and are Ready within a minute of its return."""

    async def story() -> None:
        harness = ManyPolicies()
        await harness.settle()
        good = harness.cluster.secrets.pop("s")
        await harness.live(595)
        assert harness.policy_writes() == 0
        await within(45, lambda: harness.policy_writes() > 0, harness)
        assert harness.policy_writes() < harness.count / 2
        await harness.live(65)
        assert harness.reasons() == {Reason.INSTANCE_NOT_READY}
        assert "CredentialsMissing" in harness.ready("p7").message
        harness.cluster.secrets["s"] = good
        await within(60, lambda: harness.ready_ones() == harness.count, harness)
        await harness.stop()

    run(story())


def test_a_wrong_upstream_is_never_written_to() -> None:
    """Neither an edit nor drift causes a write before the failure is reported."""

    async def story() -> None:
        harness = ManyPolicies(count=3)
        await harness.settle()
        identify = harness.zitadel.identify

        async def wrong() -> Identity:
            return replace(await identify(), zitadel_id="another")

        instead_of(harness.zitadel.identify).call(wrong)
        stored = harness.cluster.instances["default"]
        harness.instance_seen(replace(stored, requested_at="now"))
        await within(5, lambda: harness.calls("identify") > 0, harness)
        harness.zitadel.own["o1"] = True
        harness.seen(replace(harness.policy("p0"), settings=mails(True), generation=2))
        harness.seen(replace(harness.policy("p2"), deleting=True, generation=2))
        await harness.live(15)
        assert harness.ready("p1").status == "True"
        await harness.live(60)
        assert harness.instance_reason() == Reason.INSTANCE_CHANGED
        assert harness.zitadel_writes() == []
        instead_of(harness.zitadel.identify).call(identify)
        await within(
            60, lambda: harness.zitadel.own == {"o0": True, "o1": False}, harness
        )
        await harness.stop()

    run(story())


def test_a_call_that_fails_after_the_verdict_is_no_finding_of_its_own() -> None:
    """It began before the verdict, so the quiet policy waits like the others."""

    async def story() -> None:
        harness = ManyPolicies(count=8)
        await harness.settle()
        stored = harness.cluster.instances["default"]
        harness.zitadel.turn.clear()
        harness.instance_seen(with_spec(stored, poll_interval=10.0, generation=2))
        await harness.live(15)
        harness.zitadel.failure = TransientError(Reason.UNREACHABLE, "gone")
        instead_of(harness.zitadel.identify).call(_gone)
        await harness.live(60)
        assert harness.instance_reason() == Reason.UNREACHABLE
        harness.forget()
        harness.zitadel.turn.set()
        await harness.live(100)
        assert harness.policy_writes() == 0
        await harness.stop()

    run(story())


async def _gone() -> Identity:
    raise TransientError(Reason.UNREACHABLE, "gone")


def test_a_deletion_uses_the_last_good_credential() -> None:
    """The Secret has a bad one, and the good one is still valid."""

    async def story() -> None:
        harness = ManyPolicies(count=2)
        whole, connect = harness.zitadel, harness.zitadel.connect

        class Client:
            """A client with a token of its own."""

            def __init__(self, token: str) -> None:
                self.token, self.turn = token, whole.turn

            def guarded(self, check: Callable[[], None]) -> Guarded:
                return Guarded(self, check)

            def __getattr__(self, name: str) -> Any:
                async def call(*args: Any, **kwargs: Any) -> Any:
                    whole.token = self.token
                    return await getattr(whole, name)(*args, **kwargs)

                return call

        def keeping(
            instance: str,
            endpoint: Endpoint,
            credential: Credential,
            roots: str | None,
        ) -> PolicyClient:
            connect(instance, endpoint, credential, roots)
            return Client(whole.token)

        instead_of(harness.zitadel.connect).call(keeping)
        await harness.settle()
        harness.cluster.secrets["s"] = {"token": b"bad"}
        await harness.live(120)
        assert harness.reasons() == {Reason.CREDENTIALS_REJECTED}
        harness.seen(replace(harness.policy("p0"), deleting=True, generation=2))
        await harness.live(5)
        assert "o0" not in harness.zitadel.own
        assert len(harness.cluster.policies) == 1
        whole.accepted = "nobody's"
        harness.seen(replace(harness.policy("p1"), deleting=True, generation=2))
        await harness.live(90)
        assert harness.ready("p1").reason == Reason.CREDENTIALS_REJECTED
        assert "spec.deletionPolicy" in harness.ready("p1").message
        await harness.stop()

    run(story())


@pytest.mark.parametrize("retry_after", [None, 300.0])
def test_the_secret_is_read_each_minute_whatever_zitadel_says(
    retry_after: float | None,
) -> None:
    """During a pause that ZITADEL asks for, no call is made."""

    async def story() -> None:
        harness = ManyPolicies(count=2)
        await harness.settle()
        read = harness.cluster.read_secret
        times: list[float] = []

        async def noted(name: str) -> dict[str, bytes] | None:
            times.append(asyncio.get_running_loop().time())
            return await read(name)

        instead_of(harness.cluster.read_secret).call(noted)
        failure = TransientError(Reason.RATE_LIMITED, "slower", retry_after)
        harness.zitadel.failure = failure
        await harness.live(250)
        harness.forget()
        await harness.live(45)
        if retry_after:
            assert harness.calls("identify") == 0
        await harness.live(600)
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert len(gaps) > 10
        assert max(gaps) < 60
        await harness.stop()

    run(story())


def test_a_missing_secret_is_noticed_within_a_minute_of_its_return() -> None:
    """The number of former failed reads does not matter."""

    async def story() -> None:
        harness = ManyPolicies(count=2)
        await harness.settle()
        for pause in (1000, 1013, 1031, 1057):
            good = harness.cluster.secrets.pop("s")
            await harness.live(pause)
            harness.cluster.secrets["s"] = good
            await within(60, lambda: harness.instance_reason() == "Succeeded", harness)
        await harness.stop()

    run(story())


def test_an_annotation_that_is_taken_off_asks_for_nothing() -> None:
    """There are as many calls as before it was set."""

    async def story() -> None:
        harness = ManyPolicies(count=1)
        stored = harness.cluster.instances["default"]
        harness.cluster.put_instance(with_spec(stored, poll_interval=15.0))
        await harness.settle()
        await harness.live(3600)
        before = harness.calls("identify")
        stored = harness.cluster.instances["default"]
        harness.instance_seen(replace(stored, requested_at="now"))
        await harness.live(60)
        stored = harness.cluster.instances["default"]
        assert stored.status.last_handled_reconcile_at == "now"
        harness.instance_seen(replace(stored, requested_at=None))
        await harness.live(60)
        harness.forget()
        await harness.live(3600)
        assert harness.calls("identify") <= before + 2
        await harness.stop()

    run(story())


def test_a_suspicion_during_a_proof_asks_for_another_one() -> None:
    """Facts that the running check has read may have changed since."""

    async def story() -> None:
        harness = ManyPolicies(count=1)
        await harness.settle()
        identify = harness.zitadel.identify

        async def slow() -> Identity:
            found = await identify()
            await asyncio.sleep(3)
            return found

        instead_of(harness.zitadel.identify).call(slow)
        before = harness.calls("identify")
        await within(200, lambda: harness.calls("identify") > before, harness)
        assert harness.parts is not None
        harness.parts.connections.recheck("default")
        before = harness.calls("identify")
        await harness.live(5)
        assert harness.calls("identify") == before + 1
        await harness.stop()

    run(story())


def test_a_token_on_a_policy_asks_for_a_verdict_on_its_instance() -> None:
    """A credential that is valid again is used at once."""

    async def story() -> None:
        harness = ManyPolicies(count=2)
        await harness.settle()
        harness.zitadel.accepted = "another"
        await harness.live(300)
        assert harness.instance_reason() == Reason.CREDENTIALS_REJECTED
        harness.zitadel.accepted = "token"
        harness.seen(replace(harness.policy("p0"), requested_at="now"))
        await harness.live(2)
        assert harness.ready_ones() == 2
        assert harness.policy("p0").status.last_handled_reconcile_at == "now"
        await harness.stop()

    run(story())


def test_one_refusal_does_not_stop_a_deletion_with_a_word() -> None:
    """The call is retried, and the deletion ends."""

    async def story() -> None:
        harness = ManyPolicies(count=1)
        await harness.settle()
        left = harness.fail("reset", REJECTED)
        harness.seen(replace(harness.policy("p0"), deleting=True, generation=2))
        await harness.live(20)
        assert left == [0]
        assert harness.cluster.policies == {}
        assert harness.calls("status") == 0
        await harness.stop()

    run(story())
