"""The order of writes: how many at once, which first, and when the next begins."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from support.virtual_time import run
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.write_turns import (
    MARGIN,
    WRITE_LIMIT,
    WriteTurns,
)
from zitadel_notification_operator.engine.queue.outcome import StalePass
from zitadel_notification_operator.engine.queue.workqueue import (
    DRIFT_PATIENCE,
    Priority,
)
from zitadel_notification_operator.zitadel.connector import CALL_TIMEOUT

OPEN = TransientError(Reason.UNREACHABLE, "no answer", maybe_done=True)
CLOSED = TransientError(Reason.UNREACHABLE, "refused")

Told = list[tuple[str, float]]


class Writers:
    """Write turns, and writes that take a second by default."""

    def __init__(self, limit: int = 1) -> None:
        self.limit = limit
        self.turns = WriteTurns(lambda _: self.limit)
        self.began: Told = []
        self.now = 0
        self.most = 0

    async def write(
        self,
        name: str,
        priority: Priority | Callable[[], Priority] = Priority.CHANGE,
        *,
        seconds: float = 1.0,
        zitadel: str = "z",
        error: BaseException | None = None,
        is_sent: bool = True,
    ) -> None:
        """Write once; record when it began, and how many writes ran at that time."""
        urgency = priority if callable(priority) else lambda: priority
        async with self.turns.turn(zitadel, urgency) as turn:
            self.began.append((name, asyncio.get_running_loop().time()))
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                if is_sent:
                    turn.sent()
                await asyncio.sleep(seconds)
                if error is not None:
                    raise error
            finally:
                self.now -= 1

    def begin(self, *writes: Coroutine[Any, Any, None]) -> list[asyncio.Task[None]]:
        """Start writes in this order."""
        return [asyncio.ensure_future(write) for write in writes]

    @property
    def names(self) -> list[str]:
        """Return the names of the writes in order."""
        return [name for name, _ in self.began]


def test_one_at_a_time_in_the_order_they_came() -> None:
    async def story() -> None:
        writers = Writers()
        await asyncio.gather(*writers.begin(*(writers.write(f"{n}") for n in range(5))))
        assert writers.most == 1
        assert writers.began == [(f"{n}", float(n)) for n in range(5)]
        assert len(writers.turns) == 0

    run(story())


def test_three_at_a_time() -> None:
    """Eight writes take three seconds."""

    async def story() -> None:
        writers = Writers(3)
        await asyncio.gather(*writers.begin(*(writers.write(f"{n}") for n in range(8))))
        assert writers.most == 3
        assert [at for _, at in writers.began] == [0, 0, 0, 1, 1, 1, 2, 2]

    run(story())


def test_the_number_is_read_anew_for_each_write() -> None:
    async def story() -> None:
        writers = Writers(1)
        writes = writers.begin(*(writers.write(f"{n}") for n in range(6)))
        await asyncio.sleep(0.5)
        writers.limit = 4
        await asyncio.sleep(1)
        assert writers.now == 4
        writers.limit = 1
        await asyncio.gather(*writes)
        assert [at for _, at in writers.began] == [0, 1, 1, 1, 1, 2]

    run(story())


def test_each_zitadel_has_a_line_of_its_own() -> None:
    """One that hangs does not delay the writes to others."""

    async def story() -> None:
        writers = Writers()
        hanging = writers.begin(writers.write("hangs", seconds=1000, zitadel="dead"))
        await asyncio.gather(*(writers.write(f"{n}") for n in range(3)))
        assert asyncio.get_running_loop().time() == 3
        assert len(writers.turns) == 1
        await asyncio.gather(*hanging)
        assert len(writers.turns) == 0

    run(story())


def test_the_urgent_go_first() -> None:
    """The priority decides as in the queue of passes, then the age."""

    async def story() -> None:
        writers = Writers()
        ranks = [Priority.DRIFT, Priority.RETRY, Priority.CHANGE, Priority.DELETE]
        writes = writers.begin(writers.write("first"))
        await asyncio.sleep(0.1)
        for number in (1, 2):
            writes += writers.begin(
                *(writers.write(f"{rank.name} {number}", rank) for rank in ranks)
            )
        await asyncio.gather(*writes)
        wanted = [f"{r.name} {n}" for r in reversed(ranks) for n in (1, 2)]
        assert writers.names == ["first", *wanted]

    run(story())


def test_a_write_that_becomes_urgent_moves_up() -> None:
    """The newest priority counts, because an edit may wait for the write."""

    async def story() -> None:
        writers = Writers()
        now = [Priority.DRIFT]
        writes = writers.begin(
            writers.write("first"),
            writers.write("change"),
            writers.write("looks", lambda: now[0]),
        )
        await asyncio.sleep(0.5)
        now[0] = Priority.DELETE
        await asyncio.gather(*writes)
        assert writers.names == ["first", "looks", "change"]

    run(story())


def test_endless_retries_do_not_starve_drift() -> None:
    async def story() -> None:
        writers = Writers()
        writes = writers.begin(writers.write("r0", Priority.RETRY, seconds=1))
        writes += writers.begin(writers.write("drift", Priority.DRIFT))
        for number in range(1, 100):
            writes += writers.begin(writers.write(f"r{number}", Priority.RETRY))
            await asyncio.sleep(0.9)
        await asyncio.gather(*writes)
        at = dict(writers.began)["drift"]
        assert DRIFT_PATIENCE <= at < DRIFT_PATIENCE * 1.5

    run(story())


@pytest.mark.parametrize(
    ("seconds", "begins"),
    [(WRITE_LIMIT, WRITE_LIMIT + MARGIN), (0.2, WRITE_LIMIT + MARGIN), (12.0, 12.0)],
)
def test_after_a_write_without_an_answer_the_next_one_waits(
    seconds: float, begins: float
) -> None:
    """It waits until its limit and a second have passed since it was sent."""

    async def story() -> None:
        writers = Writers()
        first, *others = writers.begin(
            writers.write("lost", seconds=seconds, error=OPEN),
            writers.write("next"),
            writers.write("after"),
        )
        with pytest.raises(TransientError):
            await first
        await asyncio.gather(*others)
        assert writers.began[1:] == [("next", begins), ("after", begins + 1)]
        assert len(writers.turns) == 0

    run(story())


def test_who_comes_later_waits_only_for_the_rest() -> None:
    async def story() -> None:
        writers = Writers()
        with pytest.raises(TransientError):
            await writers.write("lost", seconds=0.5, error=OPEN)
        assert len(writers.turns) == 1
        await asyncio.sleep(6)
        await writers.write("next")
        assert writers.began[-1] == ("next", WRITE_LIMIT + MARGIN)
        await asyncio.sleep(60)
        with pytest.raises(TransientError):
            await writers.write("lost", seconds=0.5, error=OPEN)
        await asyncio.sleep(WRITE_LIMIT + MARGIN)
        assert len(writers.turns) == 0  # although there was no write

    run(story())


def test_the_moment_of_sending_counts_and_not_that_of_the_turn() -> None:
    """The pool's own limits may delay a write within its turn."""

    async def story() -> None:
        writers = Writers()

        async def late() -> None:
            async with writers.turns.turn("z", lambda: Priority.CHANGE) as turn:
                await asyncio.sleep(5)
                turn.sent()
                await asyncio.sleep(1)
                turn.sent()  # repeated with another token
                raise OPEN

        first, second = writers.begin(late(), writers.write("next"))
        with pytest.raises(TransientError):
            await first
        await second
        assert writers.began == [("next", 6 + WRITE_LIMIT + MARGIN)]

    run(story())


