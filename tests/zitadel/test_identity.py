"""The identity of ZITADEL and of the user, by role, and incomplete responses."""

from aiohttp import web

from zitadel.servers import (
    CREATED,
    Server,
    failure,
    policy,
    refusal,
    reply,
)
from zitadel_notification_operator.core.errors import (
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.identity import Capabilities, User
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.client import ZitadelClient

DEFAULT = "/management/v1/policies/default/notification"
INSTANCE = "/admin/v1/instances/me"
PERMISSIONS = "/auth/v1/permissions/zitadel/me/_search"
MEMBERSHIPS = "/auth/v1/memberships/me/_search"
WHO: dict[str, tuple[object, int]] = {
    PERMISSIONS: ({"result": ["policy.read"]}, 200),
    "/auth/v1/users/me": ({"user": {"id": "u-1", "userName": "gitops"}}, 200),
}


async def test_the_id_is_the_owner_of_the_default_policy(
    client: ZitadelClient, server: Server
) -> None:
    answers: dict[str, tuple[object, int]] = {
        **WHO,
        DEFAULT: (policy("instance", isDefault=True), 200),
    }
    server.by_path(answers)
    identity = await client.identify()
    assert identity.zitadel_id == "instance"
    assert identity.version is None
    assert identity.user == User("u-1", "gitops")
    assert identity.capabilities == Capabilities()
    assert len(server.seen) == 3


async def test_one_call_shows_that_a_credential_is_good(
    client: ZitadelClient, server: Server
) -> None:
    """It needs no role, and is refused like any other."""
    server.by_path(WHO)
    await client.authenticate()
    assert [request.path for request in server.seen] == ["/auth/v1/users/me"]
    server.by_path({"/auth/v1/users/me": (refusal(16, "AUTH-7fs1e"), 401)})
    error = await failure(client.authenticate())
    assert error.reason is Reason.CREDENTIALS_REJECTED


async def test_who_may_read_the_instance_asks_it(
    client: ZitadelClient, server: Server
) -> None:
    """Only that call has ZITADEL's version."""
    may: list[object] = ["iam.read", "iam.policy.write", "events.read"]
    instance = {"instance": {"id": "i-1", "version": "v4.7.0"}}
    server.by_path(
        {**WHO, PERMISSIONS: ({"result": may}, 200), INSTANCE: (instance, 200)}
    )
    identity = await client.identify()
    assert (identity.zitadel_id, identity.version) == ("i-1", "v4.7.0")
    assert identity.capabilities == Capabilities(True, True, True)


async def test_half_a_list_of_permissions_is_not_believed(
    client: ZitadelClient, server: Server
) -> None:
    """A user who may read the policy has a permission; `{}` has none."""
    default = (policy("instance", isDefault=True), 200)
    server.by_path({**WHO, PERMISSIONS: ({}, 200), DEFAULT: default})
    error = await failure(client.identify())
    assert isinstance(error, TransientError)
    assert error.reason is Reason.UNEXPECTED_ANSWER


async def test_without_default_policy_the_instance_must_be_readable(
    client: ZitadelClient, server: Server
) -> None:
    server.by_path({**WHO, DEFAULT: (refusal(5, "QUERY-x0so2p"), 404)})
    error = await failure(client.identify())
    assert isinstance(error, TerminalError)
    assert error.reason is Reason.INSUFFICIENT_PERMISSIONS
    assert "IAM_OWNER_VIEWER" in error.message
    server.by_path({**WHO, DEFAULT: (refusal(16), 401)})
    error = await failure(client.identify())
    assert error.reason is Reason.CREDENTIALS_REJECTED


async def test_a_role_in_another_organization_is_enough(
    client: ZitadelClient, server: Server
) -> None:
    """The user's own organization refuses it, but the other one does not."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == MEMBERSHIPS:
            found = [{"iam": True}, {"orgId": "org-b", "roles": ["ORG_OWNER"]}]
            return reply({"details": {"totalResult": "2"}, "result": found})
        if request.path != DEFAULT:
            return reply(*WHO[request.path])
        if request.headers.get("x-zitadel-orgid") == "org-b":
            return reply(policy("i-1", isDefault=True))
        return reply(refusal(5, "AUTHZ-cdgFk"), 404)

    server.answer = answer
    assert (await client.identify()).zitadel_id == "i-1"


async def test_a_user_without_any_role_learns_which_to_get(
    client: ZitadelClient, server: Server
) -> None:
    server.by_path(
        {
            **WHO,
            PERMISSIONS: (refusal(5, "AUTHZ-cdgFk"), 404),
            DEFAULT: (refusal(5, "AUTHZ-cdgFk"), 404),
            MEMBERSHIPS: ({"details": {"viewTimestamp": CREATED}}, 200),
        }
    )
    error = await failure(client.identify())
    assert isinstance(error, TerminalError)
    assert error.reason is Reason.INSUFFICIENT_PERMISSIONS
    assert "ORG_SETTINGS_MANAGER" in error.message
    assert "IAM_ORG_MANAGER" in error.message
