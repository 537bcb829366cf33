"""Which organizations there are: one list for many questions, else one by one.

Belongs to one instance and one credential. A list is trusted for a minute; whatever is
not on it is asked for by itself, because ZITADEL's searches lag by milliseconds and
show only what the credential may see.
"""

import asyncio

from zitadel_notification_operator.core.errors import OperatorError, TerminalError
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.engine.ports import PolicyClient

PAGE = 1000
"""Organizations in one page of the list."""

FRESH = 60.0
"""Seconds for which a list is believed (design, section 3, "Writes by state")."""

_NEVER = float("-inf")


class Directory:
    """Answers what a name or a domain means; one call for all who ask at one time.

    Args:
        lists: Whether the credential may list organizations at all.
    """

    def __init__(self, *, lists: bool) -> None:
        self._lists = lists
        self._lock = asyncio.Lock()
        self._loaded_at = _NEVER
        self._by_id: dict[str, Organization] = {}
        self._by_word: dict[Reference, list[Organization]] = {}
        self._trouble: OperatorError | None = None
        self._troubled_at = _NEVER

    def known(self, organization_id: str) -> Organization | None:
        """Return an organization that a fresh list holds; None says nothing."""
        self.expire()
        return self._by_id.get(organization_id)

    def expire(self) -> None:
        """Drop a list that is no longer believed."""
        if self._by_id and not self._is_fresh():
            self.drop()

    def drop(self) -> None:
        """Believe the list no longer: the next question is asked anew."""
        self._loaded_at = _NEVER
        self._by_id.clear()
        self._by_word.clear()

    async def find(
        self, client: PolicyClient, reference: Reference, questions: int
    ) -> Organization:
        """Return the organization with this name or verified domain.

        Args:
            client: Asks ZITADEL.
            reference: A name: exact, then without regard to case; or a domain.
            questions: How many references are still to be resolved, this one
                included: from two on a list is cheaper.

        Raises:
            TerminalError: `OrganizationNotFound`.
            OperatorError: What the client raises.
        """
        self.expire()
        found = self._look_up(reference)
        if found is None and not self._is_fresh() and self._lists and questions > 1:
            await self._load(client, questions)
            found = self._look_up(reference)
        return found or await self.search(client, reference)

    async def search(self, client: PolicyClient, reference: Reference) -> Organization:
        """Ask ZITADEL itself, whatever a list says; errors as of `find`."""
        found = await client.search(reference)
        if found is None:
            raise TerminalError(
                Reason.ORGANIZATION_NOT_FOUND,
                f"There is no {reference} in ZITADEL, or the credential may not see it",
            )
        return found

    def _is_fresh(self) -> bool:
        return asyncio.get_running_loop().time() - self._loaded_at < FRESH

    async def _load(self, client: PolicyClient, questions: int) -> None:
        asked = asyncio.get_running_loop().time()
        async with self._lock:
            if self._is_fresh():
                return
            if self._trouble is not None and self._troubled_at >= asked:
                # Who waited meanwhile need not ask in vain, too.
                raise self._trouble
            try:
                await self._list(client, questions)
            except OperatorError as trouble:
                self._trouble = trouble
                self._troubled_at = asyncio.get_running_loop().time()
                raise

    async def _list(self, client: PolicyClient, questions: int) -> None:
        # Before the first call: what comes after it may be missing.
        begun = asyncio.get_running_loop().time()
        self.drop()
        offset, total = 0, 1
        while offset < total:
            page = await client.organizations(offset, PAGE)
            for organization in page.organizations:
                self._put(organization)
            # At a page's end there may be no total, and then no more pages.
            total = page.total
            offset += PAGE
            if total > PAGE * questions:
                break
        self._loaded_at = begun

    def _put(self, organization: Organization) -> None:
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
