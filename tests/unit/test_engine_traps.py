"""Traps that a tester found: late answers, early cursors, stale records."""

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from support.drift import bench_with, calls
from support.engines import Harness, policy
from support.fakes import OTHERS
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.credentials import (
    CaRef,
    CredentialKind,
    CredentialRef,
    KeyFile,
    parse_credential,
    parse_roots,
)
from zitadel_notification_operator.core.errors import ObjectChanged, TerminalError
from zitadel_notification_operator.core.events import Cursor
from zitadel_notification_operator.core.original import Original
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    ObservedPolicy,
)
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.queue.keys import policy_key


def test_an_annotation_of_brackets_is_no_original() -> None:
    """Anybody may write one; it once broke the LIST of all policies."""
    assert Original.from_text("[" * 100_000) is None


def test_a_key_file_of_brackets_or_of_the_year_one_has_its_message() -> None:
    ref = CredentialRef(CredentialKind.KEY, "s", "key.json")
    now = bench_time()
    with pytest.raises(TerminalError, match="is not JSON"):
        parse_credential(ref, {"key.json": b"[" * 3000}, "own", now)
    text = (
        b'{"userId":"u","keyId":"k","key":"p",'
        b'"expirationDate":"0001-01-01T00:00:00+10:00"}'
    )
    read = parse_credential(ref, {"key.json": text}, "own", now)
    assert read == KeyFile("u", "k", "p", expires=None)


def bench_time() -> datetime:
    """Return a moment in the time of the fakes."""
    return Harness().zitadel.began


def test_roots_with_comments_in_any_script_are_read() -> None:
    """Bundles have such comments, but OpenSSL's binding accepts only ASCII."""
    pem = "\ufeff# Főtanúsítvány\n-----BEGIN CERTIFICATE-----\n".encode()
    text = parse_roots(CaRef("ConfigMap", "ca", "ca.crt"), {"ca.crt": pem}, "own")
    assert text.isascii()


@pytest.mark.parametrize("zone", ["Z", "+10:00"])
def test_a_cursor_from_the_year_one_counts_as_absent(zone: str) -> None:
    assert Cursor.from_text(f"0001-01-01T00:00:00{zone} 1 z") is None


def test_an_answer_that_is_older_than_its_event_is_not_believed() -> None:
    """With several pods a GET may lag behind the log."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await harness.start()
        await harness.live(120)
        observe = harness.zitadel.observe
        old = await observe("o")

        async def stale(organization_id: str | None) -> ObservedPolicy | None:
            del organization_id
            return old

        instead_of(harness.zitadel.observe).call(stale)
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(64)
        instead_of(harness.zitadel.observe).call(observe)
        await harness.live(120)
        assert harness.zitadel.own["o"] is False
        await harness.stop()

    run(story())


def test_the_cursor_waits_for_those_who_were_woken() -> None:
    """If the process ends in between, the next one finds the events again."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(100)))
        await harness.start()
        await harness.live(120)
        await harness.stop()
        for number in range(100):
            await asyncio.sleep(5)
            harness.zitadel.change(f"o{number}", True, OTHERS)
        observe = harness.zitadel.observe

        async def slow(organization_id: str | None) -> ObservedPolicy | None:
            await asyncio.sleep(0.2)
            return await observe(organization_id)

        instead_of(harness.zitadel.observe).call(slow)
        await harness.start()
        await harness.live(2)
        await harness.stop()
        instead_of(harness.zitadel.observe).call(observe)
        await harness.start()
        await harness.live(120)
        assert set(harness.zitadel.own.values()) == {False}
        await harness.stop()

    run(story())


def test_a_removal_that_is_reported_during_a_pass_is_not_forgotten() -> None:
    """An event after the pass's GET stays for the next pass."""

    async def story() -> None:
        observer = replace(policy("p"), management=ManagementPolicy.OBSERVE)
        harness = bench_with(observer)
        await harness.start()
        await harness.live(120)
        apply = harness.cluster.apply_policy_status
        harness.zitadel.change("o", True, OTHERS)

        async def slow(policy: PolicyObject, status: PolicyStatus) -> PolicyObject:
            instead_of(harness.cluster.apply_policy_status).call(apply)
            harness.zitadel.remove("o")
            await asyncio.sleep(70)
            return await apply(policy, status)

        instead_of(harness.cluster.apply_policy_status).call(slow)
        await harness.live(300)
        assert harness.ready("p").status == "False"
        await harness.stop()

    run(story())


def test_suspend_and_observe_in_one_edit_let_the_original_go() -> None:
    """Restore would otherwise go back to a value from before another owner."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(replace(policy("p"), deletion=DeletionPolicy.RESTORE))
        await harness.start()
        await harness.live(5)
        observing = replace(
            harness.policy("p"),
            management=ManagementPolicy.OBSERVE,
            suspended=True,
            generation=2,
        )
        harness.seen(observing)
        await harness.live(5)
        assert harness.policy("p").original is None
        harness.zitadel.change("o", True, OTHERS)
        managing = replace(
            harness.policy("p"),
            management=ManagementPolicy.MANAGE,
            suspended=False,
            generation=3,
        )
        harness.seen(managing)
        await harness.live(5)
        harness.seen(replace(harness.policy("p"), deleting=True, generation=4))
        await harness.live(5)
        assert harness.zitadel.own == {"o": True}
        await harness.stop()

    run(story())


def test_a_late_end_of_a_namesake_is_not_ours() -> None:
    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        engine = await harness.start()
        await harness.live(5)
        engine.watch_events.gone(policy_key(PolicyKey("own", "p")), "another-uid")
        harness.seen(replace(harness.policy("p"), settings=mails(True), generation=2))
        await harness.live(5)
        assert harness.zitadel.own["o"] is True
        await harness.stop()

    run(story())


def test_more_events_at_one_moment_than_a_page_holds_stop_nothing() -> None:
    """All policies are checked once, and later events are found."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(1200)))
        await harness.start()
        await harness.live(400)
        for number in range(1200):
            harness.zitadel.change(f"o{number}", True, OTHERS)
        log = harness.zitadel.events_log
        for index in range(len(log) - 1200, len(log)):
            log[index] = replace(log[index], time=log[-1].time)
        await harness.live(1300)
        assert set(harness.zitadel.own.values()) == {False}
        before = len(harness.steps.log)
        harness.zitadel.change("o1", True, OTHERS)
        await harness.live(61)
        assert harness.zitadel.own["o1"] is False
        assert calls(harness, before).count("observe") < 20
        await harness.stop()

    run(story())


def test_refusals_that_the_instance_does_not_share_end_soon() -> None:
    """ZITADEL refused three calls, not the credential, so retries come soon."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        observe = harness.zitadel.observe
        refused = [TerminalError(Reason.CREDENTIALS_REJECTED, "no")] * 3

        async def fail(organization_id: str | None) -> ObservedPolicy | None:
            if refused:
                raise refused.pop()
            return await observe(organization_id)

        instead_of(harness.zitadel.observe).call(fail)
        await harness.start()
        await harness.live(60)
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(story())


def test_a_status_that_is_refused_again_and_again_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once or twice a conflict may be the cause; Kubernetes says the same."""

    async def story() -> None:
        harness = bench_with(policy("p"))

        async def refuse(*_: object, **__: object) -> PolicyObject:
            raise ObjectChanged("422 status is invalid")

        instead_of(harness.cluster.apply_policy_status).call(refuse)
        await harness.start()
        await harness.live(1)
        assert "is invalid" not in caplog.text
        await harness.live(60)
        assert "422 status is invalid" in caplog.text
        await harness.stop()

    run(story())
