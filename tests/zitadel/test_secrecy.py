"""The token is in no exception, no chain of exceptions, and no log record."""

import logging
import traceback

import pytest

from zitadel.servers import PAT, TOKEN, Server, answering_raw, refusal
from zitadel_notification_operator.core.credentials import AccessToken
from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector
from zitadel_notification_operator.zitadel.excerpt import LONGEST, excerpt_of

BODIES = [
    (200, f"<p>Authorization: Bearer {TOKEN}</p>"),
    (200, {"policy": {"details": {"sequence": TOKEN, "resourceOwner": TOKEN}}}),
    (200, "x" * (LONGEST - 10) + TOKEN),
    (400, refusal(3, text=f"bad {TOKEN}")),
    (400, refusal(9, "EXEC-1", f"Bearer {TOKEN}")),
    (404, f"{TOKEN}"),
    (500, f"{TOKEN}"),
]


def whole(error: BaseException) -> str:
    """Return all that a logger could print of an error and its causes."""
    texts = ["".join(traceback.format_exception(error))]
    cause: BaseException | None = error
    while cause is not None:
        texts.append(repr(cause))
        cause = cause.__cause__ or cause.__context__
    return "".join(texts)


@pytest.mark.parametrize(("status", "body"), BODIES, ids=range(len(BODIES)))
async def test_a_server_that_echoes_the_token_gives_nothing_away(
    client: ZitadelClient,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: object,
) -> None:
    caplog.set_level(logging.DEBUG)
    server.always(body, status)
    with pytest.raises(OperatorError) as caught:
        await client.observe("org-a")
    text = whole(caught.value)
    assert TOKEN not in text
    assert TOKEN[:12] not in text
    assert caplog.records
    assert TOKEN not in caplog.text


async def test_a_broken_server_gives_nothing_away(
    connector: ZitadelConnector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with answering_raw(f"HTTP/1.1 {TOKEN}\r\n\r\n".encode()) as url:
        client = connector.connect("default", Endpoint(url), PAT, None)
        with pytest.raises(OperatorError) as caught:
            await client.observe("org-a")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("token", ["secret\u00e9word", "secretword\n", "secretword x"])
async def test_an_unsendable_token_is_not_quoted(
    connector: ZitadelConnector, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(OperatorError) as caught:
        connector.connect(
            "default", Endpoint("http://127.0.0.1:1"), AccessToken(token), None
        )
    assert "secret" not in whole(caught.value).replace("test_secrecy", "")
    assert "secretword" not in caplog.text


async def test_our_own_records_are_debug_only(
    client: ZitadelClient, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.always({}, 500)
    with pytest.raises(OperatorError):
        await client.observe("org-a")
    own = [
        record
        for record in caplog.records
        if record.name.startswith("zitadel_notification_operator")
    ]
    assert {record.levelno for record in own} == {logging.DEBUG}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"", "an empty body"),
        ("  \n\t ", "an empty body"),
        ("One.\r\n\x00Two\x1b[31m.", "One. Two [31m"),
        (b"\xff\xfe ok", "\ufffd\ufffd ok"),
        ("bearer abc.def and Bearer  x", "[hidden] and [hidden]"),
        ("y" * 500, "y" * (LONGEST - 1) + "\u2026"),
        ("at 10:11:12.5 on 2026-01-01", "at ... on"),
        ("not changed (Org-ioqnxz)", "not changed (Org-ioqnxz)"),
        ("org 69629023906488334 in v4.7.1", "org 69629023906488334 in v4.7.1"),
    ],
)
def test_excerpts_are_short_and_printable(text: bytes | str, shown: str) -> None:
    assert excerpt_of(text, "the-token") == shown
