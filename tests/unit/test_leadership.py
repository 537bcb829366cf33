"""The election on a virtual clock: one writer at most, and soon one again."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.leases import LATENCY, Candidate, StoredLease, TermObserver
from support.virtual_time import VirtualLoop, run
from zitadel_notification_operator.core.lease import Lease, Timing
from zitadel_notification_operator.engine.leader.leadership import LeaseLost

DURATION = 15.0
RETRY = DURATION * 2 / 15


def on_virtual_clock(
    test: Callable[[], Coroutine[Any, Any, None]],
) -> Callable[[], None]:
    def runner() -> None:
        run(test())

    runner.__doc__ = test.__doc__
    return runner


def time() -> float:
    return asyncio.get_running_loop().time()


async def elected(candidate: Candidate, within: float = 100.0) -> float:
    """Wait until the candidate leads; return the seconds that it took."""
    began = time()
    await asyncio.wait_for(candidate.leadership.elected.wait(), within)
    return time() - began


@on_virtual_clock
async def test_the_first_leads_at_once_and_keeps_it() -> None:
    """It takes one read and one write, then a renewal each retry period."""
    record = StoredLease()
    first = Candidate(record, "a")
    assert await elected(first) < 0.1
    second = Candidate(record, "b")
    await asyncio.sleep(600)
    assert {holder for _, holder in record.writes} == {"a"}
    assert record.lease is not None
    assert record.lease.transitions == 0
    assert 600 / RETRY <= len(record.writes) <= 600 / RETRY * 1.12
    assert not second.leadership.is_leader
    assert 12.9 - RETRY < first.leadership.time_left() <= 14


@on_virtual_clock
async def test_after_a_kill_the_next_leads_within_the_promise() -> None:
    """It takes the lease duration plus two retry periods after the kill."""
    for wait in (0.1, 1.0, 1.9, 3.3):
        record = StoredLease()
        first = Candidate(record, "a")
        await elected(first)
        second = Candidate(record, "b")
        await asyncio.sleep(20 + wait)
        first.kill()
        took = await elected(second)
        assert DURATION - RETRY <= took < DURATION + 2 * RETRY
        assert record.lease is not None
        assert record.lease.transitions == 1
        second.task.cancel()


@on_virtual_clock
async def test_a_release_is_taken_up_within_a_retry_period() -> None:
    """The Lease has no holder then, so nobody waits for its duration."""
    record = StoredLease()
    first = Candidate(record, "a")
    await elected(first)
    second = Candidate(record, "b")
    await asyncio.sleep(31)
    await first.stop()
    assert record.lease is not None
    assert (record.lease.holder, record.lease.duration) == ("", 1)
    assert not first.may_write
    assert await elected(second) <= RETRY + 0.1
    assert record.lease.transitions == 1
    assert record.lease.acquired == record.lease.renewed


@on_virtual_clock
async def test_a_stop_while_standing_by_releases_nothing_of_others() -> None:
    """A candidate releases only its own lease."""
    record = StoredLease()
    first = Candidate(record, "a")
    await elected(first)
    second = Candidate(record, "b")
    await asyncio.sleep(5)
    await second.stop()
    assert record.lease is not None
    assert record.lease.holder == "a"


@on_virtual_clock
async def test_a_lost_lease_is_explained_by_the_last_whole_answer() -> None:
    """A call that the deadline cut short only says that it was late."""
    record = StoredLease()
    first = Candidate(record, "a")
    await elected(first)
    await asyncio.sleep(20)
    first.way.fault = "fail"
    await asyncio.sleep(8)
    first.way.fault = "hang"
    with pytest.raises(LeaseLost, match=r"for 10\.0 s: refused"):
        await first.task


@pytest.mark.parametrize("fault", ["fail", "hang", "lose", "late"])
def test_who_cannot_renew_gives_up_before_the_next_one_begins(fault: str) -> None:
    """It ends at the renew deadline, and is silent a second before the next."""

    async def test() -> None:
        record = StoredLease()
        first = Candidate(record, "a")
        await elected(first)
        second = Candidate(record, "b")
        witness = TermObserver([first, second])
        await asyncio.sleep(20)
        cut = time()
        first.way.fault = fault
        await elected(second)
        await asyncio.sleep(5)
        witness.check()
        (_, _, last), (name, begin, _) = await witness.stop()
        assert name == "b"
        assert isinstance(first.task.exception(), LeaseLost)
        assert first.ended_at is not None
        # A renewal whose response was lost still makes the others wait.
        assert cut + 10 - RETRY <= first.ended_at + 0.1
        assert first.ended_at <= cut + 10.1
        assert last < begin - 1
        longest = DURATION * (2 if fault in {"lose", "late"} else 1) + 2 * RETRY
        assert begin - cut < longest

    run(test())


@on_virtual_clock
async def test_short_troubles_cost_nothing() -> None:
    """Failures, hangs and lost responses end before the renew deadline."""
    record = StoredLease()
    first = Candidate(record, "a")
    await elected(first)
    second = Candidate(record, "b")
    for fault in ("fail", "hang", "lose", "fail", "lose"):
        first.way.fault = fault
        await asyncio.sleep(5)
        first.way.fault = ""
        await asyncio.sleep(7)
        assert first.may_write
    assert not second.leadership.is_leader


@on_virtual_clock
async def test_an_acquisition_whose_answer_was_lost_is_ours() -> None:
    """The next read finds it, and the lease is kept from then on."""
    record = StoredLease()
    first = Candidate(record, "a")
    first.way.fault = "lose"
    await asyncio.sleep(3)
    assert not first.may_write
    first.way.fault = ""
    await elected(first, 3)
    assert record.lease is not None
    assert record.lease.transitions == 0


@pytest.mark.parametrize("wall", [-1e6, -3600, 3600, 1e6])
def test_wrong_wall_clocks_do_not_matter(wall: float) -> None:
    """A standby whose clock is wrong takes nothing from a living leader."""

    async def test() -> None:
        record = StoredLease()
        first = Candidate(record, "a")
        await elected(first)
        second = Candidate(record, "b", wall=wall)
        await asyncio.sleep(100)
        assert first.may_write
        first.kill()
        assert await elected(second) < DURATION + 2 * RETRY

    run(test())


@on_virtual_clock
async def test_the_holders_duration_counts() -> None:
    """A standby with a shorter duration waits for the longer one in the Lease."""
    record = StoredLease()
    first = Candidate(record, "a", 60)
    await elected(first)
    second = Candidate(record, "b", 5)
    await asyncio.sleep(30)
    first.kill()
    assert 60 - 8 <= await elected(second) <= 60 + 2


@on_virtual_clock
async def test_of_many_standbys_one_wins() -> None:
    """The others remain standbys."""
    record = StoredLease()
    many = [Candidate(record, f"c{number}") for number in range(5)]
    witness = TermObserver(many)
    await asyncio.sleep(10)
    for _ in range(4):
        (leader,) = [c for c in many if c.leadership.is_leader]
        leader.kill()
        many.remove(leader)
        await asyncio.sleep(DURATION + 2 * RETRY)
        assert sum(c.leadership.is_leader for c in many) == 1
    witness.check()
    assert record.lease is not None
    assert record.lease.transitions == 4


@on_virtual_clock
async def test_a_deleted_lease_is_made_again_by_its_holder() -> None:
    """A standby that has seen the Lease does not use the gap."""
    record = StoredLease()
    first = Candidate(record, "a")
    await elected(first)
    second = Candidate(record, "b")
    await asyncio.sleep(20)
    record.lease = None
    await asyncio.sleep(20)
    assert first.may_write
    assert not second.leadership.is_leader


@on_virtual_clock
async def test_a_lease_given_to_another_ends_the_leader() -> None:
    """An administrator's edit counts: the leader ends at the next renewal."""
    record = StoredLease()
    first = Candidate(record, "a")
    await elected(first)
    await asyncio.sleep(5)
    record.store(Lease("somebody", 15))
    await asyncio.sleep(RETRY + 0.1)
    assert isinstance(first.task.exception(), LeaseLost)
    assert not first.may_write
    await first.leadership.release()
    assert record.lease is not None
    assert record.lease.holder == "somebody"


