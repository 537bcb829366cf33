"""Others keep changing a policy back: slower corrections, and one report."""

from dataclasses import replace

from support.drift import bench_with, in_sync
from support.engines import Harness, policy
from support.fakes import OTHERS
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.reasons import Reason

DAY = 24 * 3600.0


async def fight(harness: Harness, seconds: float) -> int:
    """Change it back within a second of each correction; return how often."""
    corrections = 0
    for _ in range(int(seconds)):
        await harness.live(1)
        if harness.zitadel.own["o"] is False:
            corrections += 1
            harness.zitadel.change("o", True, OTHERS)
    return corrections


def test_another_writer_is_not_fought_for_ever() -> None:
    """After five corrections in an hour they slow down; this is reported once."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await harness.start()
        await harness.live(120)
        before = len(harness.steps.log)
        assert await fight(harness, 1200) <= 7
        status = in_sync(harness, "p")
        assert (status.status, status.reason) == ("False", Reason.CONTESTED)
        assert harness.ready("p").status == "True"
        assert harness.recorder.notices.count(("p", "Contested")) == 1
        later = await fight(harness, DAY)
        assert later <= 10
        writes = [step for step in harness.steps.log[before:] if step[0] == "status"]
        assert len([w for w in writes if w[1] == "own/p"]) <= 3 * (7 + later)
        assert harness.recorder.notices.count(("p", "Contested")) == 1
        # The others stop: it is corrected once more, and the contest ends later.
        await harness.live(14 * 3600)
        assert harness.zitadel.own["o"] is False
        assert in_sync(harness, "p").reason == Reason.IN_SYNC
        await harness.stop()

    run(story())


def test_a_new_spec_ends_a_contest() -> None:
    """The operator acts on a person's edit at once."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await harness.start()
        await harness.live(120)
        await fight(harness, 1200)
        harness.zitadel.change("o", False, OTHERS)
        await harness.live(61)
        stored = harness.policy("p")
        harness.seen(replace(stored, settings=mails(True), generation=2))
        await harness.live(5)
        assert harness.zitadel.own["o"] is True
        assert in_sync(harness, "p").reason == Reason.IN_SYNC
        await harness.stop()

    run(story())
