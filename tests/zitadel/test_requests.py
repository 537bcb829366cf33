"""The requests that are sent."""

import json

import pytest

from support.settings import mails
from zitadel.servers import PAT, TOKEN, Server, details, organization, policy
from zitadel_notification_operator.core.credentials import AccessToken
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector


async def test_each_call_is_the_documented_one(
    client: ZitadelClient, server: Server
) -> None:
    """Organizations use the management API, the instance uses the admin API."""
    server.always(
        policy()
        | organization(state="ORG_STATE_ACTIVE")
        | {"details": details(), "user": {"id": "u-1"}, "result": ["policy.read"]}
    )
    await client.identify()
    await client.organization("org-a")
    await client.organization(None)
    await client.observe("org-a")
    await client.observe(None)
    await client.write("org-a", Action.CREATE, settings=mails(False))
    await client.write("org-a", Action.UPDATE, settings=mails(True))
    await client.write(None, Action.CREATE, settings=mails(True))
    await client.write(None, Action.UPDATE, settings=mails(False))
    await client.reset("org-a")
    header = "x-zitadel-orgid"
    assert [
        (seen.method, seen.path, seen.headers.get(header), seen.body)
        for seen in server.seen
    ] == [
        ("POST", "/auth/v1/permissions/zitadel/me/_search", None, "{}"),
        ("GET", "/auth/v1/users/me", None, ""),
        ("GET", "/management/v1/policies/default/notification", None, ""),
        ("GET", "/management/v1/orgs/me", "org-a", ""),
        ("GET", "/management/v1/orgs/me", None, ""),
        ("GET", "/management/v1/policies/notification", "org-a", ""),
        ("GET", "/admin/v1/policies/notification", None, ""),
        (
            "POST",
            "/management/v1/policies/notification",
            "org-a",
            '{"passwordChange":false}',
        ),
        (
            "PUT",
            "/management/v1/policies/notification",
            "org-a",
            '{"passwordChange":true}',
        ),
        ("POST", "/admin/v1/policies/notification", None, '{"passwordChange":true}'),
        ("PUT", "/admin/v1/policies/notification", None, '{"passwordChange":false}'),
        ("DELETE", "/management/v1/policies/notification", "org-a", ""),
    ]
    assert {seen.headers["accept-language"] for seen in server.seen} == {"en"}
    assert {seen.headers["authorization"] for seen in server.seen} == {
        f"Bearer {TOKEN}"
    }
    assert len(server.peers) == 1, "one connection is kept alive and used again"


async def test_without_external_domain_the_host_is_that_of_the_url(
    client: ZitadelClient, server: Server
) -> None:
    server.always(policy())
    await client.observe("org-a")
    headers = server.seen[0].headers
    assert headers["host"] == server.url.removeprefix("http://")
    assert "x-zitadel-instance-host" not in headers
    assert not {name for name in headers if "forwarded" in name}


@pytest.mark.parametrize(
    ("external", "host"),
    [("auth.example.com", "auth.example.com"), ("auth.example:84", "auth.example:84")],
)
async def test_external_domain_is_what_zitadel_is_asked_for(
    connector: ZitadelConnector, server: Server, external: str, host: str
) -> None:
    server.always(policy())
    endpoint = Endpoint(server.url + "/", external_domain=external)
    await connector.connect("default", endpoint, PAT, None).observe("org-a")
    headers = server.seen[0].headers
    assert headers["host"] == host
    assert headers["x-zitadel-instance-host"] == external.partition(":")[0]
    assert server.seen[0].path == "/management/v1/policies/notification"


async def test_the_path_and_the_user_of_a_url_do_not_disturb(
    connector: ZitadelConnector, server: Server
) -> None:
    """A user in the url must not replace the token."""
    server.always(policy())
    url = server.url.replace("//", "//user:word@") + "/behind/"
    await connector.connect("default", Endpoint(url), PAT, None).observe("org-a")
    assert server.seen[0].path == "/behind/management/v1/policies/notification"
    assert server.seen[0].headers["authorization"] == f"Bearer {TOKEN}"


async def test_no_cookie_is_ever_sent_back(
    client: ZitadelClient, server: Server
) -> None:
    """`zitadel.quota.exhausted` would block calls after a quota was raised."""
    server.always(policy(), Set_Cookie="zitadel.quota.exhausted=1; Path=/")
    await client.observe("org-a")
    await client.observe("org-a")
    assert ["cookie" in seen.headers for seen in server.seen] == [False, False]


@pytest.mark.parametrize("token", ["", "tök", "a b", "a\n", "a\r\nx: y", "\x00"])
async def test_a_token_that_no_header_carries_is_refused_before_any_call(
    connector: ZitadelConnector, server: Server, token: str
) -> None:
    with pytest.raises(OperatorError) as caught:
        connector.connect("default", Endpoint(server.url), AccessToken(token), None)
    assert caught.value.reason is Reason.CREDENTIALS_INVALID
    assert not token.strip() or token not in str(caught.value)


@pytest.mark.parametrize("organization_id", ["", " ", "a\nb", "ö"])
async def test_an_id_that_no_header_carries_is_never_sent(
    client: ZitadelClient, server: Server, organization_id: str
) -> None:
    """An empty header would mean the credential's own organization."""
    for call in (
        client.observe(organization_id),
        client.organization(organization_id),
        client.reset(organization_id),
        client.write(organization_id, Action.CREATE, settings=mails(True)),
    ):
        with pytest.raises(OperatorError) as caught:
            await call
        assert caught.value.reason is Reason.ORGANIZATION_NOT_FOUND
    assert not server.seen


async def test_bodies_are_valid_json(client: ZitadelClient, server: Server) -> None:
    server.always({"details": details()})
    await client.write("org-a", Action.UPDATE, settings=mails(False))
    assert json.loads(server.seen[0].body) == {"passwordChange": False}
    assert server.seen[0].headers["content-type"] == "application/json"
