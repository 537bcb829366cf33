"""NotificationPolicySets on a real API server, with a real operator and emulator."""

import itertools
import json
import time
from datetime import timedelta
from typing import Any

from cluster.conftest import System
from cluster.fleets import (
    LABEL,
    SETS,
    apply_set,
    counts,
    cover,
    make,
    named,
    own,
    wait_ready,
)
from support.audit import AuditLog
from support.kube_calls import read
from support.waiting import eventually


def test_a_set_covers_what_it_selects_and_what_comes(
    system: System, namespace: str
) -> None:
    """Also an organization that is made or renamed later; others are left alone."""
    first, second = (make(system, f"{namespace}-in-{n}") for n in range(2))
    other = make(system, f"{namespace}-out")
    body = cover(
        system, namespace, "all", organizations=named(f"{namespace.upper()}-IN-*")
    )
    assert body["status"]["organizations"]["matched"] == 2
    assert own(system, first)
    assert own(system, second)
    assert not own(system, other)
    policy = system.get("znp", f"all-{first}", namespace)
    assert policy is not None
    assert policy["metadata"]["labels"] == {LABEL: "all"}
    (owner,) = policy["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"]) == ("NotificationPolicySet", True)
    assert owner["blockOwnerDeletion"] is False
    assert policy["spec"]["deletionPolicy"] == "Retain"

    third = make(system, f"{namespace}-in-3")
    eventually(lambda: own(system, third), 30, "the new organization")
    path = f"/emulator/v1/organizations/{other}"
    system.emulator.call("PUT", path, {"name": f"{namespace}-in-other"})
    eventually(lambda: own(system, other), 30, "the renamed organization")
    wanted = {"matched": 4, "ready": 4}
    eventually(
        lambda: counts(system, namespace, "all").items() >= wanted.items(),
        30,
        "four organizations",
    )


def test_its_status_is_written_once_in_two_seconds_at_most(
    system: System, audit: AuditLog, namespace: str
) -> None:
    """As fast as kubectl edits it, and its policies change; Kubernetes' log shows it.

    A write that an edit overtakes is refused, and is made over the edit at once.
    """
    orgs = [make(system, f"{namespace}-{n}") for n in range(3)]
    selection = named(f"{namespace}-*")
    end, value = time.monotonic() + 7, False
    while time.monotonic() < end:
        value = not value
        apply_set(system, namespace, "s", organizations=selection, passwordChange=value)
        time.sleep(0.15)
    apply_set(system, namespace, "s", organizations=selection)
    wait_ready(system, namespace, "s")
    assert all(own(system, org) for org in orgs)
    written = [
        write.time
        for write in audit.by_operator("notificationpolicysets", namespace)
        if write.subresource == "status" and write.code < 400
    ]
    assert len(written) >= 3  # a write that an edit overtakes is not among them
    distances = [after - before for before, after in itertools.pairwise(written)]
    assert min(distances) >= timedelta(seconds=2)


def test_who_no_longer_matches_leaves_as_the_set_says(
    system: System, namespace: str
) -> None:
    """A changed selection removes the policy; with Reset the organization inherits."""
    first, second = (make(system, f"{namespace}-{n}") for n in "ab")
    selection = named(f"{namespace}-*")
    cover(system, namespace, "some", organizations=selection, deletionPolicy="Reset")
    without = selection | {"exclude": [{"id": second}]}
    apply_set(system, namespace, "some", organizations=without, deletionPolicy="Reset")
    eventually(lambda: not own(system, second), 30, "the reset")
    system.gone("znp", f"some-{second}", namespace)
    wait_ready(system, namespace, "some")
    assert own(system, first)
    assert counts(system, namespace, "some")["matched"] == 1


def test_a_policy_of_its_own_overrules_a_set(system: System, namespace: str) -> None:
    """Whatever their age; when it goes, the set takes over without a reset."""
    org = make(system, f"{namespace}-x")
    cover(system, namespace, "most")
    system.policy(namespace, "exception", org, passwordChange=False)
    system.wait_for(namespace, f"most-{org}", ("True", "Overridden"))
    system.wait_for(namespace, "exception")
    assert system.emulator.policy(org).get("passwordChange", False) is False
    eventually(
        lambda: counts(system, namespace, "most").get("overridden") == 1, 30, "count"
    )
    body = read(system.plane, "znp", f"most-{org}", namespace)
    assert body is not None
    assert "finalizers" not in body["metadata"]
    assert "zitadel-notification.dev/original" not in json.dumps(
        body["metadata"].get("annotations", {})
    )
    system.delete("exception", namespace)
    system.wait_for(namespace, f"most-{org}")
    eventually(lambda: own(system, org), 30, "the set's setting")


