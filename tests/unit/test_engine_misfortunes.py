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

    async def befall(bench: ManyPolicies) -> None:
        left = bench.fail(method, error, times)
        await bench.live(700)
        assert left == [0], "the fault befell nothing"

    return befall


def once_each(error: OperatorError) -> Misfortune:
    """Return a fault that lets one call about each policy fail."""

    async def befall(bench: ManyPolicies) -> None:
        observe, befallen = bench.zitadel.observe, set()

        async def failing(organization_id: str | None) -> ObservedPolicy | None:
            if organization_id not in befallen:
                befallen.add(organization_id)
                raise error
            return await observe(organization_id)

        instead_of(bench.zitadel.observe).call(failing)
        await bench.live(700)
        assert len(befallen) == bench.count

    return befall


async def alternating(bench: ManyPolicies) -> None:
    """Refuse every other check for ten minutes."""
    identify, turns = bench.zitadel.identify, [0]

    async def every_other() -> Identity:
        turns[0] += 1
        if turns[0] % 2:
            raise REJECTED
        return await identify()

    instead_of(bench.zitadel.identify).call(every_other)
    await bench.live(1800)
    assert turns[0] > 10


async def another_zitadel(bench: ManyPolicies) -> None:
    """Let a wrong upstream answer one check, while others change all in ZITADEL."""
    identify, left = bench.zitadel.identify, [2]

    async def wrong() -> Identity:
        found = await identify()
        if not left[0]:
            return found
        left[0] -= 1
        return replace(found, zitadel_id="another")

    instead_of(bench.zitadel.identify).call(wrong)
    await bench.live(700)
    assert left == [0]


def secret_for(seconds: float, content: dict[str, bytes] | None) -> Misfortune:
    """Return a fault that changes or removes the Secret's content for a while."""

    async def befall(bench: ManyPolicies) -> None:
        good = bench.cluster.secrets.pop("s")
        if content is not None:
            bench.cluster.secrets["s"] = content
        await bench.live(seconds)
        bench.cluster.secrets["s"] = good
        await bench.live(120)

    return befall


def roots_for(seconds: float, content: dict[str, bytes] | None) -> Misfortune:
    """Return a fault that changes or removes the CA bundle for a while."""

    async def befall(bench: ManyPolicies) -> None:
        good = bench.cluster.config_maps.pop("ca")
        if content is not None:
            bench.cluster.config_maps["ca"] = content
        await bench.live(seconds)
        bench.cluster.config_maps["ca"] = good
        await bench.live(120)

    return befall


async def new_key_and_500(bench: ManyPolicies) -> None:
    """Let the token endpoint fail once when a rotated credential is used."""
    bench.cluster.secrets["s"] = {"token": b"new"}
    bench.zitadel.accepted = "new"
    left = bench.fail("identify", BROKEN)
    await bench.live(120)
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
        bench = ManyPolicies(ca=True)
        await bench.settle()
        await befall(bench)
        assert bench.policy_writes() == 0
        assert bench.instance_writes() <= instance_writes
        assert bench.zitadel_writes() == []
        assert [name for name, _ in bench.recorder.notices if name != "default"] == []
        assert bench.instance_reason() == "Succeeded"
        assert bench.ready_ones() == bench.count
        # All of them are still served.
        changed = replace(bench.policy("p0"), settings=mails(True), generation=2)
        bench.seen(changed)
        await bench.live(5)
        assert bench.zitadel.own["o0"] is True
        await bench.stop()

    run(story())


def refuse(bench: ManyPolicies) -> Callable[[], None]:
    """Revoke the token; the returned function makes it valid again."""
    bench.zitadel.accepted = "nobody's"

    def end() -> None:
        bench.zitadel.accepted = "token"

    return end


def rotate_badly(bench: ManyPolicies) -> Callable[[], None]:
    """Store an invalid credential; the returned function stores a valid one."""
    good = bench.cluster.secrets["s"]
    bench.cluster.secrets["s"] = {"token": b"bad"}

    def end() -> None:
        bench.cluster.secrets["s"] = good

    return end


def take_roles(bench: ManyPolicies) -> Callable[[], None]:
    """Let every call be answered with 403."""
    bench.zitadel.failure = FORBIDDEN

    def end() -> None:
        bench.zitadel.failure = None

    return end


@pytest.mark.parametrize("method", ["Poll", "Auto", "Disabled"])
@pytest.mark.parametrize("refusal", [refuse, rotate_badly, take_roles])
def test_a_lasting_refusal_is_reported_and_taken_back_within_a_minute(
    refusal: Callable[[ManyPolicies], Callable[[], None]], method: str
) -> None:
    """This holds for the instance and all policies."""

    async def story() -> None:
        bench = ManyPolicies()
        stored = bench.cluster.instances["default"]
        bench.cluster.put_instance(with_spec(stored, method=DriftMethod(method)))
        await bench.settle()
        await bench.live(317)
        for _ in range(2):
            end = refusal(bench)
            await within(60, lambda: bench.ready_ones() == 0, bench)
            assert bench.instance_reason() != "Succeeded"
            (reason,) = bench.reasons()
            assert reason in {Reason.CREDENTIALS_REJECTED, Reason.INSTANCE_NOT_READY}
            await bench.live(613)
            end()
            await within(60, lambda: bench.ready_ones() == bench.count, bench)
            assert bench.instance_reason() == "Succeeded"
            await bench.live(100)
        await bench.stop()

    run(story())


