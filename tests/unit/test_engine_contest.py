"""Others keep changing a policy back: slower corrections, and one report."""

from dataclasses import replace

from support.drift import bench_with, in_sync
from support.engines import Bench, policy
from support.fakes import OTHERS
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.reasons import Reason

DAY = 24 * 3600.0


async def fight(bench: Bench, seconds: float) -> int:
    """Change it back within a second of each correction; return how often."""
    corrections = 0
    for _ in range(int(seconds)):
        await bench.live(1)
        if bench.zitadel.own["o"] is False:
            corrections += 1
            bench.zitadel.change("o", True, OTHERS)
    return corrections


def test_another_writer_is_not_fought_for_ever() -> None:
    """After five corrections in an hour they slow down; this is reported once."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await bench.start()
        await bench.live(120)
        before = len(bench.steps.log)
        assert await fight(bench, 1200) <= 7
        status = in_sync(bench, "p")
        assert (status.status, status.reason) == ("False", Reason.CONTESTED)
        assert bench.ready("p").status == "True"
        assert bench.recorder.notices.count(("p", "Contested")) == 1
        later = await fight(bench, DAY)
        assert later <= 10
        writes = [step for step in bench.steps.log[before:] if step[0] == "status"]
        assert len([w for w in writes if w[1] == "own/p"]) <= 3 * (7 + later)
        assert bench.recorder.notices.count(("p", "Contested")) == 1
        # The others stop: it is corrected once more, and the contest ends later.
        await bench.live(14 * 3600)
        assert bench.zitadel.own["o"] is False
        assert in_sync(bench, "p").reason == Reason.IN_SYNC
        await bench.stop()

    run(story())


def test_a_new_spec_ends_a_contest() -> None:
    """The operator acts on a person's edit at once."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await bench.start()
        await bench.live(120)
        await fight(bench, 1200)
        bench.zitadel.change("o", False, OTHERS)
        await bench.live(61)
        stored = bench.policy("p")
        bench.seen(replace(stored, settings=mails(True), generation=2))
        await bench.live(5)
        assert bench.zitadel.own["o"] is True
        assert in_sync(bench, "p").reason == Reason.IN_SYNC
        await bench.stop()

    run(story())
