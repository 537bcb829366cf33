"""Several processes: one acts, the next takes over in time, never two write."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import condition_in
from support.audit import AuditLog
from support.kube_calls import read_all
from support.planes import ready_plane
from support.replicas import Disturber, Fleet, Replica, any_after, first_after
from support.running import OWN_NAMESPACE, EmulatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

pytestmark = pytest.mark.clock

ORGANIZATIONS = 160
SETTLED = 120
DISTURBED = 30
PARTED = 5.0 * 2 / 3
"""Seconds after which a leader with a lease of 5 s that cannot renew it gives up."""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    folder = tmp_path_factory.mktemp("zitadel")
    emulator = EmulatorProcess(folder, 0, "--organizations", str(ORGANIZATIONS))
    with emulator.program:
        yield emulator


@pytest.fixture(scope="module")
def plane(emulator: EmulatorProcess) -> Iterator[ControlPlane]:
    """A separate cluster; one instance is polled often, the other one rarely."""
    with ready_plane() as plane:
        create_secret(plane, "token")
        for name, interval in (("quiet", "10m"), ("busy", "10s")):
            apply(plane, [instance(name, emulator.url, interval)])
        yield plane


@pytest.fixture(scope="module")
def organizations(emulator: EmulatorProcess) -> list[str]:
    """The ids of the organizations, without the first two."""
    found = emulator.call("GET", "/emulator/v1/organizations")
    return [organization["id"] for organization in found][2:]


@pytest.fixture
def fleet(
    plane: ControlPlane, emulator: EmulatorProcess, tmp_path: Path
) -> Iterator[Fleet]:
    fleet = Fleet(plane, emulator, tmp_path)
    yield fleet
    fleet.stop()
    where = f"--namespace={OWN_NAMESPACE}"
    plane.kubectl("delete", "lease", "--all", where)


def instance(name: str, url: str, interval: str) -> dict[str, Any]:
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "ZitadelInstance",
        "metadata": {"name": name},
        "spec": {
            "url": url,
            "allowInsecureHTTP": True,
            "credentials": {"personalAccessToken": {"secretRef": {"name": "token"}}},
            "driftDetection": {"method": "Poll", "pollInterval": interval},
            "rateLimit": {"requestsPerSecond": 1000, "burst": 1000},
        },
    }


def policy(name: str, organization: str, instance: str = "quiet") -> dict[str, Any]:
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicy",
        "metadata": {"name": name, "namespace": OWN_NAMESPACE},
        "spec": {
            "scope": "Organization",
            "instanceRef": {"name": instance},
            "organization": {"id": organization},
            "passwordChange": True,
        },
    }


def apply(plane: ControlPlane, objects: list[dict[str, Any]]) -> None:
    documents = "\n---\n".join(map(json.dumps, objects))
    plane.kubectl("apply", "-f", "-", stdin=documents)


def set_policy(plane: ControlPlane, name: str, *, value: bool) -> None:
    """Apply a policy, which the leader writes."""
    patch = json.dumps({"spec": {"passwordChange": value}})
    where = (f"--namespace={OWN_NAMESPACE}", "--type=merge")
    plane.kubectl("patch", "znp", name, *where, "--patch", patch)


def wait_settled(plane: ControlPlane) -> None:
    """Wait until all policies are Ready for their newest spec."""

    def is_settled(body: dict[str, Any]) -> bool:
        observed = body.get("status", {}).get("observedGeneration")
        is_new = observed == body["metadata"]["generation"]
        return bool(is_new and condition_in(body, "Ready")[0] == "True")

    def settled() -> bool:
        found = read_all(plane, "znp", OWN_NAMESPACE)
        return bool(found) and all(map(is_settled, found))

    eventually(settled, 60, "all policies Ready")


def test_a_take_over_of_settled_policies_costs_next_to_nothing(
    fleet: Fleet, organizations: list[str]
) -> None:
    """It takes at most ten calls to ZITADEL, and no write."""
    first, second = fleet.start(2, "5s")
    settled = [policy(f"p{n}", organizations[n]) for n in range(SETTLED)]
    apply(fleet.plane, settled)
    wait_settled(fleet.plane)
    assert second.zitadel.requests == []
    assert second.process.probe("health", "/readyz") == 200
    audit = AuditLog(fleet.plane)
    first.process.program.kill()
    eventually(lambda: fleet.holder() == second.name, 10, "the second one leads")
    eventually(lambda: second.zitadel.requests, 5, "a call of the second one")
    time.sleep(2)
    assert len(second.zitadel.requests) <= 10
    assert second.zitadel.writes() == []
    for kind in ("notificationpolicies", "notificationpolicysets", "zitadelinstances"):
        assert audit.by_operator(kind) == []


def test_one_of_three_acts_and_the_next_takes_over(
    fleet: Fleet, organizations: list[str], record_property: Any
) -> None:
    """kill -9 takes duration and two retries; SIGTERM three seconds."""
    plane = fleet.plane
    replicas = fleet.start(3, "5s")
    apply(plane, [policy("watched", organizations[-1])])
    first = replicas[0]
    first_after(first, 0, 10)
    wait_settled(plane)
    for other in replicas[1:]:
        assert other.zitadel.requests == []
        assert other.process.probe("health", "/readyz") == 200
        assert metric(other) == 0
    assert metric(first) == 1

    killed = time.monotonic()
    first.process.program.kill()
    set_policy(plane, "watched", value=False)
    second = any_after(replicas[1:], killed, 10)
    took = first_after(second, killed, 1)
    record_property("kill -9, 5 s lease", round(took, 2))
    assert took < 5 + 2 * 5 * 2 / 15
    wait_settled(plane)

    (third,) = [r for r in replicas[1:] if r is not second]
    assert third.zitadel.requests == []
    took = hand_over(plane, second, third, value=True)
    record_property("SIGTERM, 5 s lease", round(took, 2))
    wait_settled(plane)
    lease = fleet.lease()
    assert lease["leaseTransitions"] == 2
    assert lease["leaseDurationSeconds"] == 5
    assert third.process.program.stop() == 0
    assert fleet.lease()["holderIdentity"] == ""


def test_a_write_that_is_under_way_ends_before_the_hand_over(
    fleet: Fleet, organizations: list[str], record_property: Any
) -> None:
    """The lease has the usual 15 s, and ZITADEL is slow."""
    plane = fleet.plane
    first, second = fleet.start(2, "15s")
    apply(plane, [policy("watched", organizations[-1])])
    wait_settled(plane)
    first.zitadel.delay(0.4)
    calls = len(first.zitadel.requests)
    set_policy(plane, "watched", value=False)
    # The GET has been sent; the write follows, and is delayed.
    eventually(lambda: len(first.zitadel.requests) > calls, 5, "a call")
    time.sleep(0.1)
    stopped_at = time.monotonic()
    took = hand_over(plane, first, second, value=True)
    assert max(first.zitadel.writes()) > stopped_at
    record_property("SIGTERM, 15 s lease", round(took, 2))
    assert max(first.zitadel.writes()) < min(second.zitadel.writes())
    wait_settled(plane)
    assert fleet.emulator.policy(organizations[-1])["passwordChange"] is True


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_a_leader_without_kubernetes_writes_nothing_after_the_next_one(
    fleet: Fleet, organizations: list[str], record_property: Any, how: str
) -> None:
    """It ends with an error before the next one acts."""
    first, second, disturber = disturbed(fleet, organizations)
    parted = time.monotonic()
    getattr(first.kubernetes, how)()
    assert first.process.program.wait(20) == 1
    ended = time.monotonic() - parted
    begun = first_after(second, 0, 15)
    eventually(lambda: len(second.zitadel.writes()) > 5, 10, "more writes")
    disturber.stop()
    last = max(first.zitadel.writes())
    record_property("last write after", round(last - parted, 2))
    record_property("end after", round(ended, 2))
    record_property("next one's first write after", round(begun - parted, 2))
    assert last > parted
    assert last < parted + 5 - 1
    assert last < begun
    assert "is lost" in first.process.program.tail(5)
    assert "Traceback" not in first.process.log.read_text()


def test_a_frozen_leader_writes_nothing_when_it_thaws(
    fleet: Fleet, organizations: list[str]
) -> None:
    """It ends with an error, because its lease has expired."""
    first, second, disturber = disturbed(fleet, organizations)
    pid = first.process.program.pid
    os.kill(pid, signal.SIGSTOP)
    begun = first_after(second, 0, 15)
    eventually(lambda: len(second.zitadel.writes()) > 5, 10, "more writes")
    calls = len(first.zitadel.requests)
    os.kill(pid, signal.SIGCONT)
    assert first.process.program.wait(10) == 1
    disturber.stop()
    assert max(first.zitadel.writes()) < begun
    assert len(first.zitadel.requests) == calls


def disturbed(
    fleet: Fleet, organizations: list[str]
) -> tuple[Replica, Replica, Disturber]:
    """Return two replicas, the first of which constantly corrects policies."""
    chosen = organizations[SETTLED : SETTLED + DISTURBED]
    first, second = fleet.start(2, "5s")
    apply(fleet.plane, [policy(f"d{n}", o, "busy") for n, o in enumerate(chosen)])
    wait_settled(fleet.plane)
    disturber = Disturber(fleet.emulator, chosen)
    fleet.disturbers.append(disturber)
    first_after(first, time.monotonic(), 15)
    return first, second, disturber


def test_without_the_right_to_leases_it_waits_and_says_what_to_grant(
    fleet: Fleet,
) -> None:
    """It is ready but idle; the log says it once, and a grant helps."""
    plane, inside = fleet.plane, f"--namespace={OWN_NAMESPACE}"
    plane.kubectl("create", "serviceaccount", "limited", inside)
    token = plane.kubectl("create", "token", "limited", inside).stdout.strip()
    account = f"--serviceaccount={OWN_NAMESPACE}:limited"
    group = "zitadel-notification.dev"
    plurals = ("notificationpolicies", "notificationpolicysets", "zitadelinstances")
    kinds = [f"{plural}.{group}" for plural in plurals]
    ours = ",".join(kinds + [f"{kind}/status" for kind in kinds])
    reads = ("--verb=get,list,watch,patch", f"--resource={ours}")
    plane.kubectl("create", "clusterrole", "limited", *reads)
    plane.kubectl(
        "create", "clusterrolebinding", "limited", "--clusterrole=limited", account
    )
    replica = fleet.start_one("5s", token)
    replica.process.wait_ready()
    eventually(lambda: "get, create and update on leases" in log_of(replica), 10)
    time.sleep(2)
    assert log_of(replica).count("get, create and update on leases") == 1
    assert replica.zitadel.requests == []
    leases = ("--verb=get,create,update", "--resource=leases.coordination.k8s.io")
    plane.kubectl("create", "role", "leases", *leases, inside)
    plane.kubectl("create", "rolebinding", "leases", "--role=leases", account, inside)
    eventually(lambda: fleet.holder() == replica.name, 10, "it leads")


def log_of(replica: Replica) -> str:
    """Return the log of a replica."""
    return replica.process.log.read_text()


def metric(replica: Replica) -> int:
    """Return the value of the leader metric."""
    for line in replica.process.metrics().splitlines():
        if line.startswith("leader_election_master_status{"):
            return int(float(line.split()[-1]))
    raise AssertionError("no such metric")


def hand_over(plane: ControlPlane, old: Replica, new: Replica, *, value: bool) -> float:
    """Stop the leader with SIGTERM; return the seconds until the next one acts."""
    stopped_at = time.monotonic()
    os.kill(old.process.program.pid, signal.SIGTERM)
    set_policy(plane, "watched", value=value)
    took = first_after(new, stopped_at, 10)
    assert took < 3
    assert old.process.program.wait(5) == 0
    return took