@on_virtual_clock
async def test_a_stalled_process_finds_that_its_time_is_over() -> None:
    """A frozen leader may not write when it continues."""
    record = StoredLease()
    first = Candidate(record, "a")
    await elected(first)
    await asyncio.sleep(5)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.freeze(14.5)
    assert not first.may_write
    await asyncio.sleep(0.1)
    assert isinstance(first.task.exception(), LeaseLost)


def test_trouble_is_reported_once_a_cause(caplog: pytest.LogCaptureFixture) -> None:
    """It is not logged at each try; the log also names the leader."""

    async def test() -> None:
        record = StoredLease()
        first = Candidate(record, "a")
        first.way.fault = "fail"
        await asyncio.sleep(60)
        first.way.fault = ""
        await elected(first)
        second = Candidate(record, "b")
        await asyncio.sleep(60)
        assert not second.may_write

    with caplog.at_level("INFO"):
        run(test())
    logged = [r.getMessage() for r in caplog.records if "Standing by" in r.getMessage()]
    assert logged == ["Standing by: refused", "Standing by: a leads"]


@pytest.mark.parametrize("duration", [5.0, 15.0, 60.0, 3600.0])
def test_times_leave_room_for_two_tries_and_a_write(duration: float) -> None:
    timing = Timing(duration)
    assert timing.renew_deadline > 1.2 * timing.retry_period
    assert 2 * timing.call_timeout <= timing.renew_deadline + 1e-9
    assert timing.renew_deadline < timing.duration - 1


