"""Organizations by name and domain, and grants, on real servers."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import World
from support.waiting import eventually

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "multi-tenant"
ACME, GLOBEX = "280000000000000101", "280000000000000102"
POLL = 10
LOOK = "zitadel-notification.dev/reconcile-requested-at"


def named(world: World, namespace: str, policy: str, /, **organization: Any) -> None:
    """Apply a policy whose organization is given in some way."""
    world.policy(namespace, policy, organization=organization)


def make(world: World, name: str) -> str:
    """Create an organization with this name; return its id."""
    made = world.emulator.call("POST", "/management/v1/orgs", {"name": name})
    return str(made["id"])


def organization_of(body: dict[str, Any]) -> tuple[str, str]:
    """Return the organization's id and name in the status."""
    status = body["status"]
    return status["organizationId"], status["organizationName"]


@pytest.mark.parametrize("by", ["name", "domain"])
def test_a_name_or_a_domain_is_found_and_pinned(
    world: World, namespace: str, by: str
) -> None:
    """Case does not matter; after a rename the policy stays where it is."""
    first = f"Firma {namespace} {by}"
    org = make(world, first)
    domain = f"{by}.{namespace}.example"
    path = f"/emulator/v1/organizations/{org}/domains"
    world.emulator.call("POST", path, {"domain": domain, "verified": True})
    value = first.upper() if by == "name" else domain
    named(world, namespace, "p", **{by: value})
    body = world.wait_for(namespace, "p")
    assert organization_of(body) == (org, first)
    assert world.emulator.policy(org)["passwordChange"] is True

    path = f"/emulator/v1/organizations/{org}"
    world.emulator.call("PUT", path, {"name": f"{first} renamed"})
    other = make(world, first)
    patch = '{"spec":{"passwordChange":false}}'
    command = ("patch", "znp", "p", "-n", namespace, "--type=merge", "-p", patch)
    world.plane.kubectl(*command)
    body = world.wait_for(namespace, "p")
    assert body["status"]["organizationId"] == org
    assert world.emulator.policy(org).get("passwordChange", False) is False
    assert world.emulator.policy(other)["isDefault"] is True
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    assert world.emulator.policy(org)["isDefault"] is True


def test_an_unverified_domain_is_nobody_s(world: World, namespace: str) -> None:
    """Anybody may add a domain that is not theirs."""
    org = make(world, f"Firma {namespace}")
    domain = f"{namespace}.example"
    path = f"/emulator/v1/organizations/{org}/domains"
    world.emulator.call("POST", path, {"domain": domain, "verified": False})
    named(world, namespace, "p", domain=domain)
    world.wait_for(namespace, "p", ("False", "OrganizationNotFound"))


def test_a_removed_organization_is_followed_to_its_successor(
    world: World, namespace: str
) -> None:
    """An Event reports it; the new one gets nothing of the old one."""
    name = f"Firma {namespace}"
    old = make(world, name)
    named(world, namespace, "p", name=name)
    assert organization_of(world.wait_for(namespace, "p")) == (old, name)
    world.emulator.call("DELETE", f"/admin/v1/orgs/{old}")
    new = make(world, name)

    def followed() -> bool:
        body = world.get("znp", "p", namespace) or {}
        return bool(body.get("status", {}).get("organizationId") == new)

    eventually(followed, 3 * POLL)
    body = world.wait_for(namespace, "p")
    original = json.loads(
        body["metadata"]["annotations"]["zitadel-notification.dev/original"]
    )
    assert original["organizationId"] == new
    assert world.emulator.policy(new)["passwordChange"] is True
    command = ("get", "events", "-n", namespace, "-o", "jsonpath={.items[*].reason}")
    event_reasons = world.plane.kubectl(*command).stdout.split()
    assert event_reasons.count("OrganizationReplaced") == 1


def test_one_organization_by_id_and_by_name_is_one_target(
    world: World, namespace: str
) -> None:
    name = f"Firma {namespace}"
    org = make(world, name)
    named(world, namespace, "a", name=name)
    world.wait_for(namespace, "a")
    named(world, namespace, "b", id=org)
    world.wait_for(namespace, "b", ("False", "Conflict"))
    assert len([w for w in world.emulator.writes() if w[2] == org]) == 1


def test_a_search_that_lags_finds_in_the_end(world: World, namespace: str) -> None:
    """A new organization is found a moment later."""
    behavior = {"search_lag_milliseconds": 10_000}
    world.emulator.call("PUT", "/emulator/v1/behavior", behavior)
    try:
        name = f"Firma {namespace}"
        org = make(world, name)
        named(world, namespace, "p", name=name)
        world.wait_for(namespace, "p", ("False", "OrganizationNotFound"))
    finally:
        world.emulator.call("PUT", "/emulator/v1/behavior", {})
    look = f"{LOOK}=1"
    world.plane.kubectl("annotate", "znp", "p", "-n", namespace, look)
    assert organization_of(world.wait_for(namespace, "p")) == (org, name)


def test_multi_tenant_example(world: World) -> None:
    """Only the address is changed; each team gets its own organizations."""
    for file in sorted(EXAMPLES.glob("*.yaml")):
        text = file.read_text().replace("http://127.0.0.1:8085", world.emulator.url)
        world.plane.kubectl("apply", "-f", "-", stdin=text)
    world.wait_for("", "platform", kind="zni")
    acme = world.wait_for("team-a", "acme")
    globex = world.wait_for("team-b-web", "globex")
    assert organization_of(acme) == (ACME, "ACME")
    assert organization_of(globex) == (GLOBEX, "Globex")
    for namespace, name, organization in (
        ("team-a", "theirs", {"name": "Globex"}),
        ("team-a", "nobodys", {"name": "Nobody"}),
        ("team-b-web", "theirs", {"id": ACME}),
    ):
        world.policy(
            namespace,
            name,
            organization=organization,
            instanceRef={"name": "platform"},
        )
        world.wait_for(namespace, name, ("False", "NotGranted"))
    texts = []
    for name, word in (("theirs", "Globex"), ("nobodys", "Nobody")):
        status = (world.get("znp", name, "team-a") or {})["status"]
        for condition in status["conditions"]:
            del condition["lastTransitionTime"]
        texts.append(json.dumps(status).replace(word, "WORD"))
    assert texts[0] == texts[1]

    # After a revocation there is no further call, and the deletion undoes nothing.
    grants = '[{"op":"replace","path":"/spec/grants","value":[]}]'
    command = ("patch", "zni", "platform", "--type=json", "-p", grants)
    world.plane.kubectl(*command)
    world.wait_for("team-a", "acme", ("False", "InstanceNotFound"))
    before = len([r for r in world.emulator.requests() if r["organization"] == ACME])
    world.delete("acme", "team-a")
    world.gone("znp", "acme", "team-a")
    after = len([r for r in world.emulator.requests() if r["organization"] == ACME])
    assert after == before
    assert world.emulator.policy(ACME)["passwordChange"] is True
    for namespace in ("team-a", "team-b-web"):
        command = ("delete", "znp", "--all", "-n", namespace, "--wait=false")
        world.plane.kubectl(*command)
    world.plane.kubectl("delete", "zni", "platform", "--wait=false")
    world.gone("zni", "platform")
