"""What each response becomes: values, facts, and errors by id, code, status."""

import gzip
import json
import resource
import zlib
from collections.abc import Awaitable, Callable

import pytest

from support.settings import mails
from zitadel.servers import (
    CHANGED,
    CREATED,
    Server,
    details,
    failure,
    organization,
    policy,
    refusal,
)
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import (
    ApiMissing,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Organization,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.zitadel.client import ZitadelClient

DEFAULT = "/management/v1/policies/default/notification"
INSTANCE = "/admin/v1/instances/me"
PERMISSIONS = "/auth/v1/permissions/zitadel/me/_search"
MEMBERSHIPS = "/auth/v1/memberships/me/_search"
WHO: dict[str, tuple[object, int]] = {
    PERMISSIONS: ({"result": ["policy.read"]}, 200),
    "/auth/v1/users/me": ({"user": {"id": "u-1", "userName": "gitops"}}, 200),
}
ORIGIN = "unable to set instance using origin &{x.example  http}: ID="

Ask = Callable[[ZitadelClient], Awaitable[object]]
ASKS: dict[str, Ask] = {
    "identify": lambda client: client.identify(),
    "organization": lambda client: client.organization("org-a"),
    "observe": lambda client: client.observe("org-a"),
    "observe instance": lambda client: client.observe(None),
    "create": lambda client: client.write("org-a", Action.CREATE, settings=mails(True)),
    "update": lambda client: client.write("org-a", Action.UPDATE, settings=mails(True)),
    "reset": lambda client: client.reset("org-a"),
    "list": lambda client: client.organizations(0, 1000),
    "search": lambda client: client.search(Reference(By.NAME, "ACME")),
}
every_ask = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)


async def test_absent_booleans_are_false(client: ZitadelClient, server: Server) -> None:
    server.always(policy(unknown={"field": 1}))
    assert await client.observe("org-a") == ObservedPolicy(
        is_default=False,
        settings=mails(False),
        sequence="42",
        creation_date=CREATED,
        change_date=CHANGED,
        resource_owner="org-a",
    )


async def test_an_inherited_policy_belongs_to_the_instance(
    client: ZitadelClient, server: Server
) -> None:
    server.always(policy("instance", isDefault=True, passwordChange=True))
    seen = await client.observe("org-a")
    assert seen is not None
    assert (seen.is_default, seen.settings) == (True, mails(True))
    assert seen.resource_owner == "instance"


async def test_a_sequence_may_be_a_number(
    client: ZitadelClient, server: Server
) -> None:
    server.always({"policy": {"details": details() | {"sequence": 7}}})
    seen = await client.observe("org-a")
    assert seen is not None
    assert seen.sequence == "7"


@pytest.mark.parametrize("organization_id", ["org-a", None])
async def test_no_policy_at_all_is_none(
    client: ZitadelClient, server: Server, organization_id: str | None
) -> None:
    server.always(refusal(5, "QUERY-x0so2p"), 404)
    assert await client.observe(organization_id) is None


async def test_organizations_exist_unless_removed(
    client: ZitadelClient, server: Server
) -> None:
    server.always(organization(state="ORG_STATE_INACTIVE", name="ACME"))
    assert await client.organization("org-a") == Organization("org-a", "ACME")
    server.always(organization(name="ACME"))
    error = await failure(client.organization("org-a"))
    assert isinstance(error, TerminalError)
    assert error.reason is Reason.ORGANIZATION_NOT_FOUND


async def test_writes_return_what_zitadel_says(
    client: ZitadelClient, server: Server
) -> None:
    server.always(
        {"details": {"sequence": "9", "creationDate": CREATED, "resourceOwner": "o"}}
    )
    written = await client.write("o", Action.CREATE, settings=mails(True))
    assert written == WriteResult(WriteOutcome.WRITTEN, "9", "o")