def test_what_somebody_edits_or_deletes_is_put_back(
    system: System, namespace: str
) -> None:
    """The policies of a set are its own; the setting in ZITADEL stays meanwhile."""
    org = make(system, f"{namespace}-x")
    cover(system, namespace, deletionPolicy="Reset")
    name = f"s-{org}"
    edit = ("patch", "znp", name, "-n", namespace, "--type=merge", "-p")
    system.plane.kubectl(*edit, '{"spec":{"passwordChange":false}}')

    def is_back() -> bool:
        body = system.get("znp", name, namespace)
        return body is not None and body["spec"]["passwordChange"] is True

    eventually(is_back, 30, "the spec as the set makes it")
    before = system.get("znp", name, namespace)
    assert before is not None
    system.delete(name, namespace)

    def is_new() -> bool:
        body = system.get("znp", name, namespace)
        return body is not None and body["metadata"]["uid"] != before["metadata"]["uid"]

    eventually(is_new, 30, "the policy made anew")
    again = system.wait_for(namespace, name)
    assert own(system, org)
    assert again["status"]["original"] == before["status"]["original"]


def test_the_deletion_of_a_set_deletes_its_policies(
    system: System, namespace: str
) -> None:
    """Each undoes what the set asks for; with Restore what was there before."""
    org = make(system, f"{namespace}-x")
    cover(system, namespace, deletionPolicy="Restore")
    assert own(system, org)
    system.plane.kubectl("delete", SETS, "s", "-n", namespace, "--wait=false")
    system.gone(SETS, "s", namespace)
    system.gone("znp", f"s-{org}", namespace)
    assert system.emulator.policy(org)["isDefault"] is True


def test_too_many_of_anything_waits_for_a_person(
    system: System, namespace: str
) -> None:
    """More organizations than the limit add none; more removals need an approval."""
    orgs = [make(system, f"{namespace}-{n}") for n in range(3)]
    limits = {"organizations": 2, "removals": 1}
    spec: dict[str, Any] = {
        "organizations": named(f"{namespace}-*"),
        "deletionPolicy": "Reset",
    }
    apply_set(system, namespace, limits=limits, **spec)
    system.wait_for(namespace, "s", ("False", "TooManyOrganizations"), kind=SETS)
    assert not any(own(system, org) for org in orgs)
    limits["organizations"] = 3
    cover(system, namespace, limits=limits, **spec)
    spec["organizations"] = named(f"{namespace}-0")
    apply_set(system, namespace, limits=limits, **spec)
    body = system.wait_for(namespace, "s", ("False", "ApprovalRequired"), kind=SETS)
    assert all(own(system, org) for org in orgs)
    removal = body["status"]["removal"]
    assert removal["count"] == 2
    system.plane.kubectl(
        *("annotate", SETS, "s", "-n", namespace),
        f"zitadel-notification.dev/approve-removal={removal['digest']}",
    )
    wait_ready(system, namespace)
    eventually(lambda: not own(system, orgs[1]), 30, "the first reset")
    eventually(lambda: not own(system, orgs[2]), 30, "the second reset")
    assert own(system, orgs[0])


def test_a_set_that_is_deleted_by_kubectl_alone_may_leave_its_policies(
    system: System, namespace: str
) -> None:
    """A suspended set adds nothing, and suspends what there is."""
    org = make(system, f"{namespace}-x")
    cover(system, namespace)
    apply_set(system, namespace, suspend=True)

    def is_suspended() -> bool:
        body = system.get("znp", f"s-{org}", namespace)
        return body is not None and body["spec"].get("suspend") is True

    eventually(is_suspended, 30, "the suspended policy")
    later = make(system, f"{namespace}-y")
    apply_set(system, namespace)
    eventually(lambda: own(system, later), 60, "the organization that came meanwhile")
