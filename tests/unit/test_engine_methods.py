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
        bench = bench_with(policy("p"), method=method)
        bench.zitadel.capabilities = Capabilities(list_organizations=True)
        await bench.start()
        await bench.live(60)
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(700)
        assert bench.zitadel.own["o"] is False
        assert "events" not in calls(bench, 0)
        drift = bench.policy("p").status.last_drift
        assert drift is not None
        assert drift.editor is None
        bench.zitadel.capabilities = Capabilities(True, True, True)
        await bench.live(900)
        before = len(bench.steps.log)
        await bench.live(3600)
        assert calls(bench, before).count("observe") == 0
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(61)
        assert bench.zitadel.own["o"] is False
        await bench.stop()

    run(story())


def test_a_search_that_is_refused_falls_back_to_polling() -> None:
    """This holds whatever the list of permissions says."""

    async def story() -> None:
        bench = bench_with(policy("p"))

        refusal = TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "no")

        async def refused(*_: object, **__: object) -> list[ZitadelEvent]:
            raise refusal

        async def refused_newest() -> ZitadelEvent:
            raise refusal

        instead_of(bench.zitadel.events).call(refused)
        instead_of(bench.zitadel.newest_event).call(refused_newest)
        await bench.start()
        await bench.live(120)
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(1300)
        assert bench.zitadel.own["o"] is False
        assert bench.ready("p").status == "True"
        await bench.stop()

    run(story())


def test_disabled_reads_only_when_kubernetes_gives_a_reason() -> None:
    async def story() -> None:
        bench = bench_with(policy("p"), method=DriftMethod.DISABLED)
        await bench.start()
        await bench.live(120)
        before = len(bench.steps.log)
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(2 * DAY)
        assert set(calls(bench, before)) == {"identify", "authenticate"}
        bench.seen(replace(bench.policy("p"), requested_at="now"))
        await bench.live(5)
        assert bench.zitadel.own["o"] is False
        await bench.stop()

    run(story())


def test_a_change_of_method_holds_at_once() -> None:
    async def story() -> None:
        bench = bench_with(policy("p"), method=DriftMethod.DISABLED)
        await bench.start()
        await bench.live(120)
        bench.zitadel.change("o", True, OTHERS)
        stored = bench.cluster.instances["default"]
        polled = with_spec(
            stored, method=DriftMethod.POLL, poll_interval=20, generation=2
        )
        bench.instance_seen(polled)
        await bench.live(25)
        assert bench.zitadel.own["o"] is False
        await bench.stop()

    run(story())
