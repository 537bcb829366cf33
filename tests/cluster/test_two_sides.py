"""ZITADEL's read side loses an event: each row of the table, with real processes.

More stories run in virtual time (tests/unit/test_engine_two_sides.py).
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.conftest import System
from support.audit import AuditLog
from support.planes import ready_plane
from support.sides import (
    DRIFT,
    EVENTS,
    POLICY,
    busy_answers,
    edit,
    lose,
    repair_notes,
    repairs,
    require_agreement,
    require_repair,
    require_shown,
    restart,
    wait_for_writes,
    world_of_its_own,
    writes_to,
)
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

pytestmark = pytest.mark.clock

EXTRA = 4
"""Writes that a loss may cost beside the one that was asked for."""

KILLED_AFTER = [0, 1, 3]
"""Writes to the organization after which the operator is killed; 0: it is not.

After one the contradiction is not a fact yet; after three a repair is under way.
"""

BEHIND_FOR = 30.0
"""Seconds for which GETs may be older than the log before anything is written."""

STANDING = 5
"""Policies that are changed while a read side stands still."""


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane on which only the operators of these tests act."""
    with ready_plane() as plane:
        yield plane


@pytest.fixture
def where(request: pytest.FixtureRequest, plane: ControlPlane) -> str:
    """Create a namespace for the test."""
    name = f"sides-{abs(hash(request.node.name)) % 10**8}"
    plane.kubectl("create", "namespace", name)
    return name


@pytest.fixture
def sides(plane: ControlPlane, tmp_path: Path) -> Iterator[System]:
    """An emulator and an operator for this test only."""
    with world_of_its_own(plane, tmp_path) as made:
        yield made


def kill_after(system: System, org: str, writes: int, before: int = 0) -> None:
    """Kill the operator after this many writes to an organization, if any."""
    if writes:
        wait_for_writes(system, org, before + writes)
        restart(system)


def require_few_writes(system: System, org: str, killed: int, before: int = 0) -> None:
    """Check for at most four extra writes; a restart begins its counts anew."""
    made = len(writes_to(system, org)) - before
    assert 1 < made <= (1 + EXTRA) * (2 if killed else 1)


def require_reported(system: System, namespace: str, missed: str, killed: int) -> None:
    """Check that one repair is reported and counted, unless its process was killed."""
    if killed < KILLED_AFTER[-1]:
        require_repair(system, namespace, "p", missed)
    else:
        assert len(repair_notes(system, namespace, "p")) <= 1


@pytest.mark.parametrize("killed", KILLED_AFTER)
def test_an_added_event_is_lost_at_a_creation(
    sides: System, where: str, killed: int
) -> None:
    """In the end the organization has its policy, and GETs show it."""
    org = sides.organization()
    lose(sides, "added", org)
    sides.policy(where, "p", org, passwordChange=False)
    kill_after(sides, org, killed)
    body = sides.wait_for(where, "p", patience=60)
    assert sides.emulator.policy(org).get("passwordChange", False) is False
    assert "isDefault" not in sides.emulator.policy(org)
    require_shown(sides, body, org)
    require_few_writes(sides, org, killed)
    require_reported(sides, where, "added", killed)
    assert "lastDrift" not in body["status"]


@pytest.mark.parametrize("killed", KILLED_AFTER)
def test_a_changed_event_is_lost_at_an_edit(
    sides: System, where: str, killed: int
) -> None:
    """In the end the new value is in force, and Ready is about it."""
    org = sides.organization()
    sides.policy(where, "p", org, passwordChange=False)
    sides.wait_for(where, "p")
    lose(sides, "changed", org)
    edit(sides, where, "p", value=True)
    kill_after(sides, org, killed, before=1)
    body = sides.wait_for(where, "p", patience=60)
    assert sides.emulator.policy(org)["passwordChange"] is True
    require_shown(sides, body, org)
    require_few_writes(sides, org, killed, before=1)
    require_reported(sides, where, "changed", killed)
    assert "lastDrift" not in body["status"]


@pytest.mark.parametrize("killed", KILLED_AFTER)
def test_a_removed_event_is_lost_at_a_deletion(
    sides: System, where: str, killed: int
) -> None:
    """The object stays until a GET shows that the organization inherits."""
    org = sides.organization()
    sides.policy(where, "p", org, passwordChange=False, deletionPolicy="Reset")
    sides.wait_for(where, "p")
    lose(sides, "removed", org)
    sides.delete("p", where)
    kill_after(sides, org, killed, before=1)

    def is_gone() -> bool:
        return sides.get("znp", "p", where) is None

    eventually(is_gone, 60, "the policy is gone", every=0.5)
    assert sides.emulator.policy(org)["isDefault"] is True
    require_few_writes(sides, org, killed, before=1)
    require_reported(sides, where, "removed", killed)


def stale_row(system: System, org: str) -> None:
    """Let GETs show an own policy, true, that is removed according to the log."""
    system.emulator.call("POST", POLICY, {"passwordChange": True}, org)
    lose(system, "removed", org)
    system.emulator.call("DELETE", POLICY, None, org)
    assert system.emulator.policy(org)["passwordChange"] is True