@pytest.mark.parametrize(
    ("ask", "status", "code", "id_", "answer"),
    [
        ("update", 400, 9, "Org-ioqnxz", WriteOutcome.NOT_CHANGED),
        ("update", 400, 9, "INSTANCE-29x02n", WriteOutcome.NOT_CHANGED),
        ("create", 409, 6, "Org-xa08n2", WriteOutcome.ALREADY_EXISTS),
        ("create", 409, 6, "INSTANCE-xpo1bj", WriteOutcome.ALREADY_EXISTS),
        ("update", 404, 5, "ORG-x029n3", WriteOutcome.NOT_FOUND),
        ("update", 404, 5, "INSTANCE-x891na", WriteOutcome.NOT_FOUND),
        ("reset", 404, 5, "ORG-x029n1s", WriteOutcome.NOT_FOUND),
        ("reset", 403, 7, "AUTH-Bs7Ds", WriteOutcome.ORGANIZATION_GONE),
    ],
)
async def test_facts_are_values(
    client: ZitadelClient,
    server: Server,
    ask: str,
    status: int,
    code: int,
    id_: str,
    answer: WriteOutcome,
) -> None:
    server.always(refusal(code, id_), status)
    assert await ASKS[ask](client) == WriteResult(answer)


@pytest.mark.parametrize("id_", ["ORG-x029n1s", "Org-ioqnxz", "QUERY-x0so2p"])
async def test_ids_in_the_text_alone_are_no_facts(
    client: ZitadelClient, server: Server, id_: str
) -> None:
    """A deletion must not end because a page quotes an id."""
    server.always(refusal(5, text=f"not found ({id_})"), 404)
    for ask in ("reset", "update", "observe"):
        error = await failure(ASKS[ask](client))
        assert error.reason is Reason.UNEXPECTED_ANSWER


TERMINAL = [
    (401, refusal(16, text="auth header missing"), Reason.CREDENTIALS_REJECTED),
    (401, refusal(16, "AUTH-7fs1e"), Reason.CREDENTIALS_REJECTED),
    (401, "<html>who are you</html>", Reason.CREDENTIALS_REJECTED),
    (403, refusal(7, "AUTH-5mWD2"), Reason.INSUFFICIENT_PERMISSIONS),
    (403, refusal(7, "NEW-id"), Reason.INSUFFICIENT_PERMISSIONS),
    (404, refusal(5, "AUTHZ-cdgFk"), Reason.INSUFFICIENT_PERMISSIONS),
    (400, refusal(9, "EXEC-dra6yamk98"), Reason.REQUEST_REFUSED),
    (403, refusal(7, "EXEC-reUaUZCzCp"), Reason.REQUEST_REFUSED),
    (400, refusal(9, "OTHER-id"), Reason.REQUEST_REFUSED),
    (400, refusal(3, text="proto: syntax error"), Reason.REQUEST_REFUSED),
    (409, refusal(6, "V3-DKcYh"), Reason.REQUEST_REFUSED),
    (400, "<html>Bad Request</html>", Reason.REQUEST_REFUSED),
]
TRANSIENT = [
    (404, refusal(5, text=ORIGIN + "QUERY-1kIjX"), Reason.HOST_NOT_RECOGNIZED),
    (404, refusal(5, text=ORIGIN + "QUERY-IuGh1"), Reason.HOST_NOT_RECOGNIZED),
    (404, refusal(5, text=ORIGIN + "QUERY-d3fas"), Reason.SERVER_ERROR),
    (404, refusal(5, text="Not Found"), Reason.UNEXPECTED_ANSWER),
    (404, refusal(5, "NEW-404"), Reason.UNEXPECTED_ANSWER),
    (404, "<html>Not Found</html>", Reason.UNEXPECTED_ANSWER),
    (404, "QUERY-1kIjX", Reason.UNEXPECTED_ANSWER),
    (403, "<html>Blocked</html>", Reason.UNEXPECTED_ANSWER),
    (405, refusal(12, text="Method Not Allowed"), Reason.UNEXPECTED_ANSWER),
    (201, policy(), Reason.UNEXPECTED_ANSWER),
    (204, "", Reason.UNEXPECTED_ANSWER),
    (418, "tea", Reason.UNEXPECTED_ANSWER),
    (429, refusal(8, "QUOTA-vjAy8"), Reason.RATE_LIMITED),
    (429, "Your ZITADEL instance is blocked.", Reason.RATE_LIMITED),
    (500, refusal(2, text="statement failed"), Reason.SERVER_ERROR),
    (500, refusal(13, text="db connection error"), Reason.SERVER_ERROR),
    (500, refusal(15), Reason.SERVER_ERROR),
    (500, refusal(9, "EXEC-new"), Reason.REQUEST_REFUSED),
    (503, refusal(14), Reason.SERVER_ERROR),
    (504, refusal(4), Reason.SERVER_ERROR),
    (409, refusal(10), Reason.SERVER_ERROR),
    (499, refusal(1), Reason.SERVER_ERROR),
    (408, "", Reason.SERVER_ERROR),
    (502, "<html>Bad Gateway</html>", Reason.SERVER_ERROR),
    (503, {"code": 503, "message": "a proxy's own"}, Reason.SERVER_ERROR),
    (502, {"code": "7", "message": "not a number"}, Reason.SERVER_ERROR),
]


