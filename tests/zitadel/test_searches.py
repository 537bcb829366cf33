"""Organizations by page, name and domain: what counts as found."""

import pytest

from zitadel.servers import (
    CREATED,
    Server,
    failure,
)
from zitadel_notification_operator.core.policy import (
    Organization,
    OrganizationPage,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.zitadel.client import ZitadelClient


async def test_a_page_of_organizations_says_how_many_there_are(
    client: ZitadelClient, server: Server
) -> None:
    """Hidden rows count; after the end there is no total."""
    row = {"id": "o", "name": "ACME", "primaryDomain": "acme.example"}
    server.always({"details": {"totalResult": "7"}, "result": [row]})
    page = await client.organizations(0, 1000)
    assert page == OrganizationPage((Organization("o", "ACME", "acme.example"),), 7)
    server.always({"details": {"timestamp": CREATED}})
    assert await client.organizations(7, 1000) == OrganizationPage((), 0)
    server.always({})
    error = await failure(client.organizations(7, 1000))
    assert error.reason is Reason.UNEXPECTED_ANSWER


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], None),
        (["ACME"], "ACME"),
        (["acme"], "acme"),
        (["acme", "ACME"], "ACME"),
        (["Globex"], None),
    ],
)
async def test_a_name_is_exact_then_without_case(
    client: ZitadelClient, server: Server, names: list[str], found: str | None
) -> None:
    """A server that ignores the filter returns no other organization."""
    rows = [{"id": f"id of {name}", "name": name} for name in names]
    total = {"totalResult": str(len(rows)), "timestamp": CREATED}
    server.always({"details": total, "result": rows})
    organization = await client.search(Reference(By.NAME, "ACME"))
    assert (organization.name if organization else None) == found


async def test_two_organizations_of_one_name_are_not_guessed(
    client: ZitadelClient, server: Server
) -> None:
    rows = [{"id": name, "name": name} for name in ("acme", "Acme")]
    server.always({"details": {"totalResult": "2"}, "result": rows})
    for reference in (Reference(By.NAME, "ACME"), Reference(By.DOMAIN, "acme.example")):
        error = await failure(client.search(reference))
        assert error.reason is Reason.UNEXPECTED_ANSWER
        assert "more than one" in error.message