@pytest.mark.timeout(240)
@pytest.mark.parametrize("killed", KILLED_AFTER)
def test_a_removed_event_was_lost_before_a_take_over(
    plane: ControlPlane, tmp_path: Path, where: str, killed: int
) -> None:
    """No GET succeeds for a while: other policies stay as they are.

    The second policy is polled every ten seconds, so also during this time.
    """
    with world_of_its_own(plane, tmp_path, driftDetection=DRIFT) as system:
        retry = {"projection_retry_milliseconds": 12_000}
        system.emulator.call("PUT", "/emulator/v1/behavior", retry)
        other, org = system.organization(), system.organization()
        system.policy(where, "q", other, passwordChange=False)
        system.wait_for(where, "q")
        stale_row(system, org)
        before = len(writes_to(system, org))
        instance = system.get("zni", "shared")
        log = AuditLog(plane)
        system.policy(where, "p", org, passwordChange=False)
        kill_after(system, org, killed, before)
        body = system.wait_for(where, "p", patience=90)
        assert busy_answers(system, org)
        if killed < KILLED_AFTER[-1]:  # otherwise the new process checks it later
            assert busy_answers(system, other)
        assert system.emulator.policy(org).get("passwordChange", False) is False
        assert "isDefault" not in system.emulator.policy(org)
        require_shown(system, body, org)
        require_few_writes(system, org, killed, before)
        assert len(writes_to(system, other)) == 1
        require_reported(system, where, "removed", killed)
        assert not log.by_operator("notificationpolicies", where, "q")
        assert system.condition("znp", "q", where, "Ready") == ("True", "Succeeded")
        after = system.get("zni", "shared")
        assert instance is not None
        assert after is not None
        assert after["status"]["conditions"] == instance["status"]["conditions"]


def answered_gets(system: System, org: str) -> int:
    """Return the number of answered GETs of an organization's policy."""
    requests = system.emulator.requests(POLICY)
    return sum(r["method"] == "GET" and r["organization"] == org for r in requests)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("missed", "killed"), [("changed", False), ("changed", True), ("removed", False)]
)
def test_what_others_wrote_is_lost_and_the_log_shows_it(
    plane: ControlPlane, tmp_path: Path, where: str, missed: str, killed: bool
) -> None:
    """GETs always show the wanted value, but the log has a newer event.

    After half a minute the wanted value is written once more.
    """
    with world_of_its_own(plane, tmp_path, driftDetection=EVENTS) as system:
        org = system.organization()
        system.policy(where, "p", org, passwordChange=False)
        system.wait_for(where, "p")
        lose(system, missed, org)
        verb = "DELETE" if missed == "removed" else "PUT"
        body = {"passwordChange": True} if verb == "PUT" else None
        system.emulator.call(verb, POLICY, body, org)
        began, looks = time.monotonic(), answered_gets(system, org)
        if killed:
            eventually(
                lambda: answered_gets(system, org) > looks, 30, "a pass after the event"
            )
            restart(system)
        wait_for_writes(system, org, 3, patience=90)
        assert time.monotonic() - began >= BEHIND_FOR
        require_repair(system, where, "p", missed)
        shown = system.wait_for(where, "p")
        require_shown(system, shown, org)
        assert "lastDrift" not in shown["status"]
        ours = writes_to(system, org)[2:]
        assert ours == (["PUT", "POST"] if missed == "removed" else ["PUT"])
        require_agreement(system, org, value=False)


@pytest.mark.timeout(300)
def test_a_get_that_is_older_than_our_own_write_is_ignored(
    sides: System, where: str
) -> None:
    """An edit is reverted at once, and an object is created again."""
    org = sides.organization()
    sides.policy(where, "p", org, passwordChange=False)
    sides.wait_for(where, "p")
    edit(sides, where, "p", value=True)
    sides.wait_for(where, "p")
    sides.emulator.call("PUT", "/emulator/v1/behavior", {"stale_reads": 1})
    edit(sides, where, "p", value=False)
    sides.wait_for(where, "p")
    assert writes_to(sides, org) == ["POST", "PUT", "PUT"]
    sides.delete("p", where)
    sides.gone("znp", "p", where)
    sides.emulator.call("PUT", "/emulator/v1/behavior", {"stale_reads": 1})
    sides.policy(where, "p", org, passwordChange=False, deletionPolicy="Restore")
    body = sides.wait_for(where, "p")
    assert writes_to(sides, org) == ["POST", "PUT", "PUT", "DELETE", "POST"]
    assert body["status"]["original"]["isDefault"] is True


def test_a_read_side_that_stands_still_is_reported_by_the_instance(
    sides: System, where: str
) -> None:
    """There are few writes; later all is as wanted without a repair."""
    orgs = {f"p{number}": sides.organization() for number in range(STANDING)}
    for name, org in orgs.items():
        sides.policy(where, name, org, passwordChange=False)
    for name in orgs:
        sides.wait_for(where, name)
    before = len(sides.emulator.writes())
    stopped = {"projection_stopped": True}
    sides.emulator.call("PUT", "/emulator/v1/behavior", stopped)
    for name in orgs:
        edit(sides, where, name, value=True)
    inconsistent = ("False", "ZitadelInconsistent")
    sides.wait_for("", "shared", inconsistent, kind="zni", patience=90)
    for name in orgs:
        sides.wait_for(where, name, inconsistent, patience=60)
    stalled = sides.condition("zni", "shared", "", "Stalled")
    assert stalled == ("True", "ZitadelInconsistent")
    made = len(sides.emulator.writes()) - before
    assert STANDING <= made <= STANDING + 2 * EXTRA
    looks = {org: answered_gets(sides, org) for org in orgs.values()}
    time.sleep(75)
    assert all(answered_gets(sides, org) > count for org, count in looks.items())
    assert len(sides.emulator.writes()) - before == made
    sides.emulator.call("PUT", "/emulator/v1/behavior", {})
    for name, org in orgs.items():
        body = sides.wait_for(where, name, patience=90)
        require_shown(sides, body, org)
        assert body["status"]["passwordChange"] is True
        require_agreement(sides, org, value=True)
    sides.wait_for("", "shared", kind="zni")
    assert repairs(sides.operator) == 0
    assert repair_notes(sides, where) == []
