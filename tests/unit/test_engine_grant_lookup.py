"""A name in a grant that cannot be looked up affects only policies of that grant."""

from dataclasses import replace

import pytest

from support.engines import INSTANCE, Harness, policy
from support.many_policies import within
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import Condition, find
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.policy import (
    Organization,
    OrganizationPage,
    Scope,
)
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference

ORG = frozenset({Scope.ORGANIZATION})
HTML = TransientError(Reason.UNEXPECTED_ANSWER, "answered not as ZITADEL does")
PROBED = 220.0
"""Seconds within which an instance is probed again: three minutes, and the time to the
pass after that, which is 33 s at most."""
TROUBLES = [
    HTML,
    TransientError(Reason.SERVER_ERROR, "cannot serve now"),
    TransientError(Reason.UNREACHABLE, "no answer"),
    TransientError(Reason.RATE_LIMITED, "fewer calls"),
    TerminalError(Reason.REQUEST_REFUSED, "refused with HTTP 400"),
    TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "lacks a role"),
    TerminalError(Reason.CREDENTIALS_REJECTED, "refused"),
]


def grants(*names: str) -> tuple[Grant, ...]:
    """Return grants: by name to `named`, by id to `by-id`, for all to `free`."""
    meant = frozenset(Reference(By.NAME, name) for name in names)
    return (
        Grant(("named",), ORG, meant),
        Grant(("by-id",), ORG, frozenset({Reference(By.ID, "b")})),
        Grant(("free",), ORG),
    )


def of(namespace: str, org: str, second: int = 0) -> PolicyObject:
    """Return a policy of a tenant, with the organization's id."""
    made = policy(namespace, org, second)
    return replace(made, key=PolicyKey(namespace, "p"))


def stored(harness: Harness, namespace: str) -> PolicyObject:
    """Return a tenant's policy."""
    return harness.cluster.policies[PolicyKey(namespace, "p")]


def ready(harness: Harness, namespace: str) -> Condition:
    """Return the Ready condition of a tenant's policy."""
    found = find(stored(harness, namespace).status.conditions, "Ready")
    assert found is not None
    return found


def instance_ready(harness: Harness) -> Condition:
    """Return the Ready condition of the instance."""
    found = find(harness.cluster.instances["default"].status.conditions, "Ready")
    assert found is not None
    return found


def break_searches(harness: Harness, failure: OperatorError) -> list[int]:
    """Let all calls of `/v2/` fail; return a list with the number of calls."""
    count = [0]

    async def fail_search(*_: object, **__: object) -> Organization:
        count[0] += 1
        raise failure

    async def fail_page(*_: object, **__: object) -> OrganizationPage:
        count[0] += 1
        raise failure

    instead_of(harness.zitadel.search).call(fail_search)
    instead_of(harness.zitadel.organizations).call(fail_page)
    return count


def harness_of(*names: str) -> Harness:
    """Return a harness with three tenants and their policies."""
    harness = Harness()
    harness.zitadel.names |= {"a": "ACME", "b": "Globex", "c": "Initech"}
    harness.cluster.put_instance(replace(INSTANCE, grants=grants(*names)))
    for namespace, org in (("named", "a"), ("by-id", "b"), ("free", "c")):
        harness.cluster.put(of(namespace, org))
    return harness


@pytest.mark.parametrize("names", [("ACME",), ("ACME", "Other")])
@pytest.mark.parametrize("failure", TROUBLES, ids=lambda t: str(t.reason))
def test_a_look_up_that_fails_from_the_beginning(
    failure: OperatorError, names: tuple[str, ...]
) -> None:
    """Others are served; policies of the grant say why, and are served later."""

    async def story() -> None:
        harness = harness_of(*names)
        search, pages = harness.zitadel.search, harness.zitadel.organizations
        break_searches(harness, failure)
        await harness.start()
        await harness.live(60)
        assert instance_ready(harness).status == "True"
        assert harness.zitadel.own == {"b": False, "c": False}
        condition = ready(harness, "named")
        assert condition.reason == Reason.INSTANCE_NOT_READY
        assert failure.message in condition.message
        assert "ACME" in condition.message
        instead_of(harness.zitadel.search).call(search)
        instead_of(harness.zitadel.organizations).call(pages)
        await within(200, lambda: ready(harness, "named").status == "True", harness)
        assert harness.zitadel.own == {"a": False, "b": False, "c": False}
        await harness.stop()

    run(story())


