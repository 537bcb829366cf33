"""A ZITADEL that no longer has some calls, or does not have them yet."""

from dataclasses import replace

import pytest

from support.engines import INSTANCE, Bench, policy
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


def bench_with(*names: str) -> Bench:
    """Return a bench with one policy for each organization."""
    bench = Bench()
    for second, name in enumerate(names):
        bench.cluster.put(policy(name, f"o-{name}", second))
    return bench


def edited(bench: Bench, name: str) -> None:
    """Edit a policy as a user would."""
    held = bench.policy(name)
    wanted = not mailing(held.settings)
    bench.seen(replace(held, generation=held.generation + 1, settings=mails(wanted)))


def stalled(bench: Bench, name: str) -> str:
    """Return the reason of Stalled, or "" if the policy is not Stalled."""
    found = find(bench.policy(name).status.conditions, "Stalled")
    return found.reason if found else ""


def count(bench: Bench, call: str) -> int:
    """Return the number of steps of a kind."""
    return sum(step[0] == call for step in bench.steps.log)


@pytest.mark.parametrize("lacks", [{"observe"}, WRITES])
def test_calls_that_are_gone_are_reported_after_a_minute(lacks: set[str]) -> None:
    """Before that, the reason is UnexpectedAnswer."""

    async def story() -> None:
        bench = bench_with("p")
        await bench.start()
        await bench.live(10)
        bench.zitadel.lacks = lacks
        edited(bench, "p")
        await bench.live(50)
        assert bench.ready("p").reason == Reason.UNEXPECTED_ANSWER
        assert stalled(bench, "p") == ""
        await bench.live(120)
        assert bench.ready("p").reason == LACKING
        assert stalled(bench, "p") == LACKING
        assert "HTTP 404" in bench.ready("p").message
        await bench.stop()

    run(story())


@pytest.mark.parametrize("lacks", [{"observe"}, WRITES])
def test_it_goes_on_when_the_calls_are_back(lacks: set[str]) -> None:
    async def story() -> None:
        bench = bench_with("p", "q")
        await bench.start()
        await bench.live(10)
        bench.zitadel.lacks = lacks
        edited(bench, "p")
        await bench.live(600)
        assert stalled(bench, "p") == LACKING
        bench.zitadel.lacks = set()
        await bench.live(400)
        for name in ("p", "q"):
            assert bench.ready(name).status == "True"
        assert bench.zitadel.own["o-p"] is True
        await bench.stop()

    run(story())


def test_a_write_that_was_taken_is_verified_at_once() -> None:
    """Another policy's missing GET a moment before does not delay that."""

    async def story() -> None:
        bench = bench_with("p", "q")
        await bench.start()
        await bench.live(10)
        bench.zitadel.lacks = {"observe", "Reset"}
        edited(bench, "q")
        bench.seen(replace(bench.policy("p"), deleting=True, generation=2))
        await bench.live(300)
        assert (stalled(bench, "p"), stalled(bench, "q")) == (LACKING, LACKING)
        edited(bench, "q")
        await bench.live(2)
        bench.zitadel.lacks = set()
        before = count(bench, "Reset")
        bench.seen(replace(bench.policy("p"), generation=3))
        await bench.live(3)
        assert count(bench, "Reset") == before + 1
        assert policy("p").key not in bench.cluster.policies
        await bench.stop()

    run(story())


def test_what_somebody_asks_for_is_tried_at_once() -> None:
    """This holds for an edit of the policy and for one of the instance."""

    async def story() -> None:
        bench = bench_with("p")
        await bench.start()
        await bench.live(10)
        bench.zitadel.lacks = {"observe"}
        edited(bench, "p")
        await bench.live(600)
        bench.zitadel.lacks = set()
        edited(bench, "p")
        await bench.live(2)
        assert bench.ready("p").status == "True"
        bench.zitadel.lacks = {"observe"}
        edited(bench, "p")
        await bench.live(600)
        assert stalled(bench, "p") == LACKING
        bench.zitadel.lacks = set()
        known = bench.cluster.instances["default"]
        bench.instance_seen(replace(known, requested_at="now"))
        await bench.live(2)
        assert bench.ready("p").status == "True"
        await bench.stop()

    run(story())


def test_a_deletion_waits_and_says_what_to_edit() -> None:
    async def story() -> None:
        bench = bench_with("p")
        await bench.start()
        await bench.live(10)
        assert bench.zitadel.own["o-p"] is False
        bench.zitadel.lacks = WRITES
        held = bench.policy("p")
        dying = replace(held, generation=2, deleting=True)
        bench.seen(dying)
        await bench.live(3600)
        assert bench.zitadel.own["o-p"] is False
        assert bench.policy("p").finalizers == (FINALIZER,)
        assert stalled(bench, "p") == LACKING
        assert "spec.deletionPolicy" in bench.ready("p").message
        held = bench.policy("p")
        bench.seen(replace(held, generation=3, deletion=DeletionPolicy.RETAIN))
        await bench.live(5)
        assert bench.cluster.policies == {}
        assert bench.zitadel.own["o-p"] is False
        await bench.stop()

    run(story())


