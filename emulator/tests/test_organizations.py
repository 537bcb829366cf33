"""Organizations are created, found, deactivated and removed."""

import pytest

from shared.api import ACME, GLOBEX, INSTANCE, ME, OWN, POLICY, Api, outcome


async def test_ids_are_the_documented_ones(api: Api) -> None:
    """They are the same at every start, so that examples can name them."""
    listed = (await api.control("GET", "organizations")).json()
    assert [(org["id"], org["name"]) for org in listed] == [
        (OWN, "ZITADEL"),
        (ACME, "ACME"),
        (GLOBEX, "Globex"),
    ]
    made = await api.call("POST", "/management/v1/orgs", body={"name": "Third"})
    assert made.json()["id"] == "280000000000000103"
    info = await api.call("GET", "/admin/v1/instances/me")
    assert info.json()["instance"]["id"] == INSTANCE
    default = await api.call("GET", "/admin/v1/orgs/default")
    assert default.json()["org"]["id"] == OWN


@pytest.mark.parametrize("path", ["/management/v1/orgs", "/v2/organizations"])
async def test_names_are_unique_whatever_the_case(api: Api, path: str) -> None:
    """A removed organization gives its name back."""
    taken = await api.call("POST", path, body={"name": "aCME"})
    assert outcome(taken) == (409, 6, "V3-DKcYh")
    await api.call("DELETE", ME, ACME)
    assert (await api.call("POST", path, body={"name": "aCME"})).is_success


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 201}, {"name": 1}])
async def test_bad_names(api: Api, body: dict[str, object]) -> None:
    """They get 400 and code 3 without details."""
    answer = await api.call("POST", "/management/v1/orgs", body=body)
    assert outcome(answer) == (400, 3, "")


async def test_chosen_ids_need_not_be_digits(api: Api) -> None:
    """v2 lets the creator choose the id, which is then taken for ever."""
    body = {"name": "C", "orgId": "org-c"}
    assert (await api.call("POST", "/v2/organizations", body=body)).status_code == 201
    assert (await api.call("GET", ME, "org-c")).json()["org"]["name"] == "C"
    again = {"name": "D", "orgId": "org-c"}
    answer = await api.call("POST", "/v2/organizations", body=again)
    assert outcome(answer) == (409, 6, "V3-DKcYh")


async def test_deactivated_organization_works_as_usual(api: Api) -> None:
    """Its state changes, but policies are read and written."""
    await api.call("POST", ME + "/_deactivate", ACME, body={})
    shown = (await api.call("GET", ME, ACME)).json()["org"]
    assert shown["state"] == "ORG_STATE_INACTIVE"
    assert (await api.write("POST", ACME, value=True)).status_code == 200
    again = await api.call("POST", ME + "/_deactivate", ACME, body={})
    assert outcome(again) == (400, 9, "EVENT-Dbs2g")
    await api.call("POST", ME + "/_reactivate", ACME, body={})
    again = await api.call("POST", ME + "/_reactivate", ACME, body={})
    assert outcome(again) == (400, 9, "EVENT-bfnrh")


async def test_removed_organization_has_no_state(api: Api) -> None:
    """It still exists by id, in the header and in the path."""
    removed = await api.call("DELETE", f"/admin/v1/orgs/{ACME}")
    assert removed.json()["details"]["resourceOwner"] == INSTANCE
    for path, org in ((ME, ACME), (f"/admin/v1/orgs/{ACME}", None)):
        answer = await api.call("GET", path, org)
        assert answer.status_code == 200
        assert answer.json()["org"]["id"] == ACME
        assert "state" not in answer.json()["org"]
    again = await api.call("DELETE", f"/admin/v1/orgs/{ACME}")
    assert outcome(again) == (404, 5, "COMMA-aps2n")


async def test_unknown_and_default_organizations_are_not_removed(api: Api) -> None:
    """Nothing is written for an unknown organization."""
    unknown = await api.call("DELETE", "/admin/v1/orgs/nosuch")
    assert outcome(unknown) == (404, 5, "COMMA-aps2n")
    shown = await api.call("GET", "/admin/v1/orgs/nosuch")
    assert outcome(shown) == (404, 5, "QUERY-leq5Q")
    default = await api.call("DELETE", ME, OWN)
    assert outcome(default) == (400, 9, "COMMA-wG9p1")


async def test_removal_ends_memberships_of_the_organization_only(api: Api) -> None:
    """Its members lose access; instance-wide roles keep it."""
    api.emulator.zitadel.add_token("member", {ACME: {"ORG_OWNER"}}, ACME)
    api.emulator.zitadel.add_token("manager", {"": {"IAM_ORG_MANAGER"}})
    await api.control("PUT", f"organizations/{ACME}", {"state": "removed"})
    member = await api.call("GET", POLICY, ACME, token="member")
    assert outcome(member) == (404, 5, "AUTHZ-cdgFk")
    assert (await api.call("GET", POLICY, ACME, token="manager")).status_code == 200


async def test_many_organizations(api: Api) -> None:
    """Each of a thousand takes no noticeable time to create."""
    for number in range(1000):
        api.emulator.zitadel.orgs.create(f"Many {number}")
    assert len(api.emulator.zitadel.organizations()) == 1003
