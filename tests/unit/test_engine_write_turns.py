"""Writes to one ZITADEL one after the other, in whole engines."""

import asyncio
from dataclasses import replace

from support.engines import INSTANCE, Harness, policy
from support.slow_zitadel import Slow, all_ready, bench_with, edited, of
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.instance_object import InstanceObject, RateLimit
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.write_turns import MARGIN, WRITE_LIMIT
from zitadel_notification_operator.engine.queue.keys import policy_key
from zitadel_notification_operator.engine.queue.workqueue import Priority


def instance(name: str, writes: int, url: str = "https://z") -> InstanceObject:
    """Return an instance object with this number of concurrent writes."""
    limit = RateLimit(max_concurrent_writes=writes)
    return replace(
        INSTANCE,
        key=ObjectKey("", name),
        uid=f"i-{name}",
        url=url,
        rate_limit=limit,
    )


def another_way(harness: Harness, writes: int) -> InstanceObject:
    """Store an instance object that reaches the same ZITADEL by another url."""
    harness.zitadel.elsewhere["https://y"] = harness.zitadel
    return harness.cluster.put_instance(instance("second", writes, "https://y"))


def test_one_at_a_time_for_all_instances_that_reach_a_zitadel() -> None:
    """ZITADEL's own id counts, because each instance has another url."""

    async def story() -> None:
        wanted = of("default", 4) + of("second", 4)
        harness, slow = bench_with(*wanted)
        another_way(harness, 1)
        await harness.start(workers=8)
        await harness.live(60)
        assert all_ready(harness, wanted)
        assert slow.most == 1
        assert len(slow.sent) == 8
        assert harness.parts is not None
        assert len(harness.parts.write_turns) == 0
        await harness.stop()

    run(story())


def test_as_many_as_the_spec_allows() -> None:
    async def story() -> None:
        wanted = of("default", 8)
        harness, slow = bench_with(*wanted)
        harness.cluster.put_instance(replace(instance("default", 3), uid="i"))
        await harness.start(workers=8)
        await harness.live(60)
        assert all_ready(harness, wanted)
        assert slow.most == 3
        await harness.stop()

    run(story())


def test_the_smallest_number_of_two_counts_and_is_read_anew() -> None:
    async def story() -> None:
        wanted = of("default", 8) + of("second", 8)
        harness, slow = bench_with(*wanted)
        harness.cluster.put_instance(replace(instance("default", 4), uid="i"))
        another_way(harness, 2)
        await harness.start(workers=8)
        await harness.live(60)
        assert all_ready(harness, wanted)
        assert slow.most == 2
        limit = RateLimit(max_concurrent_writes=4)
        stored = harness.cluster.instances["second"]
        harness.instance_seen(replace(stored, rate_limit=limit, generation=2))
        await harness.live(5)
        slow.most = 0
        for one in wanted:
            harness.seen(edited(harness, one.key.name, value=True))
        await harness.live(60)
        assert all_ready(harness, wanted)
        assert slow.most == 4
        await harness.stop()

    run(story())


def test_deletions_then_edits_then_retries_then_drift() -> None:
    async def story() -> None:
        names = ["first", "gone", "edit", "again", "drift"]
        wanted = [policy(name, f"o-{name}") for name in names]
        wanted[1] = replace(wanted[1], deletion=DeletionPolicy.RESET)
        harness, slow = bench_with(*wanted)
        await harness.start(workers=16)
        await harness.live(30)
        assert all_ready(harness, wanted)
        slow.sent.clear()
        slow.seconds = 5
        harness.seen(edited(harness, "first", value=True))
        await harness.live(0.1)
        assert harness.parts is not None
        for name, priority in (("drift", Priority.DRIFT), ("again", Priority.RETRY)):
            slow.change(f"o-{name}", True)
            harness.parts.queue.add(policy_key(PolicyKey("own", name)), priority)
            await harness.live(0.1)
        harness.seen(edited(harness, "edit", value=True))
        await harness.live(0.1)
        harness.seen(replace(harness.policy("gone"), deleting=True))
        await harness.live(60)
        orgs = [org for _, org in slow.in_turn]
        assert orgs == ["o-first", "o-gone", "o-edit", "o-again", "o-drift"]
        assert slow.most == 1
        await harness.stop()

    run(story())


