"""NotificationPolicySets on a real API server, with a real operator and emulator."""

import json
from typing import Any

from cluster.conftest import World
from support.kube_calls import read
from support.waiting import eventually

SETS = "znps"
LABEL = "zitadel-notification.dev/set"


def make(world: World, name: str) -> str:
    """Create an organization with this name; return its id."""
    made = world.emulator.call("POST", "/management/v1/orgs", {"name": name})
    return str(made["id"])


def apply_set(world: World, namespace: str, name: str, /, **spec: Any) -> None:
    """Apply a set of the shared instance that turns mails on."""
    whole = {"instanceRef": {"name": "shared"}, "passwordChange": True, **spec}
    world.apply("NotificationPolicySet", name, whole, namespace)


def named(glob: str, **more: Any) -> dict[str, Any]:
    """Return a selection by name."""
    return {"include": [{"name": glob}], **more}


def counts(world: World, namespace: str, name: str) -> dict[str, int]:
    """Return the numbers in the status of a set."""
    body = world.get(SETS, name, namespace) or {}
    found: dict[str, int] = body.get("status", {}).get("organizations", {})
    return found


def own(world: World, organization: str) -> bool:
    """Return whether an organization has a policy of its own, which sends mails."""
    policy = world.emulator.policy(organization)
    return not policy.get("isDefault") and bool(policy.get("passwordChange"))


def wait_ready(world: World, namespace: str, name: str) -> dict[str, Any]:
    """Wait until a set is Ready with its newest spec."""
    return world.wait_for(namespace, name, kind=SETS, patience=60)


def test_a_set_covers_what_it_selects_and_what_comes(
    world: World, namespace: str
) -> None:
    """Also an organization that is made or renamed later; others are left alone."""
    first, second = (make(world, f"{namespace}-in-{n}") for n in range(2))
    other = make(world, f"{namespace}-out")
    apply_set(world, namespace, "all", organizations=named(f"{namespace.upper()}-IN-*"))
    body = wait_ready(world, namespace, "all")
    assert body["status"]["organizations"]["matched"] == 2
    assert own(world, first)
    assert own(world, second)
    assert not own(world, other)
    policy = world.get("znp", f"all-{first}", namespace)
    assert policy is not None
    assert policy["metadata"]["labels"] == {LABEL: "all"}
    (owner,) = policy["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"]) == ("NotificationPolicySet", True)
    assert owner["blockOwnerDeletion"] is False
    assert policy["spec"]["deletionPolicy"] == "Retain"

    third = make(world, f"{namespace}-in-3")
    eventually(lambda: own(world, third), 30, "the new organization")
    path = f"/emulator/v1/organizations/{other}"
    world.emulator.call("PUT", path, {"name": f"{namespace}-in-other"})
    eventually(lambda: own(world, other), 30, "the renamed organization")
    wanted = {"matched": 4, "ready": 4}
    eventually(
        lambda: counts(world, namespace, "all").items() >= wanted.items(),
        30,
        "four organizations",
    )


def test_who_no_longer_matches_leaves_as_the_set_says(
    world: World, namespace: str
) -> None:
    """A changed selection removes the policy; with Reset the organization inherits."""
    first, second = (make(world, f"{namespace}-{n}") for n in "ab")
    selection = named(f"{namespace}-*")
    apply_set(world, namespace, "some", organizations=selection, deletionPolicy="Reset")
    wait_ready(world, namespace, "some")
    without = selection | {"exclude": [{"id": second}]}
    apply_set(world, namespace, "some", organizations=without, deletionPolicy="Reset")
    eventually(lambda: not own(world, second), 30, "the reset")
    world.gone("znp", f"some-{second}", namespace)
    wait_ready(world, namespace, "some")
    assert own(world, first)
    assert counts(world, namespace, "some")["matched"] == 1


def test_a_policy_of_its_own_overrules_a_set(world: World, namespace: str) -> None:
    """Whatever their age; when it goes, the set takes over without a reset."""
    org = make(world, f"{namespace}-x")
    apply_set(world, namespace, "most", organizations=named(f"{namespace}-*"))
    wait_ready(world, namespace, "most")
    world.policy(namespace, "exception", org, passwordChange=False)
    world.wait_for(namespace, f"most-{org}", ("True", "Overridden"))
    world.wait_for(namespace, "exception")
    assert world.emulator.policy(org).get("passwordChange", False) is False
    eventually(
        lambda: counts(world, namespace, "most").get("overridden") == 1, 30, "count"
    )
    body = read(world.plane, "znp", f"most-{org}", namespace)
    assert body is not None
    assert "finalizers" not in body["metadata"]
    assert "zitadel-notification.dev/original" not in json.dumps(
        body["metadata"].get("annotations", {})
    )
    world.delete("exception", namespace)
    world.wait_for(namespace, f"most-{org}")
    eventually(lambda: own(world, org), 30, "the set's setting")


