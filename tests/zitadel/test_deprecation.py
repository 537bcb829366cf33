"""ZITADEL's headers that mark calls as deprecated."""

import pytest

from zitadel.servers import PAT, TOKEN, Server, organization, policy
from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.zitadel.calls import DISCOVERY, Call
from zitadel_notification_operator.zitadel.calls import TOKEN as TOKEN_PATH
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector
from zitadel_notification_operator.zitadel.deprecation import Marks

READ = "GET /management/v1/policies/notification"
END = "Sun, 11 Nov 2029 23:59:59 GMT"


async def test_a_marked_call_is_known_with_its_end(
    client: ZitadelClient, server: Server
) -> None:
    server.always(policy(), Deprecation="@1688169599", Sunset=END)
    assert await client.deprecation() is None
    assert await client.observe("org-a") is not None
    found = await client.deprecation()
    assert found == Deprecation((READ,), "2023-06-30", "2029-11-11", 1889135999.0)
    server.always(policy())
    await client.observe("org-a")
    assert await client.deprecation() is None


async def test_marks_of_several_calls_are_one(
    client: ZitadelClient, server: Server
) -> None:
    """The earliest end counts."""
    server.always(policy(), Deprecation="true", Sunset="2031-01-01T00:00:00Z")
    await client.observe("org-a")
    server.always(organization(state="ORG_STATE_ACTIVE"), Sunset=END)
    await client.organization("org-a")
    found = await client.deprecation()
    assert found is not None
    assert found.calls == ("GET /management/v1/orgs/me", READ)
    assert (found.since, found.ends) == ("", "2029-11-11")


@pytest.mark.parametrize(
    ("value", "since"),
    [
        ("@1688169599", "2023-06-30"),
        (" @1688169599;x=y ", "2023-06-30"),
        ("true", ""),
        ("True", ""),
        ("?1", ""),
        ("Sat, 01 Jul 2023 00:00:00 GMT", "2023-07-01"),
        ("2023-07-01", "2023-07-01"),
        ("2023-07-01T01:00:00+02:00", "2023-06-30"),
        ("@99999999999999999999", "@99999999999999999999"),
        ("@soon", "@soon"),
        ('version="v1"\r\n forged\x00\u202e', 'version="v1" forged'),
        ("x" * 5000, "x" * 39 + "\u2026"),
        (f"told {TOKEN} by mistake", "told [hidden] by mistake"),
    ],
)
def test_each_form_of_the_header_is_shown_on_one_line(value: str, since: str) -> None:
    marks = Marks()
    headers = {"deprecation": value}
    marks.note(Call("GET", "/management/v1/orgs/me"), 200, headers, TOKEN)
    found = marks.deprecation()
    assert found is not None
    assert found.since == since
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("path", "status", "value"),
    [
        ("/management/v1/orgs/me", 200, "false"),
        ("/management/v1/orgs/me", 200, "?0"),
        ("/management/v1/orgs/me", 200, ""),
        ("/management/v1/orgs/me", 404, "true"),
        ("/management/v1/orgs/me", 503, "true"),
        (TOKEN_PATH, 200, "true"),
        (DISCOVERY, 200, "true"),
    ],
)
def test_what_says_nothing_about_our_calls(path: str, status: int, value: str) -> None:
    """This includes a proxy's page and the token endpoint."""
    marks = Marks()
    marks.note(Call("GET", path), status, {"deprecation": value}, TOKEN)
    assert marks.deprecation() is None


async def test_another_url_has_marks_of_its_own(
    connector: ZitadelConnector, server: Server
) -> None:
    server.always(policy(), Deprecation="true")
    client = connector.connect("a", Endpoint(server.url), PAT, None)
    await client.observe("org-a")
    assert await client.deprecation() is not None
    other = server.url.replace("127.0.0.1", "localhost")
    client = connector.connect("a", Endpoint(other), PAT, None)
    assert await client.deprecation() is None


def test_many_calls_are_reported_shortly() -> None:
    found = Deprecation(("GET /a", "GET /b", "GET /c", "GET /d"), "", "2029-11-11")
    assert (
        str(found) == "GET /a, GET /b, GET /c and 1 more; not served after 2029-11-11"
    )