@every_ask
@pytest.mark.parametrize(("status", "body", "reason"), TERMINAL)
async def test_what_somebody_must_act_on_is_terminal(
    client: ZitadelClient,
    server: Server,
    ask: Ask,
    status: int,
    body: object,
    reason: Reason,
) -> None:
    server.always(body, status)
    error = await failure(ask(client))
    assert isinstance(error, TerminalError)
    assert error.reason is reason


@every_ask
@pytest.mark.parametrize(("status", "body", "reason"), TRANSIENT)
async def test_what_may_pass_is_transient(
    client: ZitadelClient,
    server: Server,
    ask: Ask,
    status: int,
    body: object,
    reason: Reason,
) -> None:
    server.always(body, status)
    error = await failure(ask(client))
    assert isinstance(error, TransientError) is (reason is not Reason.REQUEST_REFUSED)
    assert error.reason is reason


@pytest.mark.parametrize("ask", ["observe", "create", "organization", "identify"])
async def test_an_unknown_organization_is_terminal(
    client: ZitadelClient, server: Server, ask: str
) -> None:
    server.always(refusal(7, "AUTH-Bs7Ds"), 403)
    error = await failure(ASKS[ask](client))
    assert isinstance(error, TerminalError)
    assert error.reason is Reason.ORGANIZATION_NOT_FOUND


@pytest.mark.parametrize(
    ("ask", "role"),
    [
        ("observe", "ORG_SETTINGS_MANAGER"),
        ("observe", "IAM_ORG_MANAGER"),
        ("observe instance", "IAM_OWNER"),
    ],
)
async def test_a_missing_permission_names_the_role(
    client: ZitadelClient, server: Server, ask: str, role: str
) -> None:
    server.always(refusal(7, "AUTH-5mWD2"), 403)
    assert role in (await failure(ASKS[ask](client))).message


async def test_a_wrong_host_names_the_way_out(
    client: ZitadelClient, server: Server
) -> None:
    server.always(refusal(5, text=ORIGIN + "QUERY-1kIjX"), 404)
    message = (await failure(client.identify())).message
    assert "127.0.0.1" in message
    assert "spec.externalDomain" in message


@every_ask
@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "null",
        "[]",
        "true",
        '"text"',
        "<!DOCTYPE html><html><body>Log in</body></html>",
        '{"policy": {}}',
        '{"policy": null, "details": null, "org": null}',
        '{"policy": {"passwordChange": true}}',
        '{"policy": {"details": {}}, "details": {}, "org": {}}',
        '{"policy": {"details": {"sequence": "1"}}, "details": {"sequence": "1"}}',
        '{"policy": {"details": {"resourceOwner": "org-a"}}}',
        '{"policy": {"details": {"sequence": "1", "resourceOwner": ""}}}',
        '{"policy": {"details": {"sequence": "x", "resourceOwner": "org-a"}}}',
        '{"policy": {"details": {"sequence": true, "resourceOwner": "org-a"}}}',
        '{"policy": {"details": {"sequence": "1", "resourceOwner": "org-a"',
        '{"org": {"id": 7, "state": "ORG_STATE_ACTIVE"}}',
        b"\xff\xfe\x00",
        b"\x1f\x8b\x08\x00garbage",
        "[" * 100_000,
    ],
    ids=range(21),
)
async def test_an_unusable_body_is_never_a_value(
    client: ZitadelClient, server: Server, ask: Ask, body: object
) -> None:
    server.always(body)
    error = await failure(ask(client))
    assert isinstance(error, TransientError)
    assert error.reason is Reason.UNEXPECTED_ANSWER
    assert error.message.isprintable()
    assert len(error.message) < 250


@pytest.mark.parametrize("value", ['"true"', '"false"', "1", "0", "null", "[]"])
async def test_only_a_boolean_is_a_boolean(
    client: ZitadelClient, server: Server, value: str
) -> None:
    for name in ("passwordChange", "isDefault"):
        server.always(
            '{"policy": {"details": {"sequence": "1", "resourceOwner": "org-a"}, '
            f'"{name}": {value}}}}}'
        )
        error = await failure(client.observe("org-a"))
        assert error.reason is Reason.UNEXPECTED_ANSWER