def test_many_policies_do_not_ask_each() -> None:
    """One policy retries for all, and all report it, one after the other."""

    async def story() -> None:
        names = [f"p{number}" for number in range(150)]
        bench = bench_with(*names)
        await bench.start(workers=16)
        await bench.live(900)
        bench.zitadel.lacks = {"observe"}
        before = count(bench, "observe")
        edited(bench, "p0")
        await bench.live(200)
        calls = count(bench, "observe") - before
        await bench.live(400)
        assert {stalled(bench, name) for name in names} == {LACKING}
        before, writes = count(bench, "observe"), count(bench, "status")
        await bench.live(3600)
        # There is a retry about every five minutes, and no further write.
        assert count(bench, "observe") - before <= 16
        assert count(bench, "status") == writes
        # Before it was certain, policies that were due have made the call, too.
        assert calls < 60
        bench.zitadel.lacks = set()
        await bench.live(500)
        assert {bench.ready(name).status for name in names} == {"True"}
        await bench.stop()

    run(story())


def test_an_instance_in_trouble_proves_nothing() -> None:
    """The minute begins anew when the instance is Ready again."""

    async def story() -> None:
        bench = bench_with("p")
        await bench.start()
        await bench.live(10)
        bench.zitadel.lacks = {"observe"}
        edited(bench, "p")
        await bench.live(30)
        bench.zitadel.failure = TransientError(Reason.UNREACHABLE, "away")
        await bench.live(200)
        assert bench.ready("p").reason == Reason.INSTANCE_NOT_READY
        bench.zitadel.failure = None
        await bench.live(70)
        assert bench.ready("p").reason == Reason.UNEXPECTED_ANSWER
        await bench.live(200)
        assert bench.ready("p").reason == LACKING
        await bench.stop()

    run(story())


def test_one_answer_of_somebody_else_is_forgotten() -> None:
    async def story() -> None:
        bench = bench_with("p")
        await bench.start()
        await bench.live(10)
        bench.zitadel.lacks = {"observe"}
        edited(bench, "p")
        await bench.live(1)
        bench.zitadel.lacks = set()
        await bench.live(100)
        assert bench.ready("p").status == "True"
        assert bench.recorder.notices.count(("p", LACKING)) == 0
        await bench.stop()

    run(story())


def test_another_instance_is_not_concerned() -> None:
    """A call that one ZITADEL lacks says nothing about another one."""

    async def story() -> None:
        bench = bench_with("p")
        other = type(bench.zitadel)(bench.steps)
        other.id = "z-2"
        bench.zitadel.elsewhere["https://other"] = other
        bench.cluster.put_instance(
            replace(
                INSTANCE, key=ObjectKey("", "other"), uid="i-2", url="https://other"
            )
        )
        bench.cluster.put(replace(policy("q", "o-q", 5), instance="other"))
        await bench.start()
        await bench.live(10)
        bench.zitadel.lacks = {"observe"}
        edited(bench, "p")
        await bench.live(600)
        assert stalled(bench, "p") == LACKING
        edited(bench, "q")
        await bench.live(5)
        assert bench.ready("q").status == "True"
        await bench.stop()

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
        bench = bench_with("p", "q")
        bench.zitadel.deprecated = MARKED
        await bench.start()
        await bench.live(3600)
        notice = ("default", "ApiDeprecated")
        assert bench.recorder.notices.count(notice) == 1
        writes = bench.steps.log.count(("status", "default"))
        assert writes > 0
        edited(bench, "p")
        await bench.live(3600)
        assert bench.recorder.notices.count(notice) == 1
        assert bench.steps.log.count(("status", "default")) == writes
        assert bench.ready("p").status == "True"
        ready = find(bench.cluster.instances["default"].status.conditions, "Ready")
        assert ready is not None
        assert ready.status == "True"
        bench.zitadel.version = "v4.8.0"
        await bench.live(600)
        assert bench.recorder.notices.count(notice) == 2
        await bench.stop()

    run(story())


def test_calls_without_a_mark_are_no_news() -> None:
    async def story() -> None:
        bench = bench_with("p")
        await bench.start()
        await bench.live(600)
        assert ("default", "ApiDeprecated") not in bench.recorder.notices
        await bench.stop()

    run(story())
