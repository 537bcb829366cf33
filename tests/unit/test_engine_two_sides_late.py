"""What is in the event log and not yet in GETs is not forgotten.

There is no new event when a stopped read side catches up.
"""

from dataclasses import replace

import pytest

from support.drift import bench_with, calls, in_sync
from support.engines import policy
from support.fakes import OTHERS
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.policy import ManagementPolicy
from zitadel_notification_operator.core.reasons import Reason


@pytest.mark.parametrize("inherits", [False, True])
def test_one_that_only_observes_sees_it_when_the_read_side_has_caught_up(
    inherits: bool,
) -> None:
    """It is polled as often as without events, and only as long as needed."""
    harness = bench_with(replace(policy("p"), management=ManagementPolicy.OBSERVE))

    async def lived() -> None:
        zitadel = harness.zitadel
        if not inherits:
            zitadel.change("o", True, OTHERS)
        await harness.start()
        await harness.live(100)
        zitadel.stopped = True
        zitadel.change("" if inherits else "o", False, OTHERS)
        await harness.live(2000)
        assert harness.policy("p").status.settings == mails(True)
        zitadel.catch_up()
        await harness.live(700)
        assert harness.policy("p").status.settings == mails(False)
        begun = len(harness.steps.log)
        await harness.live(2000)
        assert "observe" not in calls(harness, begun)
        if not inherits:
            assert in_sync(harness, "p").status == "True"
        await harness.stop()

    run(lived())


def test_a_log_that_cannot_be_read_for_a_while_is_read_later() -> None:
    """A missed event is handled once searches work again."""
    harness = bench_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        search = zitadel.last_policy_event

        async def fails(*_: object, **__: object) -> ZitadelEvent:
            raise TransientError(Reason.SERVER_ERROR, "HTTP 500")

        instead_of(zitadel.last_policy_event).call(fails)
        zitadel.to_lose.append(("changed", "o"))
        zitadel.change("o", True, OTHERS)
        await harness.live(200)
        assert harness.ready("p").status == "True"
        instead_of(zitadel.last_policy_event).call(search)
        await harness.live(700)
        assert zitadel.written("o") is False
        await harness.stop()

    run(lived())
