"""A ZITADEL that no longer has some calls, or does not have them yet."""

from dataclasses import replace

import pytest

from support.engines import INSTANCE, Harness, policy
from support.settings import mailing, mails
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.errors import ApiMissing, TransientError
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.objects import FINALIZER
from zitadel_notification_operator.core.policy import DeletionPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.api_support import ApiSupport

LACKING = Reason.API_UNSUPPORTED
WRITES = {"Create", "Update", "Reset"}


def bench_with(*names: str) -> Harness:
    """Return a harness with one policy for each organization."""
    harness = Harness()
    for second, name in enumerate(names):
        harness.cluster.put(policy(name, f"o-{name}", second))
    return harness


def edited(harness: Harness, name: str) -> None:
    """Edit a policy as a user would."""
    held = harness.policy(name)
    wanted = not mailing(held.settings)
    harness.seen(replace(held, generation=held.generation + 1, settings=mails(wanted)))


def stalled(harness: Harness, name: str) -> str:
    """Return the reason of Stalled, or "" if the policy is not Stalled."""
    found = find(harness.policy(name).status.conditions, "Stalled")
    return found.reason if found else ""


def count(harness: Harness, call: str) -> int:
    """Return the number of steps of a kind."""
    return sum(step[0] == call for step in harness.steps.log)


@pytest.mark.parametrize("lacks", [{"observe"}, WRITES])
def test_calls_that_are_gone_are_reported_after_a_minute(lacks: set[str]) -> None:
    """Before that, the reason is UnexpectedAnswer."""

    async def story() -> None:
        harness = bench_with("p")
        await harness.start()
        await harness.live(10)
        harness.zitadel.lacks = lacks
        edited(harness, "p")
        await harness.live(50)
        assert harness.ready("p").reason == Reason.UNEXPECTED_ANSWER
        assert stalled(harness, "p") == ""
        await harness.live(120)
        assert harness.ready("p").reason == LACKING
        assert stalled(harness, "p") == LACKING
        assert "HTTP 404" in harness.ready("p").message
        await harness.stop()

    run(story())


@pytest.mark.parametrize("lacks", [{"observe"}, WRITES])
def test_it_goes_on_when_the_calls_are_back(lacks: set[str]) -> None:
    async def story() -> None:
        harness = bench_with("p", "q")
        await harness.start()
        await harness.live(10)
        harness.zitadel.lacks = lacks
        edited(harness, "p")
        await harness.live(600)
        assert stalled(harness, "p") == LACKING
        harness.zitadel.lacks = set()
        await harness.live(400)
        for name in ("p", "q"):
            assert harness.ready(name).status == "True"
        assert harness.zitadel.own["o-p"] is True
        await harness.stop()

    run(story())


def test_a_write_that_was_taken_is_verified_at_once() -> None:
    """Another policy's missing GET a moment before does not delay that."""

    async def story() -> None:
        harness = bench_with("p", "q")
        await harness.start()
        await harness.live(10)
        harness.zitadel.lacks = {"observe", "Reset"}
        edited(harness, "q")
        harness.seen(replace(harness.policy("p"), deleting=True, generation=2))
        await harness.live(300)
        assert (stalled(harness, "p"), stalled(harness, "q")) == (LACKING, LACKING)
        edited(harness, "q")
        await harness.live(2)
        harness.zitadel.lacks = set()
        before = count(harness, "Reset")
        harness.seen(replace(harness.policy("p"), generation=3))
        await harness.live(3)
        assert count(harness, "Reset") == before + 1
        assert policy("p").key not in harness.cluster.policies
        await harness.stop()

    run(story())


def test_what_somebody_asks_for_is_tried_at_once() -> None:
    """This holds for an edit of the policy and for one of the instance."""

    async def story() -> None:
        harness = bench_with("p")
        await harness.start()
        await harness.live(10)
        harness.zitadel.lacks = {"observe"}
        edited(harness, "p")
        await harness.live(600)
        harness.zitadel.lacks = set()
        edited(harness, "p")
        await harness.live(2)
        assert harness.ready("p").status == "True"
        harness.zitadel.lacks = {"observe"}
        edited(harness, "p")
        await harness.live(600)
        assert stalled(harness, "p") == LACKING
        harness.zitadel.lacks = set()
        known = harness.cluster.instances["default"]
        harness.instance_seen(replace(known, requested_at="now"))
        await harness.live(2)
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(story())


def test_a_deletion_waits_and_says_what_to_edit() -> None:
    async def story() -> None:
        harness = bench_with("p")
        await harness.start()
        await harness.live(10)
        assert harness.zitadel.own["o-p"] is False
        harness.zitadel.lacks = WRITES
        held = harness.policy("p")
        dying = replace(held, generation=2, deleting=True)
        harness.seen(dying)
        await harness.live(3600)
        assert harness.zitadel.own["o-p"] is False
        assert harness.policy("p").finalizers == (FINALIZER,)
        assert stalled(harness, "p") == LACKING
        assert "spec.deletionPolicy" in harness.ready("p").message
        held = harness.policy("p")
        harness.seen(replace(held, generation=3, deletion=DeletionPolicy.RETAIN))
        await harness.live(5)
        assert harness.cluster.policies == {}
        assert harness.zitadel.own["o-p"] is False
        await harness.stop()

    run(story())