@pytest.mark.parametrize("failure", TROUBLES, ids=lambda t: str(t.reason))
def test_a_look_up_that_fails_later(failure: OperatorError) -> None:
    """Quiet policies of that grant wait, then report; nothing is written for them."""

    async def story() -> None:
        harness = harness_of("ACME", "Other")
        await harness.start()
        await harness.live(10)
        before = len(harness.steps.log)
        search, pages = harness.zitadel.search, harness.zitadel.organizations
        calls = break_searches(harness, failure)
        await within(PROBED, lambda: calls[0] > 0, harness)
        harness.zitadel.own["a"] = True
        edited = replace(stored(harness, "free"), settings=mails(True), generation=2)
        harness.seen(edited)
        await harness.live(15)
        assert ready(harness, "named").status == "True"
        await harness.live(15)
        assert ready(harness, "named").reason == Reason.INSTANCE_NOT_READY
        edited = replace(stored(harness, "named"), settings=mails(True), generation=2)
        harness.seen(edited)
        await harness.live(600)
        assert harness.zitadel.own == {"a": True, "b": False, "c": True}
        # Each look-up of a name costs two calls at most.
        assert calls[0] < 5 * 660 / 27
        new = harness.steps.log[before:]
        assert ("status", str(PolicyKey("by-id", "p"))) not in new
        assert ("status", "default") not in new
        instead_of(harness.zitadel.search).call(search)
        instead_of(harness.zitadel.organizations).call(pages)
        await within(200, lambda: ready(harness, "named").status == "True", harness)
        await harness.stop()

    run(story())


def test_one_look_up_that_fails_is_noticed_by_nobody() -> None:
    """No status of policies or instance is written."""

    async def story() -> None:
        harness = harness_of("ACME")
        await harness.start()
        await harness.live(10)
        search = harness.zitadel.search
        calls = break_searches(harness, HTML)
        before = len(harness.steps.log)
        await within(PROBED, lambda: calls[0] > 0, harness)
        instead_of(harness.zitadel.search).call(search)
        await harness.live(700)
        assert not [s for s in harness.steps.log[before:] if s[0] == "status"]
        await harness.stop()

    run(story())


def test_a_page_that_fails_stops_no_look_up() -> None:
    """Each name is then looked up by itself."""

    async def story() -> None:
        harness = harness_of("ACME", "Globex")

        async def fail(*_: object, **__: object) -> OrganizationPage:
            raise HTML

        instead_of(harness.zitadel.organizations).call(fail)
        await harness.start()
        await harness.live(10)
        assert ready(harness, "named").status == "True"
        await harness.stop()

    run(story())


def test_nobody_takes_over_from_an_owner_that_cannot_be_looked_up() -> None:
    """After a restart its grant is unknown, which does not end its claim."""

    async def story() -> None:
        harness = harness_of("ACME")
        harness.cluster.put(replace(of("free", "a", 30), settings=mails(True)))
        await harness.start()
        await harness.live(10)
        assert ready(harness, "free").reason == Reason.CONFLICT
        assert harness.zitadel.own["a"] is False
        await harness.stop()
        search = harness.zitadel.search
        break_searches(harness, HTML)
        await harness.start()
        await harness.live(700)
        assert harness.zitadel.own["a"] is False
        instead_of(harness.zitadel.search).call(search)
        await harness.live(60)
        assert ready(harness, "named").status == "True"
        assert ready(harness, "free").reason == Reason.CONFLICT
        await harness.stop()

    run(story())


@pytest.mark.parametrize("restart", [False, True])
def test_a_deletion_that_waits_for_a_look_up_says_so(restart: bool) -> None:
    """It says what to edit, and ends once the name is resolved."""

    async def story() -> None:
        harness = harness_of("ACME")
        await harness.start()
        await harness.live(10)
        search = harness.zitadel.search
        if restart:
            await harness.stop()
        calls = break_searches(harness, HTML)
        if restart:
            await harness.start()
        await within(PROBED, lambda: calls[0] > 0, harness)
        harness.seen(replace(stored(harness, "named"), deleting=True, generation=2))
        await harness.live(60)
        condition = ready(harness, "named")
        assert HTML.message in condition.message
        assert "spec.deletionPolicy" in condition.message
        instead_of(harness.zitadel.search).call(search)
        await harness.live(60)
        assert PolicyKey("named", "p") not in harness.cluster.policies
        assert "a" not in harness.zitadel.own
        await harness.stop()

    run(story())
