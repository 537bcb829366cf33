"""A few losses among many policies, and what looks like a loss but is none."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cluster.conftest import System, condition_in
from support.kube_calls import read_all
from support.planes import ready_plane
from support.running import (
    OWN_NAMESPACE,
    EmulatorProcess,
    OperatorProcess,
    create_secret,
)
from support.sides import (
    POLICY,
    edit,
    lose,
    repair_notes,
    repairs,
    world_of_its_own,
    writes_to,
)
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

pytestmark = [pytest.mark.clock, pytest.mark.timeout(600)]

COUNT = 500
LOSERS = 5
OTHERS = 10
EXTRA = 4
"""Writes that a loss may cost beside the one that was asked for."""

WITHIN = 60.0
"""Seconds from the write whose event is lost to the one that repairs it."""

POLICY_EVENTS = {f"org.policy.notification.{kind}" for kind in ("added", "changed")}

LIST_INTERVAL = 2.0
"""Seconds between two looks at all policies: each costs the API server a second."""


@contextmanager
def new_plane() -> Iterator[ControlPlane]:
    """Run a control plane with the CRDs and nothing else."""
    with ready_plane() as plane:
        yield plane


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """A separate control plane, without the policies of other tests."""
    with new_plane() as plane:
        yield plane


def apply(plane: ControlPlane, orgs: list[str], *, value: bool) -> None:
    """Set a value for all organizations with one command."""
    documents = [
        {
            "apiVersion": "zitadel-notification.dev/v1alpha1",
            "kind": "NotificationPolicy",
            "metadata": {"name": f"p{number}", "namespace": OWN_NAMESPACE},
            "spec": {
                "scope": "Organization",
                "instanceRef": {"name": "shared"},
                "organization": {"id": org},
                "passwordChange": value,
                "deletionPolicy": "Retain",
            },
        }
        for number, org in enumerate(orgs)
    ]
    text = "\n---\n".join(map(json.dumps, documents))
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=text)


def ready(plane: ControlPlane) -> int:
    """Return the number of policies that are Ready for their newest spec."""
    return sum(
        condition_in(body, "Ready")[0] == "True"
        and body["status"]["observedGeneration"] == body["metadata"]["generation"]
        for body in read_all(plane, "znp", OWN_NAMESPACE)
    )


def require_phase(
    system: System, orgs: list[str], losers: list[str], since: int, *, value: bool
) -> float:
    """Check the cost of one change of all policies, and their final state.

    Args:
        system: The world after the phase.
        orgs: The organizations that have policies.
        losers: The organizations whose event was lost.
        since: The number of requests about policies before the phase.
        value: The wanted value.

    Returns:
        The longest time from a lost write to the last one that repairs it, in seconds.
    """
    writes = [
        r for r in system.emulator.requests(POLICY)[since:] if r["method"] != "GET"
    ]
    made = Counter(r["organization"] for r in writes)
    assert made.keys() == set(orgs)
    assert {made[org] for org in orgs if org not in losers} == {1}
    assert all(1 < made[org] <= 1 + EXTRA for org in losers)
    for org in orgs:
        shown = system.emulator.policy(org)
        assert shown.get("passwordChange", False) is value
        assert "isDefault" not in shown
    longest = 0.0
    for org in losers:
        times = [r["time"] for r in writes if r["organization"] == org]
        longest = max(longest, times[-1] - times[0])
    assert longest < WITHIN
    return longest


def test_five_of_five_hundred_lose_an_event_and_all_are_as_wanted(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """All are created, then edited; other policies get no extra write."""
    rate = {"requestsPerSecond": 1000, "burst": 1000}
    more = ("--organizations", str(COUNT + OTHERS))
    with world_of_its_own(plane, tmp_path, *more, rateLimit=rate) as system:
        found = system.emulator.call("GET", "/emulator/v1/organizations")
        ids = [organization["id"] for organization in found][1:]
        orgs, others = ids[:COUNT], ids[COUNT:]
        assert len(others) == OTHERS
        step = COUNT // LOSERS
        phases = {"added": orgs[3::step], "changed": orgs[50::step]}
        for value, (kind, losers) in enumerate(phases.items()):
            for org in losers:
                lose(system, kind, org)
            since = len(system.emulator.requests(POLICY))
            apply(plane, orgs, value=bool(value))
            eventually(
                lambda: ready(plane) == COUNT, 240, f"{kind}: Ready", LIST_INTERVAL
            )
            assert system.emulator.call("GET", "/emulator/v1/losses") == []
            longest = require_phase(system, orgs, losers, since, value=bool(value))
            print(f"{kind}: in force after {longest:.1f} s at most")  # noqa: T201
        log = system.emulator.call("GET", "/emulator/v1/events")
        written = {e["aggregate"] for e in log if e["type"] in POLICY_EVENTS}
        assert written == set(orgs)
        assert repairs(system.operator, "added") == LOSERS
        assert repairs(system.operator) == 2 * LOSERS
        eventually(lambda: len(repair_notes(system, OWN_NAMESPACE)) == 2 * LOSERS)


def test_a_read_side_that_is_late_has_lost_nothing(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """It is half a second late: no extra write, no report."""
    with world_of_its_own(plane, tmp_path) as system:
        late = {"stale_milliseconds": 500}
        system.emulator.call("PUT", "/emulator/v1/behavior", late)
        plane.kubectl("create", "namespace", "late")
        orgs = [system.organization() for _ in range(8)]
        names = [f"p{number}" for number in range(len(orgs))]
        for name, org in zip(names, orgs, strict=True):
            spec = {"passwordChange": False, "deletionPolicy": "Reset"}
            system.policy("late", name, org, **spec)
        for name in names:
            system.wait_for("late", name)
            edit(system, "late", name, value=True)
        for name, org in zip(names, orgs, strict=True):
            system.wait_for("late", name)
            assert system.emulator.policy(org)["passwordChange"] is True
            system.delete(name, "late")
        for name, org in zip(names, orgs, strict=True):
            system.gone("znp", name, "late")
            assert system.emulator.policy(org)["isDefault"] is True
            assert writes_to(system, org) == ["POST", "PUT", "DELETE"]
        assert repairs(system.operator) == 0
        assert repair_notes(system, "late") == []


def test_two_operators_that_want_different_values_are_no_loss(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """Each corrects the other's value, until it is contested.

    The second one may call it contested right after the first one, or never.
    """
    emulator = EmulatorProcess(tmp_path)
    with ExitStack() as running:
        running.enter_context(emulator.program)
        operators: dict[str, OperatorProcess] = {}
        systems: dict[str, System] = {}
        # In two clusters, because in one of them the second leaves the instance alone.
        planes = {"a": plane, "b": running.enter_context(new_plane())}
        for name, of_name in planes.items():
            of_name.kubectl("create", "namespace", f"team-{name}")
            create_secret(of_name, "zitadel-credentials")
            (tmp_path / name).mkdir()
            operators[name] = OperatorProcess(of_name, tmp_path / name)
            running.enter_context(operators[name].program)
            folder = tmp_path / name
            systems[name] = System(of_name, emulator, operators[name], folder)
            operators[name].wait_ready()
            systems[name].instance("shared", emulator.url)
            systems[name].wait_for("", "shared", kind="zni")
        org = systems["a"].organization()
        for name, system in systems.items():
            system.policy(f"team-{name}", "p", org, passwordChange=name == "a")
        reasons: set[str] = set()

        def contested() -> bool:
            found = []
            for name, system in systems.items():
                body = system.get("znp", "p", f"team-{name}") or {}
                conditions = body.get("status", {}).get("conditions", ())
                reasons.update(condition["reason"] for condition in conditions)
                found += [c["reason"] for c in conditions if c["type"] == "InSync"]
            return "Contested" in found

        eventually(contested, 150, "one of the two gives way", every=1)
        time.sleep(10)
        contested()
        assert "ZitadelInconsistent" not in reasons
        for name, operator in operators.items():
            assert repairs(operator) == 0
            assert repair_notes(systems[name], f"team-{name}") == []
            assert operator.program.stop() == 0
        assert len(writes_to(systems["a"], org)) >= 2 * 3
