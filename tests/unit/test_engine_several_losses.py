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
    bench = bench_with(*(policy(name, f"o-{name}") for name in names))
    often = with_spec(INSTANCE, method=DriftMethod.AUTO, events_interval=5)
    bench.cluster.put_instance(often)

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        bench.zitadel.to_lose = [("changed", f"o-{name}") for name in names]
        before = len(bench.zitadel.writes())
        for name in names:
            stored = bench.policy(name)
            bench.seen(replace(stored, settings=mails(True), generation=2))
        await bench.live(LOSERS * EACH)
        # Each edit is written; then one organization after the other is repaired.
        made = [organization for _, organization in bench.zitadel.writes()[before:]]
        assert sorted(made[:LOSERS]) == sorted(f"o-{name}" for name in names)
        repaired = [(org, len([*same])) for org, same in groupby(made[LOSERS:])]
        assert sorted(repaired) == sorted((f"o-{name}", 3) for name in names)
        assert bench.zitadel.own == {f"o-{name}": True for name in names}
        assert {bench.ready(name).status for name in names} == {"True"}
        event_reasons = [reason for _, reason in bench.recorder.notices]
        assert event_reasons.count("ReadSideRepaired") == LOSERS
        assert "DriftCorrected" not in event_reasons
        await bench.stop()

    run(lived())