def test_a_credential_that_never_worked_is_reported_at_once() -> None:
    """A person is waiting for the first result."""

    async def story() -> None:
        bench = ManyPolicies(count=2)
        bench.zitadel.accepted = "another"
        await bench.start()
        await bench.live(2)
        assert bench.instance_reason() == Reason.CREDENTIALS_REJECTED
        assert bench.reasons() == {Reason.CREDENTIALS_REJECTED}
        await bench.stop()

    run(story())


def test_a_restart_during_a_failure_reports_nothing() -> None:
    """The status says that the credential has worked before."""

    async def story() -> None:
        bench = ManyPolicies()
        await bench.settle()
        await bench.stop()
        bench.fail("identify", REJECTED, 2)
        await bench.start()
        await bench.live(60)
        assert bench.policy_writes() == bench.instance_writes() == 0
        await bench.stop()

    run(story())


def test_a_refusal_after_an_outage_is_no_verdict_either() -> None:
    """Quiet policies that wait for ZITADEL do not change because of one 401."""

    async def story() -> None:
        bench = ManyPolicies()
        await bench.settle()
        bench.zitadel.failure = BROKEN
        await bench.live(100)
        assert bench.instance_reason() == Reason.SERVER_ERROR
        bench.zitadel.failure = None
        bench.fail("identify", REJECTED)
        await bench.live(90)
        assert bench.policy_writes() == 0
        assert bench.instance_writes() == 2
        assert bench.instance_reason() == "Succeeded"
        await bench.stop()

    run(story())


def test_after_ten_minutes_without_a_secret_the_policies_report() -> None:
    """They do so over some time, and are Ready within a minute of its return."""

    async def story() -> None:
        bench = ManyPolicies()
        await bench.settle()
        good = bench.cluster.secrets.pop("s")
        await bench.live(595)
        assert bench.policy_writes() == 0
        await within(45, lambda: bench.policy_writes() > 0, bench)
        assert bench.policy_writes() < bench.count / 2
        await bench.live(65)
        assert bench.reasons() == {Reason.INSTANCE_NOT_READY}
        assert "CredentialsMissing" in bench.ready("p7").message
        bench.cluster.secrets["s"] = good
        await within(60, lambda: bench.ready_ones() == bench.count, bench)
        await bench.stop()

    run(story())


def test_a_wrong_upstream_is_never_written_to() -> None:
    """Neither an edit nor drift causes a write before the failure is reported."""

    async def story() -> None:
        bench = ManyPolicies(count=3)
        await bench.settle()
        identify = bench.zitadel.identify

        async def wrong() -> Identity:
            return replace(await identify(), zitadel_id="another")

        instead_of(bench.zitadel.identify).call(wrong)
        stored = bench.cluster.instances["default"]
        bench.instance_seen(replace(stored, requested_at="now"))
        await within(5, lambda: bench.calls("identify") > 0, bench)
        bench.zitadel.own["o1"] = True
        bench.seen(replace(bench.policy("p0"), settings=mails(True), generation=2))
        bench.seen(replace(bench.policy("p2"), deleting=True, generation=2))
        await bench.live(15)
        assert bench.ready("p1").status == "True"
        await bench.live(60)
        assert bench.instance_reason() == Reason.INSTANCE_CHANGED
        assert bench.zitadel_writes() == []
        instead_of(bench.zitadel.identify).call(identify)
        await within(60, lambda: bench.zitadel.own == {"o0": True, "o1": False}, bench)
        await bench.stop()

    run(story())


def test_a_call_that_fails_after_the_verdict_is_no_finding_of_its_own() -> None:
    """It began before the verdict, so the quiet policy waits like the others."""

    async def story() -> None:
        bench = ManyPolicies(count=8)
        await bench.settle()
        stored = bench.cluster.instances["default"]
        bench.zitadel.turn.clear()
        bench.instance_seen(with_spec(stored, poll_interval=10.0, generation=2))
        await bench.live(15)
        bench.zitadel.failure = TransientError(Reason.UNREACHABLE, "gone")
        instead_of(bench.zitadel.identify).call(_gone)
        await bench.live(60)
        assert bench.instance_reason() == Reason.UNREACHABLE
        bench.forget()
        bench.zitadel.turn.set()
        await bench.live(100)
        assert bench.policy_writes() == 0
        await bench.stop()

    run(story())


async def _gone() -> Identity:
    raise TransientError(Reason.UNREACHABLE, "gone")