@pytest.mark.parametrize(
    ("error", "is_sent"),
    [
        (CLOSED, True),
        (TerminalError(Reason.REQUEST_REFUSED, "no"), True),
        (StalePass(), False),
        (OPEN, False),
    ],
)
def test_a_write_that_is_over_holds_nobody_up(
    error: BaseException, is_sent: bool
) -> None:
    async def story() -> None:
        writers = Writers()
        first, second = writers.begin(
            writers.write("fails", error=error, is_sent=is_sent), writers.write("next")
        )
        with pytest.raises((OperatorError, StalePass)):
            await first
        await second
        assert writers.began == [("fails", 0), ("next", 1)]
        assert len(writers.turns) == 0

    run(story())


def test_with_several_turns_all_wait_for_the_one_that_is_open() -> None:
    """Writes in progress go on; the wait ends even if one of them hangs."""

    async def story() -> None:
        writers = Writers(2)
        lost, *others = writers.begin(
            writers.write("lost", seconds=1, error=OPEN),
            writers.write("hangs", seconds=100),
            writers.write("next"),
        )
        with pytest.raises(TransientError):
            await lost
        await asyncio.gather(*others)
        assert writers.began[2:] == [("next", WRITE_LIMIT + MARGIN)]

    run(story())


def test_one_line_that_waits_holds_no_other_up() -> None:
    async def story() -> None:
        writers = Writers()
        with pytest.raises(TransientError):
            await writers.write("lost", error=OPEN, zitadel="y")
        await writers.write("mine", zitadel="z")
        assert writers.began[-1] == ("mine", 1)

    run(story())


