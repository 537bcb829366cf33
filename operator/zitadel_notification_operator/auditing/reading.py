"""Reads the event log and the list of organizations, page by page."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from zitadel_notification_operator.core.backoff import retry_delay
from zitadel_notification_operator.core.errors import PageTooLarge, TransientError
from zitadel_notification_operator.core.events import (
    OVERLAP,
    Cursor,
    EventId,
    parse_moment,
)
from zitadel_notification_operator.core.paging import SMALLEST, PageSize
from zitadel_notification_operator.core.policy import Organization, OrganizationPage
from zitadel_notification_operator.core.policy_events import PolicyEvent, in_sequence
from zitadel_notification_operator.core.reasons import Reason

PAGE = 1000
"""Rows of a page, which is ZITADEL's own maximum."""

TRIES = 4
"""How often a call is made in all if it fails for a reason that may pass."""

LONGEST_WAIT = 60.0
"""Seconds that a command waits at most if ZITADEL asks for it; otherwise it ends."""

T = TypeVar("T")


class LogClient(Protocol):
    """What is needed of a client to read the log."""

    async def policy_events(self, since: str | None, limit: int) -> list[PolicyEvent]:
        """Return what happened to policies after a time; oldest first."""


class DirectoryClient(Protocol):
    """What is needed of a client to list the organizations."""

    async def organizations(self, offset: int, limit: int) -> OrganizationPage:
        """Return a page of the organizations that the credential may see."""


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Make a call that only reads, again if it fails for a reason that may pass.

    Raises:
        OperatorError: It failed for another reason, or `TRIES` times, or ZITADEL asks
            for a wait that is longer than `LONGEST_WAIT`.
    """
    attempt = 1
    while True:
        try:
            return await ask()
        except TransientError as error:
            if attempt >= TRIES or (error.retry_after or 0.0) > LONGEST_WAIT:
                raise
            chance = random.random()  # noqa: S311 - no secret, it spreads retries
            await asyncio.sleep(retry_delay(attempt, chance, error.retry_after))
            attempt += 1


async def read_log(client: LogClient, rows: int = PAGE) -> AsyncIterator[PolicyEvent]:
    """Yield the events of policies and organizations, oldest first.

    The events of one aggregate come in the order of their sequence. Events of the last
    `OVERLAP` are held back for that until the next page is there.

    Args:
        client: Calls ZITADEL.
        rows: The rows of a page to begin with. It is halved if ZITADEL refuses it.

    Raises:
        OperatorError: The log cannot be read, or not to its end.
    """
    held: list[PolicyEvent] = []
    async for page in _pages(client, PageSize(rows)):
        held = in_sequence([*held, *page])
        end = parse_moment(page[-1].time) - OVERLAP
        late = (n for n, one in enumerate(held) if parse_moment(one.time) > end)
        ready = next(late, len(held))
        for event in held[:ready]:
            yield event
        del held[:ready]
    for event in held:
        yield event


async def _pages(client: LogClient, size: PageSize) -> AsyncIterator[list[PolicyEvent]]:
    """Yield what is new in each page; a page begins right before the last event."""
    since: str | None = None
    seen: set[EventId] = set()
    while True:
        try:
            page = await patiently(lambda: client.policy_events(since, size.rows))  # noqa: B023 - awaited before the next round
        except PageTooLarge:
            if not size.halve():
                raise
            continue
        fresh = [event for event in page if event.id not in seen]
        if fresh:
            yield fresh
        elif len(page) >= size.rows:
            raise TransientError(
                Reason.UNEXPECTED_ANSWER,
                f"ZITADEL's log has more than {size.rows} events at one moment, "
                f"{page[-1].time}, so that it cannot be read beyond that",
            )
        if not fresh or len(page) < SMALLEST:
            return
        since = Cursor(page[-1].time, page[-1].id).just_before()
        start = parse_moment(since)
        seen = {event.id for event in page if parse_moment(event.time) > start}


async def read_organizations(client: DirectoryClient) -> list[Organization]:
    """Return the organizations that exist, ordered by name.

    Raises:
        OperatorError: The list cannot be read.
    """
    found: dict[str, Organization] = {}
    size, offset, total = PageSize(PAGE), 0, 1
    while offset < total:
        try:
            page = await patiently(lambda: client.organizations(offset, size.rows))  # noqa: B023 - awaited before the next round
        except PageTooLarge:
            if not size.halve():
                raise
            continue
        found.update((one.id, one) for one in page.organizations)
        offset, total = offset + size.rows, page.total
    return sorted(found.values(), key=lambda one: (one.name.lower(), one.id))
