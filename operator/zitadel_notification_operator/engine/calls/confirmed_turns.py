"""Gives turns to writes only while it is certain who serves the instances.

Another operator takes an instance over when nobody hands it over for `HAND_OVER`. But
the watch of an operator may be late by minutes, and then it does not hear that the
instance is no longer its own. So all instances have been read from Kubernetes a moment
before each write.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.workqueue import Priority

from .write_turns import Turn, WriteTurns

CONFIRMED = 8.0
"""Seconds for which a LIST of all instances counts, from its beginning. With the time
that a write may take at most, this is much less than `HAND_OVER`."""


@dataclass(eq=False, repr=False)
class ConfirmedTurns:
    """Gives turns as `WriteTurns` does, after a LIST of the instances if one is due.

    Args:
        turns: Decide whose turn it is.
        relist: Reads all instances, unless that has begun after this loop time.
    """

    _turns: WriteTurns
    _relist: Callable[[float], Awaitable[None]]

    @asynccontextmanager
    async def turn(
        self, zitadel_id: str, urgency: Callable[[], Priority]
    ) -> AsyncIterator[Turn]:
        """Hold a turn for one write.

        Args:
            zitadel_id: ZITADEL's own id.
            urgency: Returns the priority of the pass that writes.

        Raises:
            StalePass: The process is stopping.
            ClusterError: The instances could not be read; nothing may be written.
        """
        async with self._turns.turn(zitadel_id, urgency) as turn:
            began = loop_time()
            try:
                async with asyncio.timeout(CONFIRMED):
                    await self._relist(began - CONFIRMED)
            except TimeoutError as error:
                raise ClusterError(
                    "Kubernetes did not list the ZitadelInstances in time, so nothing "
                    "is written to ZITADEL"
                ) from error
            turn.waited += loop_time() - began
            yield turn
