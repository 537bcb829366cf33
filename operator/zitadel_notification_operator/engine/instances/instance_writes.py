"""Writes our own instances' objects and stores what Kubernetes returned."""

from zitadel_notification_operator.core.objects import InstanceObject, InstanceStatus
from zitadel_notification_operator.engine.claims.news import News
from zitadel_notification_operator.engine.ports import InstanceWriter


class InstanceWrites:
    """Writes to ZitadelInstance objects.

    Args:
        writer: Makes the writes.
        news: Stores what they returned, and queues the policies that this affects.
    """

    def __init__(self, writer: InstanceWriter, news: News) -> None:
        self._writer = writer
        self._news = news

    async def hold(self, instance: InstanceObject) -> InstanceObject:
        """Add the finalizer.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        return self._news.stored_instance(await self._writer.hold_instance(instance))

    async def release(self, instance: InstanceObject) -> bool:
        """Remove the finalizer; return whether the object is gone.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        stored = await self._writer.release_instance(instance)
        if stored is not None:
            self._news.stored_instance(stored)
        return stored is None

    async def apply_status(
        self, instance: InstanceObject, status: InstanceStatus
    ) -> InstanceObject:
        """Write the whole status and return the object as stored.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        stored = await self._writer.apply_instance_status(instance, status)
        return self._news.stored_instance(stored)