class Trial:
    """Three replicas; each one that ends is replaced by a new process."""

    def __init__(self, duration: float, walls: tuple[float, ...]) -> None:
        self._record = StoredLease()
        self._duration = duration
        self._walls = walls
        self._now = [self._new(number) for number in range(len(walls))]
        self.witness = TermObserver(self._now)

    def _new(self, number: int, name: str = "") -> Candidate:
        name = name or f"c{number}"
        wall = self._walls[number]
        return Candidate(self._record, name, self._duration, wall=wall)

    def follow(self, number: int) -> None:
        """Start a new process in place of one that has ended."""
        name = f"c{number}-{len(self.witness.candidates)}"
        self._now[number] = self._new(number, name)
        self.witness.candidates.append(self._now[number])

    async def step(self, number: int, what: str, fault: str, pause: float) -> None:
        """Apply a fault to one of them, and let time pass."""
        candidate = self._now[number]
        match what:
            case "fault":
                candidate.way.fault = fault
            case "slow":
                candidate.way.latency = pause / 4
            case "stop":
                await candidate.stop()
            case _:
                candidate.kill()
        await asyncio.sleep(pause)
        self.follow_all()

    def follow_all(self) -> None:
        """Replace those that have ended, and raise an observed failure."""
        for index, one in enumerate(self._now):
            if one.task.done():
                self.follow(index)
        self.witness.check()

    async def settle(self) -> int:
        """End all faults; return the number of leaders in the end."""
        for candidate in self._now:
            candidate.way.fault, candidate.way.latency = "", LATENCY
        for _ in range(3):
            await asyncio.sleep(self._duration + 10)
            self.follow_all()
        return sum(candidate.may_write for candidate in self._now)

    async def end(self) -> None:
        """Stop everything."""
        await self.witness.stop()
        tasks = [candidate.task for candidate in self.witness.candidates]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


FAULTS = st.sampled_from(["", "", "fail", "hang", "lose", "late"])
WHAT = st.sampled_from(["fault", "fault", "fault", "stop", "kill", "slow"])
STEP = st.tuples(st.integers(0, 2), WHAT, FAULTS, st.floats(0.01, 20))


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(STEP, max_size=15),
    duration=st.sampled_from([5.0, 15.0]),
    walls=st.tuples(*[st.floats(-1e5, 1e5)] * 3),
)
def test_never_two_writers(
    steps: list[tuple[int, str, str, float]],
    duration: float,
    walls: tuple[float, ...],
) -> None:
    """This holds for three replicas under any faults; later one of them leads."""

    async def test() -> None:
        trial = Trial(duration, walls)
        for step in steps:
            await trial.step(*step)
        assert await trial.settle() == 1
        await trial.end()

    run(test())


@on_virtual_clock
async def test_a_record_that_is_older_than_it_was_is_reported() -> None:
    """After a restore of etcd leader and standby log it; the term goes on."""
    record = StoredLease()
    first = Candidate(record, "a")
    await elected(first)
    second = Candidate(record, "b")
    went_back = []
    first.leadership.went_back = lambda: went_back.append("a")
    second.leadership.went_back = lambda: went_back.append("b")
    await asyncio.sleep(20)
    kept = record.lease
    await asyncio.sleep(60)
    assert went_back == []
    record.lease = kept
    await asyncio.sleep(3 * RETRY)
    assert sorted(set(went_back)) == ["a", "b"]
    assert first.leadership.is_leader
    second.task.cancel()
