"""The queue: each key once, by priority, and again if it was added meanwhile."""

import asyncio

from support.engines import pass_metrics
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.engine.queue.keys import policy_key
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue

A, B, C, DRIFT, CHANGE, EDIT, ANOTHER = (
    policy_key(PolicyKey("own", name))
    for name in ("a", "b", "c", "drift", "change", "edit", "another")
)


async def test_urgent_first_and_each_once() -> None:
    """A deletion comes first, and a repeated key counts once."""
    queue = WorkQueue(pass_metrics())
    queue.add(DRIFT, Priority.DRIFT)
    queue.add(CHANGE, Priority.CHANGE)
    queue.add(CHANGE, Priority.CHANGE)
    queue.add(DRIFT, Priority.DELETE)
    assert [await queue.get(), await queue.get()] == [DRIFT, CHANGE]
    assert len(queue) == 0


async def test_key_added_while_it_runs_comes_back_after() -> None:
    """It never runs twice at once, and is never lost."""
    queue = WorkQueue(pass_metrics())
    queue.add(A, Priority.CHANGE)
    key = await queue.get()
    queue.add(A, Priority.CHANGE)
    assert len(queue) == 0
    queue.done(key)
    assert await queue.get() == A


async def test_earliest_wish_wins() -> None:
    """A later delay does not postpone an earlier one; an add beats both."""
    queue = WorkQueue(pass_metrics())
    queue.add_after(A, 0.01, Priority.RETRY)
    queue.add_after(A, 60, Priority.DRIFT)
    assert await asyncio.wait_for(queue.get(), 1) == A
    queue.done(A)
    queue.add_after(A, 60, Priority.DRIFT)
    queue.add(A, Priority.CHANGE)
    assert await asyncio.wait_for(queue.get(), 1) == A
    queue.done(A)
    queue.close()
    assert queue.active == 0


async def test_failures_are_counted_and_forgotten() -> None:
    """A success resets the count."""
    queue = WorkQueue(pass_metrics())
    assert [queue.failed(A), queue.failed(A)] == [1, 2]
    queue.succeeded(A)
    assert queue.failures(A) == 0


async def test_retries_take_only_their_part_of_a_lane() -> None:
    """Retries leave workers to new work, and have workers of their own."""
    queue = WorkQueue(pass_metrics())
    queue.divide(lambda _: "lane", 3, lambda _: 2)
    for name in (A, B, C):
        queue.add(name, Priority.RETRY)
    first = [await queue.get(), await queue.get()]
    assert first == [A, B]
    queue.add(EDIT, Priority.CHANGE)
    queue.add(ANOTHER, Priority.CHANGE)
    assert await queue.get() == EDIT
    waiting = asyncio.create_task(queue.get())
    queue.done(A)
    assert await waiting == ANOTHER
    waiting = asyncio.create_task(queue.get())
    queue.done(EDIT)
    assert await waiting == C


async def test_a_running_key_has_the_most_urgent_priority_that_was_asked_for() -> None:
    """Calls of a pass move up when its key is added again."""
    queue = WorkQueue(pass_metrics())
    assert queue.urgency(A) is Priority.RETRY
    queue.add(A, Priority.DRIFT)
    assert await queue.get() == A
    assert queue.urgency(A) is Priority.DRIFT
    queue.add(A, Priority.CHANGE)
    assert queue.urgency(A) is Priority.CHANGE
    queue.begin(A)
    assert queue.urgency(A) is Priority.CHANGE
    queue.add(A, Priority.RETRY)
    assert queue.urgency(A) is Priority.CHANGE
    queue.add(A, Priority.DELETE)
    queue.done(A)
    assert await queue.get() == A
    assert queue.urgency(A) is Priority.DELETE
    queue.done(A)
    assert queue.urgency(A) is Priority.RETRY