@pytest.mark.parametrize(
    "ask", ["organization", "observe", "create", "update", "reset"]
)
async def test_an_answer_about_another_organization_is_refused(
    client: ZitadelClient, server: Server, ask: str
) -> None:
    """A proxy that drops `x-zitadel-orgid` would show the credential's own."""
    server.always(
        policy("own")
        | organization("own", state="ORG_STATE_ACTIVE")
        | {"details": details("own")}
    )
    error = await failure(ASKS[ask](client))
    assert isinstance(error, TransientError)
    assert error.reason is Reason.UNEXPECTED_ANSWER


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_reported_and_not_followed(
    client: ZitadelClient, server: Server, status: int
) -> None:
    server.always("", status, Location="/elsewhere")
    error = await failure(client.observe("org-a"))
    assert error.reason is Reason.UNEXPECTED_ANSWER
    assert "redirect" in error.message
    assert len(server.seen) == 1


async def test_an_answer_that_a_proxy_has_compressed_is_decoded(
    client: ZitadelClient, server: Server
) -> None:
    """The operator asks for none, but proxies may compress nevertheless."""
    packed = gzip.compress(json.dumps(policy("org-a")).encode())
    server.always(packed, Content_Encoding="gzip")
    observed = await client.observe("org-a")
    assert observed is not None
    assert observed.resource_owner == "org-a"


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (gzip.compress(b"{", 9)[:-4], "gzip"),
        (b"no gzip", "gzip"),
        (gzip.compress(gzip.compress(b"{}")), "gzip, gzip"),
        (b"{}", "br"),
    ],
    ids=["cut", "damaged", "twice", "unknown"],
)
async def test_what_cannot_be_decoded_is_no_answer(
    client: ZitadelClient, server: Server, body: bytes, coding: str
) -> None:
    """Nobody has asked for an encoding."""
    server.always(body, Content_Encoding=coding)
    error = await failure(client.observe("org-a"))
    assert error.reason is Reason.UNEXPECTED_ANSWER
    assert "decoded" in error.message