def test_reads_wait_for_no_write() -> None:
    async def story() -> None:
        looks = replace(policy("looks", "o-l"), management=ManagementPolicy.OBSERVE)
        harness, slow = bench_with(*of("default", 3), looks)
        slow.seconds = 9
        await harness.start(workers=8)
        await harness.live(2)
        assert harness.ready("looks").status == "True"
        assert slow.now == 1
        await harness.stop()

    run(story())


def test_after_a_write_without_an_answer_the_next_one_waits() -> None:
    """In the end the policy of the lost write is correct, too."""

    async def story() -> None:
        wanted = of("default", 3)
        harness, slow = bench_with(*wanted)
        slow.seconds = 0.2
        lost = TransientError(Reason.UNREACHABLE, "no answer", maybe_done=True)
        slow.errors = [lost]
        await harness.start()
        await harness.live(60)
        assert all_ready(harness, wanted)
        first, second = slow.sent[0][2], slow.sent[1][2]
        assert second - first == WRITE_LIMIT + MARGIN
        assert len(slow.sent) == 3  # an executed write is not repeated
        assert slow.most == 1
        assert harness.parts is not None
        assert len(harness.parts.write_turns) == 0
        await harness.stop()

    run(story())


def test_a_zitadel_that_hangs_holds_up_no_other_one() -> None:
    async def story() -> None:
        wanted = of("default", 4)
        harness, slow = bench_with(*wanted, *of("second", 4))
        harness.zitadel.elsewhere["https://y"] = hanging = Slow(harness.steps, "y")
        hanging.seconds = 10_000
        harness.cluster.put_instance(instance("second", 1, "https://y"))
        await harness.start()
        await harness.live(10)
        assert all_ready(harness, wanted)
        assert (slow.most, hanging.now) == (1, 1)
        assert harness.engine is not None
        harness.engine.abort(RuntimeError("enough"))
        await harness.stop()

    run(story())


def test_what_has_changed_while_it_waited_is_not_written() -> None:
    async def story() -> None:
        harness, slow = bench_with(*of("default", 2))
        await harness.start()
        await harness.live(20)
        slow.sent.clear()
        slow.seconds = 5
        for name in ("default-0", "default-1"):
            harness.seen(edited(harness, name, value=True))
            await harness.live(0.1)
        harness.seen(edited(harness, "default-1", value=False))
        await harness.live(30)
        assert slow.in_turn == [("Update", "o-default-0")]
        assert harness.ready("default-1").status == "True"
        await harness.stop()

    run(story())


def test_the_end_of_the_process_waits_for_one_write_alone() -> None:
    async def story() -> None:
        harness, slow = bench_with(*of("default", 4))
        slow.seconds = 8
        await harness.start()
        await harness.live(1)
        assert slow.now == 1
        began = asyncio.get_running_loop().time()
        await harness.stop()
        assert asyncio.get_running_loop().time() - began < 8
        assert len(slow.sent) == 1
        assert len(slow.own) == 1

    run(story())


def test_what_others_changed_while_a_write_waited_stays() -> None:
    """A write replaces the whole policy, so it needs a recent GET."""

    async def story() -> None:
        wanted = of("default", 2)
        harness, slow = bench_with(*wanted)
        await harness.start()
        await harness.live(20)
        slow.seconds = 5
        for one in wanted:
            harness.seen(edited(harness, one.key.name, value=True))
            await harness.live(0.1)
        slow.change_flags("o-default-1", newFlag=True)
        await harness.live(30)
        assert all_ready(harness, wanted)
        assert slow.own["o-default-1"] is True
        assert slow.flags["o-default-1"] == {"newFlag": True}
        await harness.stop()

    run(story())
