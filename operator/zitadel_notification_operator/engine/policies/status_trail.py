"""Lets writes to ZITADEL go before the statuses of policies that were Ready before.

What ZITADEL holds decides who gets mails. A status only reports it, and its write costs
this process and the API server more than the write to ZITADEL. So while writes to the
same ZITADEL wait, the status of a policy that was Ready before follows later, by at
most `TRAIL` seconds, with its Events. Nothing else waits: neither an original, nor a
finalizer, nor the first Ready of a policy.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.engine.calls.write_turns import WriteTurns
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.keys import Key, key_of
from zitadel_notification_operator.engine.queue.workqueue import WorkQueue

TRAIL = 5.0
"""Seconds by which a status may follow at most."""

AT_ONCE = 16
"""The number of statuses that are written at once when they no longer wait. Otherwise
the next write to ZITADEL might wait for thousands of them."""


@dataclass(eq=False, repr=False)
class StatusTrail:
    """The statuses that wait for writes to ZITADEL.

    Args:
        turns: Know whether ZITADEL is written to.
        queue: Gives the turn of a pass that waits here to another key, and knows
            whether its object needs another pass.
    """

    _turns: WriteTurns
    _queue: WorkQueue
    _at_once: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(AT_ONCE), init=False
    )

    @asynccontextmanager
    async def behind_writes(
        self, policy: PolicyObject, zitadel_id: str
    ) -> AsyncIterator[None]:
        """Begin the block, which reports a policy, after the writes that wait.

        It also begins when the object needs another pass, when the process stops, and
        after `TRAIL` seconds in any case.

        Args:
            policy: The policy, with the status that is stored now.
            zitadel_id: ZITADEL's own id.
        """
        key, end = key_of(policy), loop_time() + TRAIL
        if not (_was_ready(policy) and self._must_wait(key, zitadel_id, end)):
            yield
            return
        with (
            self._queue.resting(key) as news,
            self._turns.telling_when_free(zitadel_id, news),
        ):
            while True:
                while self._must_wait(key, zitadel_id, end):
                    news.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(end):
                            await news.wait()
                async with self._at_once:
                    if self._must_wait(key, zitadel_id, end):
                        continue  # a write has begun while others were reported
                    yield
                    return

    def _must_wait(self, key: Key, zitadel_id: str, end: float) -> bool:
        is_needed = self._queue.is_asked_again(key)
        return not is_needed and loop_time() < end and self._turns.are_taken(zitadel_id)


def _was_ready(policy: PolicyObject) -> bool:
    """Return whether the stored status says Ready, be it for an earlier spec."""
    ready = find(policy.status.conditions, READY)
    return ready is not None and ready.status == "True"
