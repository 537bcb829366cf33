"""Writes the statuses of policies, with the Events about them, and stores the results.

A status is written whole. Its Events are posted once Kubernetes has accepted it
(`engine.reporting.telling`).
"""

from collections.abc import Callable, Iterable

from zitadel_notification_operator.core.objects import PolicyObject, PolicyStatus
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.news import News
from zitadel_notification_operator.engine.ports import Notice, ObjectWriter
from zitadel_notification_operator.engine.reporting.telling import Telling


def _nothing(_: PolicyObject) -> list[Notice]:
    return []


class Statuses:
    """Writes the statuses of policies.

    Args:
        inventory: Knows the newest record of each policy.
        writer: Makes the writes.
        news: Stores what they returned.
        telling: Posts the Events.
    """

    def __init__(
        self,
        inventory: Inventory,
        writer: ObjectWriter,
        news: News,
        telling: Telling,
    ) -> None:
        self._inventory = inventory
        self._writer = writer
        self._news = news
        self._telling = telling

    async def write(
        self,
        policy: PolicyObject,
        status: PolicyStatus,
        notices: Callable[[PolicyObject], list[Notice]] = _nothing,
    ) -> None:
        """Write the status if it differs from the newest one, then post its Events.

        Args:
            policy: The policy.
            status: Its whole status.
            notices: Returns the Events to post once it is stored; receives the object
                as it is before the write.

        Raises:
            Superseded: The object is gone; a different one may have its name.
            ClusterError: Kubernetes did not accept the status; no Event was posted.
        """
        newest = self._inventory.require_newest(policy)
        self._telling.confirm(newest)
        if newest.status != status:
            await self._store(newest, status, notices(newest))

    async def write_over(
        self, policy: PolicyObject, status: PolicyStatus, notices: Iterable[Notice]
    ) -> None:
        """Write the status over the given record in any case, then post its Events.

        Raises:
            Superseded: The object is gone, or has another status by now.
            ClusterError: Kubernetes did not accept the status; no Event was posted.
        """
        self._telling.confirm(policy)
        await self._store(policy, status, notices)

    async def store(self, policy: PolicyObject, status: PolicyStatus) -> None:
        """Write a status over the given record without any Event.

        Raises:
            Superseded: The object is gone, or has another status by now.
            ClusterError: Kubernetes did not accept the status.
        """
        self._news.stored(await self._writer.apply_policy_status(policy, status))

    async def _store(
        self, policy: PolicyObject, status: PolicyStatus, notices: Iterable[Notice]
    ) -> None:
        with self._telling.after(policy, status, notices):
            stored = await self._writer.apply_policy_status(policy, status)
        self._news.stored(stored)
