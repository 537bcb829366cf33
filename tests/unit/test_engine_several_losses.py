"""Several policies lose events at once: one repair after the other."""

from dataclasses import replace
from itertools import groupby

from support.drift import bench_with
from support.engines import INSTANCE, policy, with_spec
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.instance_object import DriftMethod

LOSERS = 5
EACH = 6
"""Seconds that the repair of one may take, with the time until it is its turn."""


def test_who_waits_for_its_turn_does_not_wait_for_its_own_event_too() -> None:
    """The search meanwhile finds the operator's write, which no GET shows.

    That is the loss to be repaired; another thirty seconds would reveal nothing new.
    """
    names = [f"p{number}" for number in range(LOSERS)]
    harness = bench_with(*(policy(name, f"o-{name}") for name in names))
    often = with_spec(INSTANCE, method=DriftMethod.AUTO, events_interval=5)
    harness.cluster.put_instance(often)

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        harness.zitadel.to_lose = [("changed", f"o-{name}") for name in names]
        before = len(harness.zitadel.writes())
        for name in names:
            stored = harness.policy(name)
            harness.seen(replace(stored, settings=mails(True), generation=2))
        await harness.live(LOSERS * EACH)
        # Each edit is written; then one organization after the other is repaired.
        made = [organization for _, organization in harness.zitadel.writes()[before:]]
        assert sorted(made[:LOSERS]) == sorted(f"o-{name}" for name in names)
        repaired = [(org, len([*same])) for org, same in groupby(made[LOSERS:])]
        assert sorted(repaired) == sorted((f"o-{name}", 3) for name in names)
        assert harness.zitadel.own == {f"o-{name}": True for name in names}
        assert {harness.ready(name).status for name in names} == {"True"}
        event_reasons = [reason for _, reason in harness.recorder.notices]
        assert event_reasons.count("ReadSideRepaired") == LOSERS
        assert "DriftCorrected" not in event_reasons
        await harness.stop()

    run(lived())
