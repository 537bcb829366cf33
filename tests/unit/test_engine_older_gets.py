"""GETs that are older than the operator's last write are not reported.

One pod of ZITADEL may lag although another one has shown the write.
"""

from dataclasses import replace

import pytest

from support.drift import bench_with, calls
from support.engines import Bench, policy
from support.loss_stories import delete
from support.replacing import instead_of
from support.settings import mailing, mails
from support.virtual_time import run
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.engine.calls.read_lag import LAG

METHODS = [DriftMethod.AUTO, DriftMethod.POLL, DriftMethod.DISABLED]


def lag(bench: Bench, shown: ObservedPolicy) -> None:
    """Let a pod that still shows this policy answer all GETs from now on."""

    async def observe(*_: object, **__: object) -> ObservedPolicy:
        bench.steps.log.append(("observe", "o"))
        return shown

    instead_of(bench.zitadel.observe).call(observe)


def ask(bench: Bench, *, value: bool) -> None:
    """Edit the policy."""
    before = bench.policy("p")
    later = replace(before, settings=mails(value), generation=before.generation + 1)
    bench.seen(later)


def catch_up(bench: Bench) -> None:
    """Let a pod that is up to date answer GETs."""
    del bench.zitadel.observe


async def shown_by(bench: Bench) -> ObservedPolicy:
    """Return what a GET shows now."""
    shown = await bench.zitadel.observe("o")
    assert shown is not None
    return shown


@pytest.mark.parametrize("method", METHODS)
def test_an_edit_back_is_not_called_done_by_an_older_get(method: DriftMethod) -> None:
    """It is written when the pod has caught up, and no drift is reported."""
    bench = bench_with(policy("p"), method=method)

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        first = await shown_by(bench)
        value = not mailing(first.settings)
        ask(bench, value=value)
        await bench.live(5)
        assert bench.zitadel.own == {"o": value}
        lag(bench, first)
        ask(bench, value=not value)
        await bench.live(8)
        assert bench.ready("p").observed_generation < bench.policy("p").generation
        assert [s[0] for s in bench.zitadel.writes()] == ["Create", "Update"]
        catch_up(bench)
        await bench.live(5)
        assert bench.zitadel.own == {"o": not value}
        assert bench.ready("p").observed_generation == bench.policy("p").generation
        assert bench.ready("p").status == "True"
        await bench.live(300)
        assert [s[0] for s in bench.zitadel.writes()] == ["Create", "Update", "Update"]
        assert not [r for _, r in bench.recorder.notices if r == "DriftCorrected"]
        await bench.stop()

    run(lived())


def test_one_that_is_made_again_records_what_is_in_force() -> None:
    """An older GET shows the policy that its own deletion has removed."""
    bench = bench_with(policy("p"))

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        own = await shown_by(bench)
        assert not own.is_default
        delete(bench)
        await bench.live(5)
        assert bench.cluster.policies == {}
        lag(bench, own)
        bench.seen(replace(policy("p"), uid="u-again"))
        await bench.live(8)
        assert bench.policy("p").original is None
        catch_up(bench)
        await bench.live(5)
        original = bench.policy("p").original
        assert original is not None
        assert original.value.is_default
        assert bench.ready("p").status == "True"
        assert "o" in bench.zitadel.own
        await bench.stop()

    run(lived())


def test_a_zitadel_that_went_back_is_believed_in_the_end() -> None:
    """So it is after a restore of its database, which no event announces."""
    bench = bench_with(policy("p"), method=DriftMethod.DISABLED)

    async def lived() -> None:
        await bench.start()
        await bench.live(60)
        first = await shown_by(bench)
        value = mailing(first.settings)
        assert value is not None
        ask(bench, value=not value)
        await bench.live(5)
        lag(bench, first)
        ask(bench, value=value)
        await bench.live(LAG - 10)
        begun = len(bench.steps.log)
        await bench.live(60)
        assert 1 <= len(calls(bench, begun)) <= 10
        assert bench.ready("p").observed_generation == bench.policy("p").generation
        await bench.stop()

    run(lived())
