"""GETs that are older than the operator's last write are not reported.

One pod of ZITADEL may lag although another one has shown the write.
"""

from dataclasses import replace

import pytest

from support.drift import bench_with, calls
from support.engines import Harness, policy
from support.loss_stories import delete
from support.replacing import instead_of
from support.settings import mailing, mails
from support.virtual_time import run
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.engine.calls.read_lag import LAG

METHODS = [DriftMethod.AUTO, DriftMethod.POLL, DriftMethod.DISABLED]


def lag(harness: Harness, shown: ObservedPolicy) -> None:
    """Let a pod that still shows this policy answer all GETs from now on."""

    async def observe(*_: object, **__: object) -> ObservedPolicy:
        harness.steps.log.append(("observe", "o"))
        return shown

    instead_of(harness.zitadel.observe).call(observe)


def ask(harness: Harness, *, value: bool) -> None:
    """Edit the policy."""
    before = harness.policy("p")
    later = replace(before, settings=mails(value), generation=before.generation + 1)
    harness.seen(later)


def catch_up(harness: Harness) -> None:
    """Let a pod that is up to date answer GETs."""
    del harness.zitadel.observe


async def shown_by(harness: Harness) -> ObservedPolicy:
    """Return what a GET shows now."""
    shown = await harness.zitadel.observe("o")
    assert shown is not None
    return shown


@pytest.mark.parametrize("method", METHODS)
def test_an_edit_back_is_not_called_done_by_an_older_get(method: DriftMethod) -> None:
    """It is written when the pod has caught up, and no drift is reported."""
    harness = bench_with(policy("p"), method=method)

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        first = await shown_by(harness)
        value = not mailing(first.settings)
        ask(harness, value=value)
        await harness.live(5)
        assert harness.zitadel.own == {"o": value}
        lag(harness, first)
        ask(harness, value=not value)
        await harness.live(8)
        assert harness.ready("p").observed_generation < harness.policy("p").generation
        assert [s[0] for s in harness.zitadel.writes()] == ["Create", "Update"]
        catch_up(harness)
        await harness.live(5)
        assert harness.zitadel.own == {"o": not value}
        assert harness.ready("p").observed_generation == harness.policy("p").generation
        assert harness.ready("p").status == "True"
        await harness.live(300)
        assert [s[0] for s in harness.zitadel.writes()] == [
            "Create",
            "Update",
            "Update",
        ]
        assert not [r for _, r in harness.recorder.notices if r == "DriftCorrected"]
        await harness.stop()

    run(lived())


def test_one_that_is_made_again_records_what_is_in_force() -> None:
    """An older GET shows the policy that its own deletion has removed."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        own = await shown_by(harness)
        assert not own.is_default
        delete(harness)
        await harness.live(5)
        assert harness.cluster.policies == {}
        lag(harness, own)
        harness.seen(replace(policy("p"), uid="u-again"))
        await harness.live(8)
        assert harness.policy("p").original is None
        catch_up(harness)
        await harness.live(5)
        original = harness.policy("p").original
        assert original is not None
        assert original.value.is_default
        assert harness.ready("p").status == "True"
        assert "o" in harness.zitadel.own
        await harness.stop()

    run(lived())


def test_a_zitadel_that_went_back_is_believed_in_the_end() -> None:
    """So it is after a restore of its database, which no event announces."""
    harness = bench_with(policy("p"), method=DriftMethod.DISABLED)

    async def lived() -> None:
        await harness.start()
        await harness.live(60)
        first = await shown_by(harness)
        value = mailing(first.settings)
        assert value is not None
        ask(harness, value=not value)
        await harness.live(5)
        lag(harness, first)
        ask(harness, value=value)
        await harness.live(LAG - 10)
        begun = len(harness.steps.log)
        await harness.live(60)
        assert 1 <= len(calls(harness, begun)) <= 10
        assert harness.ready("p").observed_generation == harness.policy("p").generation
        await harness.stop()

    run(lived())