def test_what_somebody_edits_or_deletes_is_put_back(
    world: World, namespace: str
) -> None:
    """The policies of a set are its own; the setting in ZITADEL stays meanwhile."""
    org = make(world, f"{namespace}-x")
    apply_set(
        world,
        namespace,
        "s",
        organizations=named(f"{namespace}-*"),
        deletionPolicy="Reset",
    )
    wait_ready(world, namespace, "s")
    name = f"s-{org}"
    edit = ("patch", "znp", name, "-n", namespace, "--type=merge", "-p")
    world.plane.kubectl(*edit, '{"spec":{"passwordChange":false}}')

    def is_back() -> bool:
        body = world.get("znp", name, namespace)
        return body is not None and body["spec"]["passwordChange"] is True

    eventually(is_back, 30, "the spec as the set makes it")
    before = world.get("znp", name, namespace)
    assert before is not None
    world.delete(name, namespace)

    def is_new() -> bool:
        body = world.get("znp", name, namespace)
        return body is not None and body["metadata"]["uid"] != before["metadata"]["uid"]

    eventually(is_new, 30, "the policy made anew")
    again = world.wait_for(namespace, name)
    assert own(world, org)
    assert again["status"]["original"] == before["status"]["original"]


def test_the_deletion_of_a_set_deletes_its_policies(
    world: World, namespace: str
) -> None:
    """Each undoes what the set asks for; with Restore what was there before."""
    org = make(world, f"{namespace}-x")
    apply_set(
        world,
        namespace,
        "s",
        organizations=named(f"{namespace}-*"),
        deletionPolicy="Restore",
    )
    wait_ready(world, namespace, "s")
    assert own(world, org)
    world.plane.kubectl("delete", SETS, "s", "-n", namespace, "--wait=false")
    world.gone(SETS, "s", namespace)
    world.gone("znp", f"s-{org}", namespace)
    assert world.emulator.policy(org)["isDefault"] is True


def test_too_many_of_anything_waits_for_a_person(world: World, namespace: str) -> None:
    """More organizations than the limit add none; more removals need an approval."""
    orgs = [make(world, f"{namespace}-{n}") for n in range(3)]
    limits = {"organizations": 2, "removals": 1}
    spec: dict[str, Any] = {
        "organizations": named(f"{namespace}-*"),
        "deletionPolicy": "Reset",
    }
    apply_set(world, namespace, "s", limits=limits, **spec)
    world.wait_for(namespace, "s", ("False", "TooManyOrganizations"), kind=SETS)
    assert not any(own(world, org) for org in orgs)
    limits["organizations"] = 3
    apply_set(world, namespace, "s", limits=limits, **spec)
    wait_ready(world, namespace, "s")
    spec["organizations"] = named(f"{namespace}-0")
    apply_set(world, namespace, "s", limits=limits, **spec)
    body = world.wait_for(namespace, "s", ("False", "ApprovalRequired"), kind=SETS)
    assert all(own(world, org) for org in orgs)
    removal = body["status"]["removal"]
    assert removal["count"] == 2
    world.plane.kubectl(
        *("annotate", SETS, "s", "-n", namespace),
        f"zitadel-notification.dev/approve-removal={removal['digest']}",
    )
    wait_ready(world, namespace, "s")
    eventually(lambda: not own(world, orgs[1]), 30, "the first reset")
    eventually(lambda: not own(world, orgs[2]), 30, "the second reset")
    assert own(world, orgs[0])


def test_a_set_that_is_deleted_by_kubectl_alone_may_leave_its_policies(
    world: World, namespace: str
) -> None:
    """A suspended set adds nothing, and suspends what there is."""
    org = make(world, f"{namespace}-x")
    apply_set(world, namespace, "s", organizations=named(f"{namespace}-*"))
    wait_ready(world, namespace, "s")
    apply_set(
        world, namespace, "s", organizations=named(f"{namespace}-*"), suspend=True
    )

    def is_suspended() -> bool:
        body = world.get("znp", f"s-{org}", namespace)
        return body is not None and body["spec"].get("suspend") is True

    eventually(is_suspended, 30, "the suspended policy")
    later = make(world, f"{namespace}-y")
    apply_set(world, namespace, "s", organizations=named(f"{namespace}-*"))
    eventually(lambda: own(world, later), 60, "the organization that came meanwhile")