def test_a_cancelled_waiter_leaves_the_line_clean() -> None:
    async def story() -> None:
        writers = Writers()
        first, second, third = writers.begin(*(writers.write(f"{n}") for n in range(3)))
        await asyncio.sleep(0.5)
        second.cancel()
        await asyncio.gather(first, third)
        assert writers.began == [("0", 0), ("2", 1)]
        assert len(writers.turns) == 0
        with pytest.raises(asyncio.CancelledError):
            await second

    run(story())


def test_who_is_cancelled_in_the_moment_of_its_turn_gives_it_on() -> None:
    async def story() -> None:
        writers = Writers()
        others: list[asyncio.Task[None]] = []

        async def write() -> None:
            await writers.write("0")
            others[0].cancel()  # it may write, but has not begun yet

        first = asyncio.ensure_future(write())
        await asyncio.sleep(0.5)
        others += writers.begin(writers.write("1"), writers.write("2"))
        await asyncio.wait([first, *others])
        second = others[0]
        assert second.cancelled()
        assert writers.began == [("0", 0), ("2", 1)]
        assert len(writers.turns) == 0

    run(story())


def test_the_last_waiter_that_is_cancelled_leaves_nothing() -> None:
    """This also holds while all wait because of a lost response."""

    async def story() -> None:
        writers = Writers()
        with pytest.raises(TransientError):
            await writers.write("lost", error=OPEN)
        (waiter,) = writers.begin(writers.write("never"))
        await asyncio.sleep(1)
        waiter.cancel()
        await asyncio.sleep(WRITE_LIMIT + MARGIN)
        assert writers.names == ["lost"]
        assert len(writers.turns) == 0

    run(story())


def test_a_write_that_is_cut_off_is_an_open_one() -> None:
    """Nobody waits for its response, but ZITADEL may still execute it."""

    async def story() -> None:
        writers = Writers()
        first, second = writers.begin(
            writers.write("cut", seconds=9), writers.write("next")
        )
        await asyncio.sleep(0.5)
        first.cancel()
        await second
        assert writers.began[-1] == ("next", WRITE_LIMIT + MARGIN)

    run(story())


def test_at_the_end_all_that_wait_go_home_at_once() -> None:
    """The engine waits only for the write in progress."""

    async def story() -> None:
        writers = Writers()
        writes = writers.begin(*(writers.write(f"{n}", seconds=9) for n in range(4)))
        await asyncio.sleep(0.5)
        writers.turns.end()
        ends = await asyncio.gather(*writes[1:], return_exceptions=True)
        assert asyncio.get_running_loop().time() == 0.5
        assert [type(end) for end in ends] == [StalePass] * 3
        with pytest.raises(StalePass):
            await writers.write("late")
        await writes[0]
        assert writers.names == ["0"]
        assert len(writers.turns) == 0

    run(story())


def test_who_is_cancelled_at_the_end_leaves_nothing_either() -> None:
    async def story() -> None:
        writers = Writers()
        first, second = writers.begin(*(writers.write(f"{n}") for n in range(2)))
        await asyncio.sleep(0.5)
        writers.turns.end()
        second.cancel()
        await first
        await asyncio.wait([second])
        assert second.cancelled()
        assert writers.names == ["0"]
        assert len(writers.turns) == 0

    run(story())


def test_the_limit_is_the_one_that_writes_are_given() -> None:
    """The engine knows no adapter, so this test compares the two numbers."""
    assert WRITE_LIMIT == CALL_TIMEOUT
