"""A cache of ZITADEL's organizations: one list for many questions, else single calls.

It belongs to one instance and one credential. A list is trusted for a minute. An
organization that is not on it is searched for by itself, because ZITADEL's searches lag
by milliseconds and return only what the credential may see.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from zitadel_notification_operator.core.errors import (
    NoOrganization,
    OperatorError,
    PageTooLarge,
)
from zitadel_notification_operator.core.paging import PageSize
from zitadel_notification_operator.core.policy import Organization, OrganizationPage
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.engine.ports import PolicyClient
from zitadel_notification_operator.engine.queue.clock import loop_time

FRESH = 60.0
"""Seconds for which a list is trusted (docs/concepts/ownership.md)."""

_NEVER = float("-inf")


async def pages_of(
    client: PolicyClient, size: PageSize
) -> AsyncIterator[OrganizationPage]:
    """Yield the pages of the list of organizations.

    Args:
        client: Makes the calls.
        size: The page size. If it is refused, it is halved from then on.

    Raises:
        OperatorError: Any error of the client.
    """
    offset, total = 0, 1
    while offset < total:
        try:
            page = await client.organizations(offset, size.rows)
        except PageTooLarge:
            if not size.halve():
                raise
            continue
        # The last page may come without a total, and then there are no more pages.
        total = page.total
        # Rows that may not be seen count, too, so the offset goes by what was asked
        # for.
        offset += size.rows
        yield page


class OrganizationCache:
    """Resolves names and domains; simultaneous questions share one call.

    Args:
        client: Makes the calls.
        lists: Whether the credential may list organizations at all.
        page: The page size; it keeps what is learnt about the limit.
    """

    def __init__(self, client: PolicyClient, *, lists: bool, page: PageSize) -> None:
        self._client = client
        self._lists = lists
        self._page = page
        self._lock = asyncio.Lock()
        self._drops = 0
        self._loaded_at = _NEVER
        self._by_id: dict[str, Organization] = {}
        self._by_word: dict[Reference, list[Organization]] = {}
        self._failure: OperatorError | None = None
        self._failed_at = _NEVER

    def known(self, organization_id: str) -> Organization | None:
        """Return an organization on a fresh list; None does not prove it absent."""
        self.expire()
        return self._by_id.get(organization_id)

    def expire(self) -> None:
        """Drop a list that is no longer trusted."""
        if self._by_id and not self._is_fresh():
            self.drop()

    def drop(self) -> None:
        """Invalidate the cached list, so that the next question calls ZITADEL."""
        self._drops += 1
        self._loaded_at = _NEVER
        self._by_id, self._by_word = {}, {}

    async def find(
        self, reference: Reference, questions: Callable[[], int]
    ) -> Organization:
        """Return the organization with this name or verified domain.

        Args:
            reference: A name, first matched exactly and then without regard to case; or
                a domain.
            questions: Returns how many references are still to be resolved, this one
                included. From two on, a list is cheaper. It is not asked while a list
                is trusted.

        Raises:
            NoOrganization: ZITADEL does not have it.
            OperatorError: Any error of the client.
        """
        self.expire()
        found = self._look_up(reference)
        if found is None and not self._is_fresh() and self._lists:
            count = questions()
            try:
                if count > 1:
                    await self._load(count)
            except PageTooLarge:
                self._lists = False  # even small pages are refused: search one by one
            found = self._look_up(reference)
        return found or await self.search(reference)

    async def search(self, reference: Reference) -> Organization:
        """Ask ZITADEL itself, whatever a list says; raises the errors of `find`."""
        found = await self._client.search(reference)
        if found is None:
            raise NoOrganization(
                f"There is no {reference} in ZITADEL, or the credential may not see it"
            )
        return found

    def _is_fresh(self) -> bool:
        return loop_time() - self._loaded_at < FRESH

    async def _load(self, questions: int) -> None:
        asked = loop_time()
        async with self._lock:
            if self._is_fresh():
                return
            if self._failure is not None and self._failed_at >= asked:
                # Tasks that waited meanwhile need not make the same failing call.
                raise self._failure
            try:
                await self._list(questions)
            except OperatorError as failure:
                self._failure = failure
                self._failed_at = loop_time()
                raise

    async def _list(self, questions: int) -> None:
        """Read the whole list before it is published; a dropped list stays dropped.

        If the list is dropped meanwhile, a part of this one may be older than that, so
        it is not used.
        """
        # Taken before the first call, because what is created after it may be missing.
        begun, drops = loop_time(), self._drops
        found: list[Organization] = []
        async for page in pages_of(self._client, self._page):
            found += page.organizations
            if page.total > self._page.rows * questions:
                break
        if drops == self._drops:
            self._keep(found)
            self._loaded_at = begun

    def _keep(self, organizations: list[Organization]) -> None:
        self._by_id, self._by_word = {}, {}
        for organization in organizations:
            if organization.id in self._by_id:
                continue  # a row that was added meanwhile moved it to the next page
            self._by_id[organization.id] = organization
            words = [Reference(By.NAME, organization.name.lower())]
            if organization.domain:
                words.append(Reference(By.DOMAIN, organization.domain.lower()))
            for word in words:
                self._by_word.setdefault(word, []).append(organization)

    def _look_up(self, reference: Reference) -> Organization | None:
        word = Reference(reference.by, reference.value.lower())
        candidates = self._by_word.get(word, [])
        for organization in candidates:
            if organization.name == reference.value:
                return organization
        # ZITADEL keeps names unique without regard to case.
        return candidates[0] if len(candidates) == 1 else None
