"""The queue: each key once, urgent first, again when it was added meanwhile."""

import asyncio

from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue


async def test_urgent_first_and_each_once() -> None:
    """A deletion overtakes, a repeated key is one."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("drift", Priority.DRIFT)
    queue.add("change", Priority.CHANGE)
    queue.add("change", Priority.CHANGE)
    queue.add("drift", Priority.DELETE)
    assert [await queue.get(), await queue.get()] == ["drift", "change"]
    assert len(queue) == 0


async def test_key_added_while_it_runs_comes_back_after() -> None:
    """Never twice at once, never lost."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", Priority.CHANGE)
    key = await queue.get()
    queue.add("a", Priority.CHANGE)
    assert len(queue) == 0
    queue.done(key)
    assert await queue.get() == "a"


async def test_earliest_wish_wins() -> None:
    """A later delay does not put off an earlier one; an add beats both."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 0.01, Priority.RETRY)
    queue.add_after("a", 60, Priority.DRIFT)
    assert await asyncio.wait_for(queue.get(), 1) == "a"
    queue.done("a")
    queue.add_after("a", 60, Priority.DRIFT)
    queue.add("a", Priority.CHANGE)
    assert await asyncio.wait_for(queue.get(), 1) == "a"
    queue.done("a")
    queue.close()
    assert queue.active == 0


async def test_failures_are_counted_and_forgotten() -> None:
    """A success starts the count anew."""
    queue: WorkQueue[str] = WorkQueue()
    assert [queue.failed("a"), queue.failed("a")] == [1, 2]
    queue.succeeded("a")
    assert queue.failures("a") == 0


async def test_retries_take_only_their_part_of_a_lane() -> None:
    """What failed before leaves turns to what did not, and takes turns of its own."""
    queue: WorkQueue[str] = WorkQueue()
    queue.divide(lambda _: "lane", 3, lambda _: 2)
    for name in ("a", "b", "c"):
        queue.add(name, Priority.RETRY)
    first = [await queue.get(), await queue.get()]
    assert first == ["a", "b"]
    queue.add("edit", Priority.CHANGE)
    queue.add("another", Priority.CHANGE)
    assert await queue.get() == "edit"
    waiting = asyncio.create_task(queue.get())
    queue.done("a")
    assert await waiting == "another"
    waiting = asyncio.create_task(queue.get())
    queue.done("edit")
    assert await waiting == "c"


async def test_a_running_key_has_the_most_urgent_priority_that_was_asked_for() -> None:
    """What a pass waits for moves up when its key is asked for again."""
    queue: WorkQueue[str] = WorkQueue()
    assert queue.urgency("a") is Priority.RETRY
    queue.add("a", Priority.DRIFT)
    assert await queue.get() == "a"
    assert queue.urgency("a") is Priority.DRIFT
    queue.add("a", Priority.CHANGE)
    assert queue.urgency("a") is Priority.CHANGE
    queue.begin("a")
    assert queue.urgency("a") is Priority.CHANGE
    queue.add("a", Priority.RETRY)
    assert queue.urgency("a") is Priority.CHANGE
    queue.add("a", Priority.DELETE)
    queue.done("a")
    assert await queue.get() == "a"
    assert queue.urgency("a") is Priority.DELETE
    queue.done("a")
    assert queue.urgency("a") is Priority.RETRY
