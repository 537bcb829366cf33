"""Which answers end a doubt about a policy's last events, and which do not.

The stories of `test_engine_two_sides_doubts.py` begin the doubt.
"""

from dataclasses import replace

from support.drift import bench_with, calls, edit, harness_with, in_sync
from support.engines import policy
from support.fakes import OTHERS
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.policy import ManagementPolicy, ObservedPolicy
from zitadel_notification_operator.core.reasons import Reason

OBSERVER = replace(policy("p"), management=ManagementPolicy.OBSERVE)


async def fails(*_: object, **__: object) -> ObservedPolicy:
    """Fail instead of a GET."""
    raise TransientError(Reason.SERVER_ERROR, "HTTP 500")


def test_an_event_that_waits_already_does_not_answer_for_a_later_one() -> None:
    """GETs show the first one, and never the second."""
    harness = harness_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        observe = zitadel.observe
        instead_of(zitadel.observe).call(fails)
        zitadel.change("o", True, OTHERS)
        zitadel.change("o", False, OTHERS)
        await harness.live(100)
        assert harness.ready("p").status == "False"
        zitadel.to_lose.append(("changed", "o"))
        zitadel.change("o", True, OTHERS)
        await harness.live(100)
        instead_of(zitadel.observe).call(observe)
        edit(harness)
        await harness.live(1000)
        assert harness.ready("p").status == "True"
        assert zitadel.written("o") is False
        await harness.stop()

    run(lived())


def test_one_that_only_observes_waits_for_an_event_of_its_pause() -> None:
    """The read side lags behind while it resumes."""
    harness = harness_with(OBSERVER)

    async def lived() -> None:
        zitadel = harness.zitadel
        zitadel.change("o", True, OTHERS)
        await harness.start()
        await harness.live(100)
        edit(harness, suspended=True)
        await harness.live(10)
        zitadel.stopped = True
        zitadel.change("o", False, OTHERS)
        await harness.live(20)
        edit(harness)
        await harness.live(60)
        zitadel.catch_up()
        await harness.live(700)
        assert harness.policy("p").status.settings == mails(False)
        assert in_sync(harness, "p").status == "True"
        await harness.stop()

    run(lived())


def test_an_organization_that_was_removed_meanwhile_is_looked_up() -> None:
    """ZITADEL answers for it as for one that inherits."""
    harness = harness_with(OBSERVER)

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        assert harness.ready("p").status == "True"
        edit(harness, suspended=True)
        await harness.live(10)
        harness.zitadel.remove("o")
        await harness.live(30)
        edit(harness)
        await harness.live(30)
        assert harness.ready("p").reason == Reason.ORGANIZATION_NOT_FOUND
        await harness.stop()

    run(lived())


def test_nobody_asks_a_log_that_is_not_to_be_read() -> None:
    """A restart finds a status that is not current, which is all that is known."""
    harness = bench_with(policy("p"), method=DriftMethod.DISABLED)

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        edit(harness, suspended=True)
        await harness.live(10)
        await harness.stop()
        await harness.start()
        await harness.live(10)
        begun = len(harness.steps.log)
        edit(harness)
        await harness.live(3000)
        assert calls(harness, begun).count("observe") == 1
        assert "last policy event" not in calls(harness, begun)
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())


def test_what_a_search_finds_meanwhile_is_not_lost() -> None:
    """It is later than what the log answers, and the read side catches up with that."""
    harness = harness_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        edit(harness, suspended=True)
        await harness.live(10)
        zitadel.stopped = True
        first = zitadel.change("o", False, OTHERS)
        await harness.live(30)
        search = zitadel.last_policy_event

        async def slow(organization_id: str | None) -> ZitadelEvent | None:
            found = await search(organization_id)
            if zitadel.stopped:
                zitadel.change("o", True, OTHERS)
                await harness.live(20)
                zitadel.stopped = False
                zitadel.show("o", first)
            return found

        instead_of(zitadel.last_policy_event).call(slow)
        edit(harness)
        await harness.live(1000)
        assert zitadel.written("o") is False
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())


def test_an_edit_of_an_instance_that_an_answer_shows_first() -> None:
    """The answer to a write of our status holds it, and the watch tells it later."""
    harness = harness_with()
    tenant = replace(OBSERVER, key=ObjectKey("team", "p"))
    harness.cluster.put(tenant)
    stored = harness.cluster.instances["default"]
    harness.cluster.put_instance(replace(stored, grants=(Grant(("team",)),)))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        found = harness.cluster.policies[tenant.key].status.conditions
        assert [c.status for c in found if c.type == "Ready"] == ["True"]
        stored = harness.cluster.instances["default"]
        revoked = replace(stored, grants=(), generation=stored.generation + 1)
        harness.cluster.put_instance(revoked)
        # What a probe finds is written before any watch event arrives.
        harness.zitadel.version = "v4.8.0"
        await harness.live(300)
        assert harness.cluster.instances["default"].status.version == "v4.8.0"
        found = harness.cluster.policies[tenant.key].status.conditions
        assert [c.status for c in found if c.type == "Ready"] == ["False"]
        await harness.stop()

    run(lived())
