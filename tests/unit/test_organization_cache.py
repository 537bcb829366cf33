"""The list of organizations while it is read, and what others write meanwhile."""

import asyncio
from collections.abc import Callable
from typing import cast

from support.virtual_time import run
from zitadel_notification_operator.core.errors import PageTooLarge
from zitadel_notification_operator.core.paging import PageSize
from zitadel_notification_operator.core.policy import Organization, OrganizationPage
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.engine.calls.organization_cache import (
    FRESH,
    OrganizationCache,
)
from zitadel_notification_operator.engine.ports import PolicyClient


class Pages:
    """Returns organizations in pages, each after its delay."""

    def __init__(self, count: int, seconds: float) -> None:
        self.names = [f"name {number}" for number in range(count)]
        self.seconds = seconds
        self.calls = 0
        self.before: Callable[[int], None] = lambda _: None

    async def organizations(self, offset: int, limit: int) -> OrganizationPage:
        self.calls += 1
        self.before(offset)
        await asyncio.sleep(self.seconds)
        rows = self.names[offset : offset + limit]
        found = tuple(Organization(f"id of {name}", name) for name in rows)
        return OrganizationPage(found, len(self.names))

    async def search(self, reference: Reference) -> Organization | None:
        self.calls += 1
        return Organization(f"id of {reference.value}", reference.value)


def name(text: str) -> Reference:
    return Reference(By.NAME, text)


def test_what_is_left_to_resolve_is_counted_once_for_a_list() -> None:
    """Counting goes over all policies, so doing it for each of them would be slow."""

    async def story() -> None:
        client = cast("PolicyClient", Pages(50, 1.0))
        organization_cache = OrganizationCache(client, lists=True, page=PageSize(10))
        counted = 0

        def count() -> int:
            nonlocal counted
            counted += 1
            return 51 - counted

        for number in range(50):
            await organization_cache.find(name(f"name {number}"), count)
        assert counted == 1

    run(story())


def test_a_list_is_not_dropped_while_it_is_read() -> None:
    """Its pages take longer than an old list is used, and look-ups continue."""

    async def story() -> None:
        pages = Pages(50, 1.0)
        client = cast("PolicyClient", pages)
        organization_cache = OrganizationCache(client, lists=True, page=PageSize(10))
        await organization_cache.find(name("name 1"), lambda: 20)
        await asyncio.sleep(FRESH + 1)
        pages.names.append("name 50")
        load = asyncio.create_task(organization_cache.find(name("name 50"), lambda: 20))
        for _ in range(5):
            await asyncio.sleep(0.7)
            organization_cache.expire()
            assert organization_cache.known("id of name 50") is None
        assert (await load).id == "id of name 50"
        before = pages.calls
        for number in range(51):
            known = organization_cache.known(f"id of name {number}")
            assert known is not None
            assert known.name == f"name {number}"
            await organization_cache.find(name(f"Name {number}"), lambda: 20)
        assert pages.calls == before

    run(story())


def test_what_is_dropped_while_it_is_read_is_no_answer() -> None:
    """A check of the instance needs a list that began after it."""

    async def story() -> None:
        pages = Pages(50, 1.0)
        client = cast("PolicyClient", pages)
        organization_cache = OrganizationCache(client, lists=True, page=PageSize(10))
        load = asyncio.create_task(organization_cache.find(name("name 1"), lambda: 20))
        await asyncio.sleep(2.5)
        organization_cache.drop()
        assert (await load).id == "id of name 1"
        assert organization_cache.known("id of name 1") is None
        before = pages.calls
        await organization_cache.find(name("name 3"), lambda: 20)
        assert pages.calls == before + 5
        assert organization_cache.known("id of name 3") is not None

    run(story())


def test_a_row_that_two_pages_show_is_one_organization() -> None:
    """A new organization between two pages shifts all rows by one."""

    async def story() -> None:
        pages = Pages(20, 0.0)

        def make(offset: int) -> None:
            if offset == 10:
                pages.names.insert(0, "a new one")

        pages.before = make
        client = cast("PolicyClient", pages)
        organization_cache = OrganizationCache(client, lists=True, page=PageSize(10))
        found = await organization_cache.find(name("NAME 9"), lambda: 20)
        assert found.id == "id of name 9"

    run(story())


def test_where_no_list_is_to_be_had_names_are_asked_for_one_by_one() -> None:
    async def story() -> None:
        pages = Pages(20, 0.0)
        tries = []

        def refuse(offset: int) -> None:
            tries.append(offset)
            raise PageTooLarge(Reason.REQUEST_REFUSED, "too many rows")

        pages.before = refuse
        client = cast("PolicyClient", pages)
        organization_cache = OrganizationCache(client, lists=True, page=PageSize(1000))
        for number in range(5):
            found = await organization_cache.find(name(f"name {number}"), lambda: 5)
            assert found.id == f"id of name {number}"
        assert len(tries) == 8

    run(story())