async def test_a_few_bytes_that_stand_for_gigabytes_cost_little_memory(
    client: ZitadelClient, server: Server
) -> None:
    """The limit of an answer's size holds while it is being decoded."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(256))
    server.always(bomb + packer.flush(), Content_Encoding="gzip")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (await failure(client.observe("org-a"))).reason is Reason.UNEXPECTED_ANSWER
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024  # KiB


async def test_messages_are_the_same_at_every_try(
    client: ZitadelClient, server: Server
) -> None:
    """Conditions are compared by text, so varying parts are masked."""
    pages = [
        "<p>at 2026-01-01T10:00:00Z id 6f9619ff-8b86-d011-b42d-00cf4fc964ff</p>",
        "<p>at 2026-01-01T10:00:07Z id 0e9619aa-1b86-d011-b42d-00cf4fc964aa</p>",
    ]
    messages = set()
    for page in pages:
        server.always(page, 404)
        messages.add((await failure(client.observe("org-a"))).message)
    assert len(messages) == 1


V2 = "type.googleapis.com/zitadel.error.v2.ErrorDetail"
V1 = "type.googleapis.com/zitadel.v1.ErrorDetail"
RPC = "type.googleapis.com/google.rpc.RequestInfo"
DATABASE = "ZITADEL cannot reach its database"


@pytest.mark.parametrize("ask", ["identify", "observe", "reset"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, refusal(5, "", f"{ORIGIN}QUERY-d3fas Message=Errors.Internal")),
        (404, refusal(5, "QUERY-d3fas")),
        (500, refusal(13, "QUERY-d3fas", "Errors.Internal")),
        (500, refusal(13, "", f"{ORIGIN}QUERY-d3fas Parent=(connection refused)")),
        (500, {"code": 13, "details": [{"@type": V2, "slug": "QUERY-d3fas"}]}),
        (500, refusal(13, "NEW-1", f"{ORIGIN}QUERY-d3fas")),
    ],
)
async def test_a_database_that_is_down_is_named(
    client: ZitadelClient, server: Server, ask: str, status: int, body: object
) -> None:
    """Each version says it differently; it never means absent or done."""
    server.always(body, status)
    error = await failure(ASKS[ask](client))
    assert isinstance(error, TransientError)
    assert error.reason is Reason.SERVER_ERROR
    assert error.message == DATABASE


@pytest.mark.parametrize(
    "found",
    [
        [{"@type": V2, "slug": "ORG-x029n1s", "message": "gone"}],
        [{"@type": V2, "id": "", "slug": "ORG-x029n1s"}],
        [{"@type": V2, "id": "a-request", "slug": "ORG-x029n1s"}],
        [{"@type": V2, "slug": "ORG-x029n1s"}, {"@type": V1, "id": "ORG-x029n1s"}],
        [{"@type": RPC, "id": "r-1"}, {"@type": V1, "id": "ORG-x029n1s"}],
        [None, "text", 7, ["x"], {}, {"@type": 5}, {"id": 5, "slug": "ORG-x029n1s"}],
        {"@type": V1, "id": "ORG-x029n1s"},
    ],
    ids=range(7),
)
async def test_an_error_id_is_found_among_details_of_any_shape(
    client: ZitadelClient, server: Server, found: object
) -> None:
    server.always({"code": 5, "message": "Some text", "details": found}, 404)
    assert await client.reset("org-a") == WriteResult(WriteOutcome.NOT_FOUND)


@pytest.mark.parametrize(
    "found", [None, "text", 7, True, [], {}, [[]], ["ORG-x029n1s"], [{"id": None}]]
)
async def test_details_without_an_id_do_not_hide_the_code(
    client: ZitadelClient, server: Server, found: object
) -> None:
    server.always({"code": 14, "message": ["no", "text"], "details": found}, 503)
    error = await failure(client.observe("org-a"))
    assert error.reason is Reason.SERVER_ERROR
    assert "HTTP 503, code 14" in error.message


async def test_an_id_of_others_is_no_fact(
    client: ZitadelClient, server: Server
) -> None:
    """A 404 with an unknown id is neither "absent" nor "done"."""
    server.always({"code": 5, "details": [{"@type": V2, "slug": "NEW-1"}]}, 404)
    for ask in (client.reset("org-a"), client.observe("org-a")):
        assert (await failure(ask)).reason is Reason.UNEXPECTED_ANSWER


@pytest.mark.parametrize("ask", ["observe", "observe instance", "update", "reset"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "<html>no such page</html>"),
        (404, {"code": 5, "message": "Not Found"}),
        (404, refusal(5, "NEW-1")),
        (405, {"code": 12, "message": "Method Not Allowed"}),
        (405, ""),
        (410, "gone"),
        (501, ""),
        (501, refusal(12, "NEW-2")),
        (500, {"code": 12, "message": "unknown method"}),
    ],
)
async def test_a_policy_call_that_seems_not_to_be_there(
    client: ZitadelClient, server: Server, ask: str, status: int, body: object
) -> None:
    """It is an unexpected answer; the engine counts them."""
    server.always(body, status)
    error = await failure(ASKS[ask](client))
    assert isinstance(error, ApiMissing)
    assert error.reason is Reason.UNEXPECTED_ANSWER
    assert error.what.split(" was answered with ")[1].startswith(f"HTTP {status}")


@pytest.mark.parametrize(
    ("ask", "status", "body"),
    [
        ("observe", 404, refusal(5, "", f"{ORIGIN}QUERY-d3fas")),
        ("observe", 404, refusal(5, "", f"{ORIGIN}QUERY-1kIjX")),
        ("observe", 404, refusal(5, "AUTHZ-cdgFk")),
        ("observe", 501, refusal(13, "")),
        ("update", 404, refusal(5, "QUERY-x0so2p")),
        ("observe", 404, refusal(5, "ORG-x029n3")),
        ("update", 501, refusal(12, "EXEC-reUaUZCzCp")),
        ("reset", 400, refusal(9, "NEW-3")),
        ("organization", 404, {"code": 5, "message": "Not Found"}),
        ("organization", 410, ""),
        ("list", 405, {"code": 12, "message": "Method Not Allowed"}),
        ("observe", 302, ""),
        ("observe", 200, "<html>"),
    ],
)
async def test_other_answers_say_nothing_about_the_api(
    client: ZitadelClient, server: Server, ask: str, status: int, body: object
) -> None:
    server.always(body, status)
    assert not isinstance(await failure(ASKS[ask](client)), ApiMissing)
