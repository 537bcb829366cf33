"""Organizations by name and domain, and grants, on real servers."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import System
from support.waiting import eventually

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "multi-tenant"
ACME, GLOBEX = "280000000000000101", "280000000000000102"
POLL = 10
LOOK = "zitadel-notification.dev/reconcile-requested-at"


def named(system: System, namespace: str, policy: str, /, **organization: Any) -> None:
    """Apply a policy whose organization is given in some way."""
    system.policy(namespace, policy, organization=organization)


def make(system: System, name: str) -> str:
    """Create an organization with this name; return its id."""
    made = system.emulator.call("POST", "/management/v1/orgs", {"name": name})
    return str(made["id"])


def organization_of(body: dict[str, Any]) -> tuple[str, str]:
    """Return the organization's id and name in the status."""
    status = body["status"]
    return status["organizationId"], status["organizationName"]


@pytest.mark.parametrize("by", ["name", "domain"])
def test_a_name_or_a_domain_is_found_and_pinned(
    system: System, namespace: str, by: str
) -> None:
    """Case does not matter; after a rename the policy stays where it is."""
    first = f"Firma {namespace} {by}"
    org = make(system, first)
    domain = f"{by}.{namespace}.example"
    path = f"/emulator/v1/organizations/{org}/domains"
    system.emulator.call("POST", path, {"domain": domain, "verified": True})
    value = first.upper() if by == "name" else domain
    named(system, namespace, "p", **{by: value})
    body = system.wait_for(namespace, "p")
    assert organization_of(body) == (org, first)
    assert system.emulator.policy(org)["passwordChange"] is True

    path = f"/emulator/v1/organizations/{org}"
    system.emulator.call("PUT", path, {"name": f"{first} renamed"})
    other = make(system, first)
    patch = '{"spec":{"passwordChange":false}}'
    command = ("patch", "znp", "p", "-n", namespace, "--type=merge", "-p", patch)
    system.plane.kubectl(*command)
    body = system.wait_for(namespace, "p")
    assert body["status"]["organizationId"] == org
    assert system.emulator.policy(org).get("passwordChange", False) is False
    assert system.emulator.policy(other)["isDefault"] is True
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    assert system.emulator.policy(org)["isDefault"] is True


def test_an_unverified_domain_is_nobody_s(system: System, namespace: str) -> None:
    """Anybody may add a domain that is not theirs."""
    org = make(system, f"Firma {namespace}")
    domain = f"{namespace}.example"
    path = f"/emulator/v1/organizations/{org}/domains"
    system.emulator.call("POST", path, {"domain": domain, "verified": False})
    named(system, namespace, "p", domain=domain)
    system.wait_for(namespace, "p", ("False", "OrganizationNotFound"))


def test_a_removed_organization_is_followed_to_its_successor(
    system: System, namespace: str
) -> None:
    """An Event reports it; the new one gets nothing of the old one."""
    name = f"Firma {namespace}"
    old = make(system, name)
    named(system, namespace, "p", name=name)
    assert organization_of(system.wait_for(namespace, "p")) == (old, name)
    system.emulator.call("DELETE", f"/admin/v1/orgs/{old}")
    new = make(system, name)

    def followed() -> bool:
        body = system.get("znp", "p", namespace) or {}
        return bool(body.get("status", {}).get("organizationId") == new)

    eventually(followed, 3 * POLL)
    body = system.wait_for(namespace, "p")
    original = json.loads(
        body["metadata"]["annotations"]["zitadel-notification.dev/original"]
    )
    assert original["organizationId"] == new
    assert system.emulator.policy(new)["passwordChange"] is True
    command = ("get", "events", "-n", namespace, "-o", "jsonpath={.items[*].reason}")
    event_reasons = system.plane.kubectl(*command).stdout.split()
    assert event_reasons.count("OrganizationReplaced") == 1


def test_one_organization_by_id_and_by_name_is_one_target(
    system: System, namespace: str
) -> None:
    name = f"Firma {namespace}"
    org = make(system, name)
    named(system, namespace, "a", name=name)
    system.wait_for(namespace, "a")
    named(system, namespace, "b", id=org)
    system.wait_for(namespace, "b", ("False", "Conflict"))
    assert len([w for w in system.emulator.writes() if w[2] == org]) == 1


def test_a_search_that_lags_finds_in_the_end(system: System, namespace: str) -> None:
    """A new organization is found a moment later."""
    behavior = {"search_lag_milliseconds": 10_000}
    system.emulator.call("PUT", "/emulator/v1/behavior", behavior)
    try:
        name = f"Firma {namespace}"
        org = make(system, name)
        named(system, namespace, "p", name=name)
        system.wait_for(namespace, "p", ("False", "OrganizationNotFound"))
    finally:
        system.emulator.call("PUT", "/emulator/v1/behavior", {})
    look = f"{LOOK}=1"
    system.plane.kubectl("annotate", "znp", "p", "-n", namespace, look)
    assert organization_of(system.wait_for(namespace, "p")) == (org, name)


def test_multi_tenant_example(system: System) -> None:
    """Only the address is changed; each team gets its own organizations."""
    for file in sorted(EXAMPLES.glob("*.yaml")):
        text = file.read_text().replace("http://127.0.0.1:8085", system.emulator.url)
        system.plane.kubectl("apply", "-f", "-", stdin=text)
    system.wait_for("", "platform", kind="zni")
    acme = system.wait_for("team-a", "acme")
    globex = system.wait_for("team-b-web", "globex")
    assert organization_of(acme) == (ACME, "ACME")
    assert organization_of(globex) == (GLOBEX, "Globex")
    for namespace, name, organization in (
        ("team-a", "theirs", {"name": "Globex"}),
        ("team-a", "nobodys", {"name": "Nobody"}),
        ("team-b-web", "theirs", {"id": ACME}),
    ):
        system.policy(
            namespace,
            name,
            organization=organization,
            instanceRef={"name": "platform"},
        )
        system.wait_for(namespace, name, ("False", "NotGranted"))
    texts = []
    for name, word in (("theirs", "Globex"), ("nobodys", "Nobody")):
        status = (system.get("znp", name, "team-a") or {})["status"]
        for condition in status["conditions"]:
            del condition["lastTransitionTime"]
        texts.append(json.dumps(status).replace(word, "WORD"))
    assert texts[0] == texts[1]

    # After a revocation there is no further call, and the deletion undoes nothing.
    grants = '[{"op":"replace","path":"/spec/grants","value":[]}]'
    command = ("patch", "zni", "platform", "--type=json", "-p", grants)
    system.plane.kubectl(*command)
    system.wait_for("team-a", "acme", ("False", "InstanceNotFound"))
    before = len([r for r in system.emulator.requests() if r["organization"] == ACME])
    system.delete("acme", "team-a")
    system.gone("znp", "acme", "team-a")
    after = len([r for r in system.emulator.requests() if r["organization"] == ACME])
    assert after == before
    assert system.emulator.policy(ACME)["passwordChange"] is True
    for namespace in ("team-a", "team-b-web"):
        command = ("delete", "znp", "--all", "-n", namespace, "--wait=false")
        system.plane.kubectl(*command)
    system.plane.kubectl("delete", "zni", "platform", "--wait=false")
    system.gone("zni", "platform")
