"""Reads which organizations each ZITADEL has, as seldom as possible.

The whole directory is read once, and again when a set's spec or a token asks. After
that the events of ZITADEL's log say which organizations to ask for, and where events
cannot be read, the directory is read at each poll interval. All sets of an instance
share one reading (docs/concepts/sets.md).
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from zitadel_notification_operator.core.errors import (
    NoOrganization,
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.calls.directory import Directory
from zitadel_notification_operator.engine.calls.instance_state import Connection
from zitadel_notification_operator.engine.calls.organization_cache import pages_of
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule
from zitadel_notification_operator.engine.queue.clock import loop_time

SINGLE_CALLS = 50
"""How many organizations one pass asks for one by one. If more are doubted, the whole
directory is read first, which usually settles most of them."""

_EARLY = 0.9
"""The part of the poll interval after which a pass reads the directory anew."""


@dataclass(eq=False, repr=False)
class Directories:
    """Keeps the directories of all instances current.

    Args:
        inventory: Holds the instances.
        connections: Hold the directories, and know which instances may be used.
        drift: Knows where events tell what has changed.
    """

    _inventory: Inventory
    _connections: Connections
    _drift: DriftSchedule
    _turns: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock), init=False
    )

    def interval(self, name: str) -> float | None:
        """Return the seconds between two readings; None if events tell of changes."""
        instance = self._inventory.instances.get(name)
        if instance is None or self._drift.reads_events(instance):
            return None
        return instance.drift.poll_interval

    async def current(self, name: str, *, not_before: float) -> Directory:
        """Return the directory of an instance, after reading what is too old.

        Args:
            name: The name of the instance.
            not_before: Loop time; a reading that began before it is repeated.

        Raises:
            NotCheckedYet: The instance has no verdict yet.
            OperatorError: Why the instance may not be used now, or
                `DirectoryNotReadable`, with the cause.
        """
        connection = self._connections.usable(name)
        state = self._connections.state(name)
        async with self._turns[name]:
            directory = state.directory
            if directory.zitadel_id != connection.zitadel_id:
                directory = state.directory = Directory(connection.zitadel_id)
            interval = self.interval(name)
            if interval is not None:
                not_before = max(not_before, loop_time() - _EARLY * interval)
            many = len(directory.doubted) > SINGLE_CALLS
            try:
                if directory.read_at < not_before or not directory.is_read or many:
                    await self._read(directory, connection, name)
                await _ask_for_doubted(directory, connection)
            except OperatorError as error:
                raise _not_readable(error) from error
            return directory

    async def _read(
        self, directory: Directory, connection: Connection, name: str
    ) -> None:
        """Read the whole directory; nothing is stored of a reading that fails."""
        begun = loop_time()
        size = self._connections.state(name).probe.organizations
        found: list[Organization] = []
        async for page in pages_of(connection.client, size):
            found += page.organizations
        directory.take(found, begun)


async def _ask_for_doubted(directory: Directory, connection: Connection) -> None:
    """Ask for some of the doubted organizations one by one.

    If the credential may not see one of them, nothing is known of it, and it stays.
    Then the others are not asked for either until the next reading: the credential has
    probably lost a right over all of them.
    """
    for organization_id in sorted(directory.doubted)[:SINGLE_CALLS]:
        try:
            directory.put(await connection.client.organization(organization_id))
        except NoOrganization:
            directory.remove(organization_id)
        except OperatorError as error:
            if error.reason not in _NO_RIGHT:
                raise
            directory.doubted.clear()
            return


_NO_RIGHT = frozenset({Reason.INSUFFICIENT_PERMISSIONS, Reason.REQUEST_REFUSED})
"""Reasons of a call that say that the credential may not see an organization."""


def _not_readable(error: OperatorError) -> OperatorError:
    text = f"The list of organizations cannot be read: {error.reason}: {error.stable}"
    excerpt = error.message.removeprefix(error.stable)
    reason = Reason.DIRECTORY_NOT_READABLE
    if isinstance(error, TransientError):
        return TransientError(reason, text, error.retry_after, excerpt=excerpt)
    return TerminalError(reason, text, excerpt=excerpt)