def test_many_policies_do_not_ask_each() -> None:
    """One policy retries for all, and all report it, one after the other."""

    async def story() -> None:
        names = [f"p{number}" for number in range(150)]
        harness = bench_with(*names)
        await harness.start(workers=16)
        await harness.live(900)
        harness.zitadel.lacks = {"observe"}
        before = count(harness, "observe")
        edited(harness, "p0")
        await harness.live(200)
        calls = count(harness, "observe") - before
        await harness.live(400)
        assert {stalled(harness, name) for name in names} == {LACKING}
        before, writes = count(harness, "observe"), count(harness, "status")
        await harness.live(3600)
        # There is a retry about every five minutes, and no further write.
        assert count(harness, "observe") - before <= 16
        assert count(harness, "status") == writes
        # Before it was certain, policies that were due have made the call, too.
        assert calls < 60
        harness.zitadel.lacks = set()
        await harness.live(500)
        assert {harness.ready(name).status for name in names} == {"True"}
        await harness.stop()

    run(story())


def test_an_instance_in_trouble_proves_nothing() -> None:
    """The minute begins anew when the instance is Ready again."""

    async def story() -> None:
        harness = bench_with("p")
        await harness.start()
        await harness.live(10)
        harness.zitadel.lacks = {"observe"}
        edited(harness, "p")
        await harness.live(30)
        harness.zitadel.failure = TransientError(Reason.UNREACHABLE, "away")
        await harness.live(200)
        assert harness.ready("p").reason == Reason.INSTANCE_NOT_READY
        harness.zitadel.failure = None
        await harness.live(70)
        assert harness.ready("p").reason == Reason.UNEXPECTED_ANSWER
        await harness.live(200)
        assert harness.ready("p").reason == LACKING
        await harness.stop()

    run(story())


def test_one_answer_of_somebody_else_is_forgotten() -> None:
    async def story() -> None:
        harness = bench_with("p")
        await harness.start()
        await harness.live(10)
        harness.zitadel.lacks = {"observe"}
        edited(harness, "p")
        await harness.live(1)
        harness.zitadel.lacks = set()
        await harness.live(100)
        assert harness.ready("p").status == "True"
        assert harness.recorder.notices.count(("p", LACKING)) == 0
        await harness.stop()

    run(story())


def test_another_instance_is_not_concerned() -> None:
    """A call that one ZITADEL lacks says nothing about another one."""

    async def story() -> None:
        harness = bench_with("p")
        other = type(harness.zitadel)(harness.steps)
        other.id = "z-2"
        harness.zitadel.elsewhere["https://other"] = other
        harness.cluster.put_instance(
            replace(
                INSTANCE, key=ObjectKey("", "other"), uid="i-2", url="https://other"
            )
        )
        harness.cluster.put(replace(policy("q", "o-q", 5), instance="other"))
        await harness.start()
        await harness.live(10)
        harness.zitadel.lacks = {"observe"}
        edited(harness, "p")
        await harness.live(600)
        assert stalled(harness, "p") == LACKING
        edited(harness, "q")
        await harness.live(5)
        assert harness.ready("q").status == "True"
        await harness.stop()

    run(story())


def missing() -> ApiMissing:
    return ApiMissing(TransientError(Reason.UNEXPECTED_ANSWER, "no"), "GET /a: 404")


@pytest.mark.parametrize(
    ("times", "proven_at", "sure"),
    [
        ([0, 30, 60], 1.0, True),
        ([0, 59, 59.9], 1.0, False),
        ([0, 60], 1.0, False),
        ([0, 0, 0], 1.0, False),
        ([0, 0, 60], 1.0, True),
        ([0, 30, 60], -1.0, False),
    ],
)
def test_three_times_over_a_minute_of_a_ready_instance(
    times: list[float], proven_at: float, sure: bool
) -> None:
    support = ApiSupport()
    for now in times:
        support.require("observe", now, changed=False)
        found = support.missed("observe", missing(), now, proven_at)
    assert (found.reason is LACKING) is sure
    assert support.lacks("observe") is sure
    assert not support.lacks("reset")


MARKED = Deprecation(("GET /management/v1/a",), "2026-01-01", "2027-01-01", 1.8e9)


def test_deprecated_calls_are_reported_once_a_version() -> None:
    """The number of policies and calls does not matter; no condition changes."""

    async def story() -> None:
        harness = bench_with("p", "q")
        harness.zitadel.deprecated = MARKED
        await harness.start()
        await harness.live(3600)
        notice = ("default", "ApiDeprecated")
        assert harness.recorder.notices.count(notice) == 1
        writes = harness.steps.log.count(("status", "default"))
        assert writes > 0
        edited(harness, "p")
        await harness.live(3600)
        assert harness.recorder.notices.count(notice) == 1
        assert harness.steps.log.count(("status", "default")) == writes
        assert harness.ready("p").status == "True"
        ready = find(harness.cluster.instances["default"].status.conditions, "Ready")
        assert ready is not None
        assert ready.status == "True"
        harness.zitadel.version = "v4.8.0"
        await harness.live(600)
        assert harness.recorder.notices.count(notice) == 2
        await harness.stop()

    run(story())


def test_calls_without_a_mark_are_no_news() -> None:
    async def story() -> None:
        harness = bench_with("p")
        await harness.start()
        await harness.live(600)
        assert ("default", "ApiDeprecated") not in harness.recorder.notices
        await harness.stop()

    run(story())
