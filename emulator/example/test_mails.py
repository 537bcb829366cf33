"""The client of `mails.py`, tried with an emulated ZITADEL."""

from datetime import timedelta

import httpx
import mails
import pytest

from zitadel_emulator.testing import EmulatedZitadel, Fault


def test_mails_are_turned_on(zitadel: EmulatedZitadel) -> None:
    """The organization inherits a policy without mails, and then has its own."""
    acme = zitadel.organizations["ACME"]
    zitadel.set_policy(password_change=False)
    mails.turn_on(zitadel.url, zitadel.token, acme)
    policy = zitadel.policy(acme)
    assert policy.password_change
    assert not policy.inherited


def test_nothing_is_written_twice(zitadel: EmulatedZitadel) -> None:
    """The second time the client only looks."""
    new = zitadel.add_organization("New")
    mails.turn_on(zitadel.url, zitadel.token, new)
    mails.turn_on(zitadel.url, zitadel.token, new)
    assert [each["method"] for each in zitadel.requests()] == [
        *("GET", "POST", "GET"),
        "GET",
    ]


def test_a_busy_proxy_is_asked_again(zitadel: EmulatedZitadel) -> None:
    """A fault: the next two answers are 503."""
    acme = zitadel.organizations["ACME"]
    zitadel.cause(Fault(status=503, times=2))
    mails.turn_on(zitadel.url, zitadel.token, acme)
    assert [each["status"] for each in zitadel.requests()][:3] == [503, 503, 200]


def test_a_lost_event_is_noticed(zitadel: EmulatedZitadel) -> None:
    """ZITADEL answers the write with 200, and its read side never shows it."""
    acme = zitadel.organizations["ACME"]
    zitadel.lose("added", acme)
    with pytest.raises(mails.NotInForce):
        mails.turn_on(zitadel.url, zitadel.token, acme)
    assert zitadel.policy(acme).written == {"passwordChange": True}
    assert zitadel.policy(acme).inherited


def test_an_old_token_is_refused(zitadel: EmulatedZitadel) -> None:
    """Nobody waits for an hour: the clock is moved."""
    acme = zitadel.organizations["ACME"]
    end = zitadel.now() + timedelta(hours=1)
    user = zitadel.add_user("ORG_OWNER", organization=acme, expires=end)
    token = user.credential.token
    mails.turn_on(zitadel.url, token, acme)
    zitadel.advance_clock(timedelta(hours=1))
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        mails.turn_on(zitadel.url, token, acme)
