"""Reads the notification policies that a ZITADEL holds, of all organizations or none.

The list of organizations is read before and after the policies. What the second list
lacks is asked for by itself, and what it has in addition is read, too. So nothing is
missing because rows moved to another page meanwhile, and no organization that was
removed meanwhile passes for one that inherits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from zitadel_notification_operator.core.errors import (
    NoOrganization,
    OperatorError,
    TransientError,
)
from zitadel_notification_operator.core.paging import PageSize
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.settings import Settings
from zitadel_notification_operator.engine.calls.organization_cache import pages_of
from zitadel_notification_operator.engine.ports import PolicyClient

ROWS = 1000
"""How many organizations a page has at first."""

PATIENCE = 60.0
"""Seconds for which one call is tried again, counted from its first failure."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with the number of policies that have been read, and of those there are."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is in force for one organization.

    Attributes:
        organization: The organization.
        is_own: Whether it has a policy of its own; otherwise it inherits the
            instance's.
        settings: The values in force.
    """

    organization: Organization
    is_own: bool
    settings: Settings


@dataclass(frozen=True, slots=True)
class Survey:
    """What a ZITADEL holds.

    Attributes:
        held: What is in force for each organization, in the order of their names.
        removed: The organizations that were removed while they were read.
        without: The organizations for which nothing is in force, because the instance
            has no policy that they could inherit.
        hidden: How many organizations the credential may not see.
    """

    held: tuple[Held, ...]
    removed: tuple[Organization, ...] = ()
    without: tuple[Organization, ...] = ()
    hidden: int = 0


class Surveyor:
    """Reads the policies of all organizations.

    Args:
        client: Makes the calls, and limits how many there are in a second.
        workers: How many calls are made at once.
        progress: Called after each policy.
        patience: Seconds for which a call is tried again.
    """

    def __init__(
        self,
        client: PolicyClient,
        *,
        workers: int,
        progress: Progress = lambda _done, _all: None,
        patience: float = PATIENCE,
    ) -> None:
        self._client, self._workers = client, workers
        self._progress, self._patience = progress, patience
        self._size = PageSize(ROWS)
        self._has_answered = False

    async def survey(self) -> Survey:
        """Return the policies of all organizations that the credential may see.

        Raises:
            OperatorError: Something cannot be read, so that nothing is known for sure.
        """
        known, _ = await self.list_organizations()
        reading = _Reading()
        await self._read(known.values(), reading, len(known))
        later, hidden = await self.list_organizations()
        new = [later[key] for key in later.keys() - known.keys()]
        await self._read(new, reading, len(known) + len(new))
        missing = [known[key] for key in known.keys() - later.keys()]
        await self._ask_for(missing, reading)
        return reading.result({**known, **later}, hidden)

    async def list_organizations(self) -> tuple[dict[str, Organization], int]:
        """Return the organizations by id, and how many cannot be seen.

        Raises:
            OperatorError: They cannot be read.
        """

        async def read() -> tuple[dict[str, Organization], int]:
            found: dict[str, Organization] = {}
            total = 0
            async for page in pages_of(self._client, self._size):
                found |= {one.id: one for one in page.organizations}
                total = max(total, page.total)
            return found, max(total - len(found), 0)

        return await self.patiently(read)

    async def _read(
        self, organizations: Iterable[Organization], reading: "_Reading", count: int
    ) -> None:
        async def read(organization: Organization) -> None:
            key = organization.id
            try:
                found = await self.patiently(lambda: self._client.observe(key))
            except NoOrganization:
                reading.removed.add(key)
            except OperatorError as error:
                raise _about(organization, error) from error
            else:
                reading.found[key] = (
                    None if found is None else (not found.is_default, found.settings)
                )
            self._progress(len(reading.found) + len(reading.removed), count)

        await _for_each(organizations, read, self._workers)

    async def _ask_for(
        self, organizations: Iterable[Organization], reading: "_Reading"
    ) -> None:
        async def ask(organization: Organization) -> None:
            key = organization.id
            try:
                await self.patiently(lambda: self._client.organization(key))
            except NoOrganization:
                reading.removed.add(key)
            except OperatorError as error:
                raise _about(organization, error) from error

        await _for_each(organizations, ask, self._workers)

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, and make it again while it fails in a way that may pass.

        As long as no call has succeeded, an error more likely means a wrong URL, so
        that it is raised at once unless ZITADEL itself asks for a pause.

        Raises:
            OperatorError: It failed in another way, or for too long.
        """
        loop = asyncio.get_running_loop()
        deadline, pause = None, _FIRST_PAUSE
        while True:
            try:
                result = await call()
            except TransientError as error:
                if not self._has_answered and error.retry_after is None:
                    raise
                now = loop.time()
                deadline = now + self._patience if deadline is None else deadline
                wait = max(error.retry_after or 0.0, pause)
                if now + wait > deadline:
                    raise
            else:
                self._has_answered = True
                return result
            await asyncio.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)


@dataclass(slots=True)
class _Reading:
    """What has been read so far, by the organizations' ids; replies are not kept."""

    found: dict[str, tuple[bool, Settings] | None] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    def result(self, organizations: dict[str, Organization], hidden: int) -> Survey:
        ordered = sorted(
            organizations.values(), key=lambda one: (one.name.casefold(), one.id)
        )
        removed = [one for one in ordered if one.id in self.removed]
        living = [one for one in ordered if one.id not in self.removed]
        held = []
        without = []
        for one in living:
            found = self.found[one.id]
            if found is None:
                without.append(one)
            else:
                held.append(Held(one, *found))
        return Survey(tuple(held), tuple(removed), tuple(without), hidden)


def _about(organization: Organization, error: OperatorError) -> OperatorError:
    """Return the error with the organization in its message."""
    text = f"The policy of organization {organization.id} cannot be read: "
    return OperatorError(error.reason, text + error.message)


async def _for_each(
    items: Iterable[T], work: Callable[[T], Awaitable[None]], workers: int
) -> None:
    """Do some work for each item, a number of them at once; the first error ends it."""
    waiting = iter(items)

    async def run() -> None:
        for item in waiting:
            await work(item)

    tasks = [asyncio.create_task(run()) for _ in range(workers)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
