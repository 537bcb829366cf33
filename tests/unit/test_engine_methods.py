"""The method of drift detection: by the spec, the credential, and its changes."""

from dataclasses import replace

import pytest

from support.drift import bench_with, calls
from support.engines import policy, with_spec
from support.fakes import OTHERS
from support.replacing import instead_of
from support.virtual_time import run
from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.identity import Capabilities
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.reasons import Reason

DAY = 24 * 3600.0


@pytest.mark.parametrize("method", [DriftMethod.AUTO, DriftMethod.EVENTS])
def test_without_the_permission_it_is_polled(method: DriftMethod) -> None:
    """Events are used as soon as the user has the role."""

    async def story() -> None:
        harness = bench_with(policy("p"), method=method)
        harness.zitadel.capabilities = Capabilities(list_organizations=True)
        await harness.start()
        await harness.live(60)
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(700)
        assert harness.zitadel.own["o"] is False
        assert "events" not in calls(harness, 0)
        drift = harness.policy("p").status.last_drift
        assert drift is not None
        assert drift.editor is None
        harness.zitadel.capabilities = Capabilities(True, True, True)
        await harness.live(900)
        before = len(harness.steps.log)
        await harness.live(3600)
        assert calls(harness, before).count("observe") == 0
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(61)
        assert harness.zitadel.own["o"] is False
        await harness.stop()

    run(story())


def test_a_search_that_is_refused_falls_back_to_polling() -> None:
    """This holds whatever the list of permissions says."""

    async def story() -> None:
        harness = bench_with(policy("p"))

        refusal = TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "no")

        async def refused(*_: object, **__: object) -> list[ZitadelEvent]:
            raise refusal

        async def refused_newest() -> ZitadelEvent:
            raise refusal

        instead_of(harness.zitadel.events).call(refused)
        instead_of(harness.zitadel.newest_event).call(refused_newest)
        await harness.start()
        await harness.live(120)
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(1300)
        assert harness.zitadel.own["o"] is False
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(story())


def test_disabled_reads_only_when_kubernetes_gives_a_reason() -> None:
    async def story() -> None:
        harness = bench_with(policy("p"), method=DriftMethod.DISABLED)
        await harness.start()
        await harness.live(120)
        before = len(harness.steps.log)
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(2 * DAY)
        assert set(calls(harness, before)) == {"identify", "authenticate"}
        harness.seen(replace(harness.policy("p"), requested_at="now"))
        await harness.live(5)
        assert harness.zitadel.own["o"] is False
        await harness.stop()

    run(story())


def test_a_change_of_method_holds_at_once() -> None:
    async def story() -> None:
        harness = bench_with(policy("p"), method=DriftMethod.DISABLED)
        await harness.start()
        await harness.live(120)
        harness.zitadel.change("o", True, OTHERS)
        stored = harness.cluster.instances["default"]
        polled = with_spec(
            stored, method=DriftMethod.POLL, poll_interval=20, generation=2
        )
        harness.instance_seen(polled)
        await harness.live(25)
        assert harness.zitadel.own["o"] is False
        await harness.stop()

    run(story())