def test_a_deletion_uses_the_last_good_credential() -> None:
    """The Secret has a bad one, and the good one is still valid."""

    async def story() -> None:
        bench = ManyPolicies(count=2)
        whole, connect = bench.zitadel, bench.zitadel.connect

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

        instead_of(bench.zitadel.connect).call(keeping)
        await bench.settle()
        bench.cluster.secrets["s"] = {"token": b"bad"}
        await bench.live(120)
        assert bench.reasons() == {Reason.CREDENTIALS_REJECTED}
        bench.seen(replace(bench.policy("p0"), deleting=True, generation=2))
        await bench.live(5)
        assert "o0" not in bench.zitadel.own
        assert len(bench.cluster.policies) == 1
        whole.accepted = "nobody's"
        bench.seen(replace(bench.policy("p1"), deleting=True, generation=2))
        await bench.live(90)
        assert bench.ready("p1").reason == Reason.CREDENTIALS_REJECTED
        assert "spec.deletionPolicy" in bench.ready("p1").message
        await bench.stop()

    run(story())


@pytest.mark.parametrize("retry_after", [None, 300.0])
def test_the_secret_is_read_each_minute_whatever_zitadel_says(
    retry_after: float | None,
) -> None:
    """During a pause that ZITADEL asks for, no call is made."""

    async def story() -> None:
        bench = ManyPolicies(count=2)
        await bench.settle()
        read = bench.cluster.read_secret
        times: list[float] = []

        async def noted(name: str) -> dict[str, bytes] | None:
            times.append(asyncio.get_running_loop().time())
            return await read(name)

        instead_of(bench.cluster.read_secret).call(noted)
        failure = TransientError(Reason.RATE_LIMITED, "slower", retry_after)
        bench.zitadel.failure = failure
        await bench.live(250)
        bench.forget()
        await bench.live(45)
        if retry_after:
            assert bench.calls("identify") == 0
        await bench.live(600)
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert len(gaps) > 10
        assert max(gaps) < 60
        await bench.stop()

    run(story())


def test_a_missing_secret_is_noticed_within_a_minute_of_its_return() -> None:
    """The number of former failed reads does not matter."""

    async def story() -> None:
        bench = ManyPolicies(count=2)
        await bench.settle()
        for pause in (1000, 1013, 1031, 1057):
            good = bench.cluster.secrets.pop("s")
            await bench.live(pause)
            bench.cluster.secrets["s"] = good
            await within(60, lambda: bench.instance_reason() == "Succeeded", bench)
        await bench.stop()

    run(story())


def test_an_annotation_that_is_taken_off_asks_for_nothing() -> None:
    """There are as many calls as before it was set."""

    async def story() -> None:
        bench = ManyPolicies(count=1)
        stored = bench.cluster.instances["default"]
        bench.cluster.put_instance(with_spec(stored, poll_interval=15.0))
        await bench.settle()
        await bench.live(3600)
        before = bench.calls("identify")
        stored = bench.cluster.instances["default"]
        bench.instance_seen(replace(stored, requested_at="now"))
        await bench.live(60)
        stored = bench.cluster.instances["default"]
        assert stored.status.last_handled_reconcile_at == "now"
        bench.instance_seen(replace(stored, requested_at=None))
        await bench.live(60)
        bench.forget()
        await bench.live(3600)
        assert bench.calls("identify") <= before + 2
        await bench.stop()

    run(story())


def test_a_suspicion_during_a_proof_asks_for_another_one() -> None:
    """Facts that the running check has read may have changed since."""

    async def story() -> None:
        bench = ManyPolicies(count=1)
        await bench.settle()
        identify = bench.zitadel.identify

        async def slow() -> Identity:
            found = await identify()
            await asyncio.sleep(3)
            return found

        instead_of(bench.zitadel.identify).call(slow)
        before = bench.calls("identify")
        await within(200, lambda: bench.calls("identify") > before, bench)
        assert bench.parts is not None
        bench.parts.connections.recheck("default")
        before = bench.calls("identify")
        await bench.live(5)
        assert bench.calls("identify") == before + 1
        await bench.stop()

    run(story())


def test_a_token_on_a_policy_asks_for_a_verdict_on_its_instance() -> None:
    """A credential that is valid again is used at once."""

    async def story() -> None:
        bench = ManyPolicies(count=2)
        await bench.settle()
        bench.zitadel.accepted = "another"
        await bench.live(300)
        assert bench.instance_reason() == Reason.CREDENTIALS_REJECTED
        bench.zitadel.accepted = "token"
        bench.seen(replace(bench.policy("p0"), requested_at="now"))
        await bench.live(2)
        assert bench.ready_ones() == 2
        assert bench.policy("p0").status.last_handled_reconcile_at == "now"
        await bench.stop()

    run(story())


def test_one_refusal_does_not_stop_a_deletion_with_a_word() -> None:
    """The call is retried, and the deletion ends."""

    async def story() -> None:
        bench = ManyPolicies(count=1)
        await bench.settle()
        left = bench.fail("reset", REJECTED)
        bench.seen(replace(bench.policy("p0"), deleting=True, generation=2))
        await bench.live(20)
        assert left == [0]
        assert bench.cluster.policies == {}
        assert bench.calls("status") == 0
        await bench.stop()

    run(story())
