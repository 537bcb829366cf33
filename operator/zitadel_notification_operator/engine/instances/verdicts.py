"""Reaches a verdict on an instance: probes it, and decides what the result means."""

from collections.abc import Callable
from datetime import datetime

from zitadel_notification_operator.core.errors import (
    ClusterError,
    OperatorError,
    ReadSideBusy,
)
from zitadel_notification_operator.core.objects import InstanceObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.connections import (
    Line,
    Verdict,
    is_superseded,
)
from zitadel_notification_operator.engine.calls.repairs import BUSY_INTERVAL
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.news import News
from zitadel_notification_operator.engine.drift.searches import Searches
from zitadel_notification_operator.engine.instances.finding_out import (
    holds_while_busy,
    note_success,
    note_trouble,
)
from zitadel_notification_operator.engine.instances.proof import Proof
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.outcome import LookAgain


class Verdicts:
    """Decides whether the policies of an instance may make calls.

    Args:
        inventory: Holds the newest records.
        proof: Probes the instance.
        searches: Choose where reading its events begins.
        news: Queues the policies whose claims change.
        now: Returns the wall-clock time.
    """

    def __init__(
        self,
        inventory: Inventory,
        proof: Proof,
        searches: Searches,
        news: News,
        now: Callable[[], datetime],
    ) -> None:
        self._inventory = inventory
        self._proof = proof
        self._searches = searches
        self._news = news
        self._now = now

    async def find(self, instance: InstanceObject, line: Line) -> bool:
        """Probe an instance and record what was found.

        Returns:
            Whether the findings are about the object as it is now. If not, they are
            dropped, and its watch event has queued another pass.

        Raises:
            ClusterError: Kubernetes did not accept a call; the last verdict stands.
            LookAgain: ZITADEL's read side is giving up an insert; the last verdict
                stands.
        """
        trouble = await self._trouble_of(instance, line)
        if is_superseded(self._inventory, instance):
            return False
        self._note(instance, line, trouble)
        return True

    @staticmethod
    def settle(line: Line) -> bool:
        """Take what was found as the verdict; return whether it differs from the last.

        Not called while it is still being found out what the trouble is.
        """
        before, line.verdict = line.verdict, _verdict(line)
        return line.verdict != before

    async def _trouble_of(
        self, instance: InstanceObject, line: Line
    ) -> OperatorError | None:
        """Probe the instance and return why it cannot be used now, or None if it can.

        Raises:
            ClusterError: As for `find`.
            LookAgain: As for `find`.
        """
        try:
            await self._proof.run(instance, line)
            await self._searches.find_beginning(instance, line)
        except ClusterError:
            raise
        except ReadSideBusy as error:
            now = loop_time()
            if not holds_while_busy(line, instance, now):
                return error
            line.suspected = True  # so that the next pass asks ZITADEL again
            raise LookAgain(BUSY_INTERVAL) from None
        except OperatorError as error:
            return error
        return None

    def _note(
        self, instance: InstanceObject, line: Line, trouble: OperatorError | None
    ) -> None:
        if trouble is not None:
            # What ZITADEL said of its API meanwhile may be due to the same trouble.
            line.apis.doubt()
        if trouble is None:
            note_success(line, instance)
            return
        now = loop_time()
        note_trouble(line, instance, trouble, now, self._now())
        if trouble.reason is Reason.INSTANCE_CHANGED and not line.finding_out:
            # Not before: a single wrong answer must not move any policy's claim.
            self._news.mistaken(instance.name)


def _verdict(line: Line) -> Verdict:
    trouble, proven = line.trouble, line.proven
    usable = trouble is None and proven is not None
    return Verdict(
        f"{trouble.reason}: {trouble.stable}" if trouble else None,
        proven.zitadel_id if proven else None,
        (proven.identity.user, proven.identity.capabilities)
        if usable and proven
        else None,
    )
