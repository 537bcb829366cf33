"""Helpers for tests of the two sides: writes, GETs, and missed events."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.api import ACME, POLICY, Api, outcome

OK = (200, 0, "")
FAILS = (500, 13, "CRDB-pKtsr")
"""What a GET answers while the projection tries to insert a row that is there."""

EXISTS = (409, 6, "Org-xa08n2")
SAME = (400, 9, "Org-ioqnxz")
NO_PUT = (404, 5, "ORG-x029n3")
NO_DELETE = (404, 5, "ORG-x029n1s")

INHERITED = (True, True)
"""What a GET says at the start: the instance's policy, mails are on."""

WINDOW = timedelta(seconds=5)
"""So long the failing insert is tried unless a switch says otherwise."""


class Time:
    """The clock of an emulator, which a test moves."""

    def __init__(self) -> None:
        """Start on some day."""
        self.now = datetime(2026, 9, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time of day."""
        return self.now

    def pass_by(self, length: timedelta) -> None:
        """Move the time."""
        self.now += length


async def lose(api: Api, kind: str, **where: Any) -> None:
    """Let the next event of a kind be lost."""
    answer = await api.control("POST", "losses", {"kind": kind, **where})
    assert answer.status_code == 201, answer.text


async def losses(api: Api) -> list[dict[str, Any]]:
    """Return the events that are still to be lost."""
    listed: list[dict[str, Any]] = (await api.control("GET", "losses")).json()
    return listed


async def behave(api: Api, **switches: Any) -> None:
    """Set these switches, and reset all others."""
    (await api.control("PUT", "behavior", switches)).raise_for_status()


async def write(api: Api, method: str, value: bool = False, org: str = ACME) -> Any:
    """Return the outcome of a write of an organization's policy."""
    return outcome(await api.write(method, org, value))


async def seen(api: Api, org: str | None = ACME) -> tuple[bool, bool]:
    """Return what a GET shows: whether the policy is inherited, and its value."""
    policy = await api.policy(org)
    return policy.get("isDefault", False), policy.get("passwordChange", False)


async def get(api: Api, path: str = POLICY, org: str = ACME) -> Any:
    """Return the outcome of a GET."""
    return outcome(await api.call("GET", path, org))


async def miss_added(api: Api, value: bool) -> None:
    """Make the projection miss the first policy of ACME."""
    await lose(api, "added")
    assert await write(api, "POST", value) == OK


async def miss_changed(api: Api, shown: bool, written: bool) -> None:
    """Make the projection miss the change of ACME's policy."""
    assert await write(api, "POST", shown) == OK
    await lose(api, "changed")
    assert await write(api, "PUT", written) == OK


async def miss_removed(api: Api, shown: bool) -> None:
    """Make the projection miss the removal of ACME's policy."""
    assert await write(api, "POST", shown) == OK
    await lose(api, "removed")
    assert await write(api, "DELETE") == OK


async def assert_both_sides_agree(api: Api, value: bool | None) -> None:
    """Check that writes and reads agree on the value, or None for none."""
    if value is None:
        assert await seen(api) == INHERITED
        assert await write(api, "PUT", True) == NO_PUT
        assert await write(api, "DELETE") == NO_DELETE
    else:
        assert await seen(api) == (False, value)
        assert await write(api, "PUT", value) == SAME
        assert await write(api, "POST", value) == EXISTS
    assert await losses(api) == []
