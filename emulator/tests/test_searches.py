"""Searches for organizations, v1 and v2: what they find, show and refuse."""

from time import process_time
from typing import Any

import httpx
import pytest

from shared.api import ACME, GLOBEX, ME, OWN, Api, outcome

V1 = "/admin/v1/orgs/_search"
V2 = "/v2/organizations/_search"
BY_DOMAIN = "/management/v1/global/orgs/_by_domain"
BOTH = pytest.mark.parametrize("path", [V1, V2])


async def search(api: Api, path: str, **request: Any) -> httpx.Response:
    """Search with the owner's token."""
    return await api.call("POST", path, body=request)


async def ids(api: Api, path: str, *queries: dict[str, Any]) -> list[str]:
    """Return the ids that a search finds."""
    answer = await search(api, path, queries=list(queries))
    answer.raise_for_status()
    return [org["id"] for org in answer.json().get("result", [])]


def by_name(name: str, method: str | int = "EQUALS") -> dict[str, Any]:
    """Return a query for a name."""
    full = f"TEXT_QUERY_METHOD_{method}" if isinstance(method, str) else method
    return {"nameQuery": {"name": name, "method": full}}


def by_domain(domain: str, method: str = "EQUALS") -> dict[str, Any]:
    """Return a query for a domain."""
    method = f"TEXT_QUERY_METHOD_{method}"
    return {"domainQuery": {"domain": domain, "method": method}}


@BOTH
async def test_everything_without_queries(api: Api, path: str) -> None:
    """An empty body finds all; the versions have different words for it."""
    answer = (await api.call("POST", path)).json()
    assert answer["details"]["totalResult"] == "3"
    v1 = path == V1
    assert ("viewTimestamp" if v1 else "timestamp") in answer["details"]
    acme = answer["result"][1]
    assert acme["details"].keys() == {
        *("sequence", "creationDate", "changeDate", "resourceOwner")
    }
    assert {k: v for k, v in acme.items() if k != "details"} == {
        "id": ACME,
        "name": "ACME",
        "primaryDomain": "acme.localhost",
        "state": f"{'ORG' if v1 else 'ORGANIZATION'}_STATE_ACTIVE",
    }


@BOTH
@pytest.mark.parametrize(
    ("query", "found"),
    [
        (by_name("ACME"), [ACME]),
        (by_name("acme"), []),
        (by_name("ACME", 0), [ACME]),
        ({"nameQuery": {"name": "ACME"}}, [ACME]),
        (by_name("acme", "EQUALS_IGNORE_CASE"), [ACME]),
        (by_name("Glo", "STARTS_WITH"), [GLOBEX]),
        (by_name("glo", "STARTS_WITH"), []),
        (by_name("glo", "STARTS_WITH_IGNORE_CASE"), [GLOBEX]),
        (by_name("lob", "CONTAINS"), [GLOBEX]),
        (by_name("E", "CONTAINS"), [OWN, ACME]),
        (by_name("E", "CONTAINS_IGNORE_CASE"), [OWN, ACME, GLOBEX]),
        (by_name("ex", "ENDS_WITH"), [GLOBEX]),
        (by_name("ME", "ENDS_WITH"), [ACME]),
        (by_name("EL", "ENDS_WITH_IGNORE_CASE"), [OWN]),
        (by_name("A%", "STARTS_WITH"), []),
        (by_domain("acme.localhost"), [ACME]),
        (by_domain("ACME.localhost"), []),
        (by_domain("ACME.localhost", "EQUALS_IGNORE_CASE"), [ACME]),
        (by_domain("localhost", "ENDS_WITH"), [OWN, ACME, GLOBEX]),
        ({"idQuery": {"id": GLOBEX}}, [GLOBEX]),
        ({"idQuery": {"id": "nosuch"}}, []),
        ({"stateQuery": {"state": 1}}, [OWN, ACME]),
        ({"stateQuery": {"state": 2}}, [GLOBEX]),
        ({"stateQuery": {"state": 3}}, []),
        ({"stateQuery": {}}, []),
    ],
)
async def test_queries(
    api: Api, path: str, query: dict[str, Any], found: list[str]
) -> None:
    """Each alternative and method of comparison works; EQUALS respects case."""
    await api.call("POST", ME + "/_deactivate", GLOBEX, body={})
    assert await ids(api, path, query) == found


async def test_states_by_their_names(api: Api) -> None:
    """The two versions have different names; unknown ones count as unset."""
    await api.call("POST", ME + "/_deactivate", GLOBEX, body={})
    v1 = {"stateQuery": {"state": "ORG_STATE_INACTIVE"}}
    v2 = {"stateQuery": {"state": "ORGANIZATION_STATE_INACTIVE"}}
    assert await ids(api, V1, v1) == [GLOBEX] == await ids(api, V2, v2)
    assert await ids(api, V1, v2) == []
    answer = (await search(api, V2, queries=[v2])).json()
    assert answer["result"][0]["state"] == "ORGANIZATION_STATE_INACTIVE"
    await api.call("POST", ME + "/_reactivate", GLOBEX, body={})
    assert await ids(api, V1, v1) == []


@BOTH
async def test_queries_are_all_to_be_met(api: Api, path: str) -> None:
    """Two queries are joined by AND."""
    name, domain = by_name("ACME"), by_domain("acme.localhost")
    assert await ids(api, path, name, domain) == [ACME]
    assert await ids(api, path, name, by_domain("globex.localhost")) == []
    assert await ids(api, path, {"idQuery": {"id": ACME}}, by_name("Globex")) == []


async def test_default_organization(api: Api) -> None:
    """Only v2 can search for it."""
    assert await ids(api, V2, {"defaultQuery": {}}) == [OWN]
    assert outcome(await search(api, V1, queries=[{"defaultQuery": {}}])) == (
        400,
        3,
        "",
    )


@BOTH
@pytest.mark.parametrize(
    ("paging", "found"),
    [
        ({"limit": 2}, [OWN, ACME]),
        ({"limit": "2"}, [OWN, ACME]),
        ({"limit": 2.0, "offset": 1}, [ACME, GLOBEX]),
        ({"offset": "2", "asc": True}, [GLOBEX]),
        ({"limit": 0}, [OWN, ACME, GLOBEX]),
        ({"limit": 1001}, [OWN, ACME, GLOBEX]),
    ],
)
async def test_pages(
    api: Api, path: str, paging: dict[str, Any], found: list[str]
) -> None:
    """Numbers may be texts; the count is of all rows; limit 0 means no limit."""
    answer = (await search(api, path, query=paging)).json()
    assert [org["id"] for org in answer["result"]] == found
    assert answer["details"]["totalResult"] == "3"


@BOTH
@pytest.mark.parametrize(
    "request_",
    [{"query": {"offset": 3}}, {"queries": [by_name("nosuch")]}],
    ids=["past the end", "no hit"],
)
async def test_empty_pages(api: Api, path: str, request_: dict[str, Any]) -> None:
    """They have neither a count nor a result."""
    answer = (await search(api, path, **request_)).json()
    assert "result" not in answer
    assert "totalResult" not in answer["details"]


@pytest.mark.parametrize(
    ("path", "column"),
    [(V1, "ORG_FIELD_NAME_NAME"), (V2, "ORGANIZATION_FIELD_NAME_NAME"), (V1, 1)],
)
async def test_sorting_by_name(api: Api, path: str, column: str | int) -> None:
    """Case does not matter; the default is descending."""
    await api.control("POST", "organizations", {"name": "bolt"})
    for asc in (True, False):
        paging = {"asc": asc}
        answer = await search(api, path, query=paging, sortingColumn=column)
        names = [org["name"] for org in answer.json()["result"]]
        expected = ["ACME", "bolt", "Globex", "ZITADEL"]
        assert names == (expected if asc else expected[::-1])


async def test_sorting_by_creation(api: Api) -> None:
    """v2 knows this column, v1 does not and ignores its name."""
    column = "ORGANIZATION_FIELD_NAME_CREATION_DATE"
    newest = (await search(api, V2, sortingColumn=column)).json()["result"]
    assert [org["id"] for org in newest] == [GLOBEX, ACME, OWN]
    ignored = (await search(api, V1, sortingColumn=column)).json()["result"]
    assert [org["id"] for org in ignored] == [OWN, ACME, GLOBEX]


@BOTH
@pytest.mark.parametrize(
    "request_",
    [
        {"query": {"limit": -1}},
        {"query": {"limit": "x"}},
        {"query": {"limit": 1.5}},
        {"query": {"limit": True}},
        {"query": {"limit": 2**32}},
        {"query": {"asc": "yes"}},
        {"query": []},
        {"queries": {}},
        {"queries": [None]},
        {"queries": ["x"]},
        {"queries": [{}]},
        {"queries": [by_name("A") | by_domain("b")]},
        {"queries": [by_name("x" * 201)]},
        {"queries": [by_name("ACME", 8)]},
        {"queries": [{"stateQuery": {"state": 4}}]},
        {"queries": [{"nameQuery": "ACME"}]},
        {"sortingColumn": 9},
        {"sortingColumn": True},
    ],
)
async def test_bad_requests(api: Api, path: str, request_: dict[str, Any]) -> None:
    """They get 400 and code 3 without details."""
    assert outcome(await search(api, path, **request_)) == (400, 3, "")


@pytest.mark.parametrize("limit", ["1e999", "9" * 5000, f'"{"9" * 5000}"'])
async def test_numbers_that_no_field_can_hold(api: Api, limit: str) -> None:
    """They get 400, however many digits they have."""
    body = f'{{"query": {{"limit": {limit}}}}}'
    assert outcome(await api.call("POST", V1, body=body)) == (400, 3, "")


@pytest.mark.parametrize(
    "query", [by_name(""), by_domain(""), {"idQuery": {}}, {"nameQuery": {}}]
)
async def test_empty_texts(api: Api, query: dict[str, Any]) -> None:
    """v2 refuses to search for nothing, v1 finds nothing."""
    assert outcome(await search(api, V2, queries=[query])) == (400, 3, "")
    assert await ids(api, V1, query) == []


async def test_the_order_of_errors(api: Api) -> None:
    """Unreadable bodies are refused before the token is checked, others after."""
    unreadable, senseless = '{"query":{"limit":-1}}', '{"queries":[{}]}'
    for body, expected in ((unreadable, 400), (senseless, 401)):
        answer = await api.call("POST", V1, body=body, token="nosuch")
        assert answer.status_code == expected


async def test_permission_of_v1(api: Api) -> None:
    """It is `iam.read`, which a manager of all organizations does not have."""
    for role, status in (
        ("IAM_OWNER", 200),
        ("IAM_OWNER_VIEWER", 200),
        ("IAM_ORG_MANAGER", 403),
    ):
        made = await api.user(roles=[role])
        answer = await api.call("POST", V1, body={}, token=made["token"])
        assert answer.status_code == status
    made = await api.user(roles=[])
    answer = await api.call("POST", V1, body={}, token=made["token"])
    assert outcome(answer) == (404, 5, "AUTHZ-cdgFk")


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"roles": ["IAM_ORG_MANAGER"]}, [OWN, ACME, GLOBEX]),
        ({"roles": ["ORG_SETTINGS_MANAGER"], "organization": ACME}, [ACME]),
        ({"roles": ["ORG_PROJECT_CREATOR"], "organization": ACME}, []),
        ({"roles": []}, []),
    ],
)
async def test_v2_shows_what_the_caller_may_read(
    api: Api, fields: dict[str, Any], found: list[str]
) -> None:
    """Any token is accepted; `totalResult` counts the hidden rows, too."""
    made = await api.user(**fields)
    answer = (await api.call("POST", V2, body={}, token=made["token"])).json()
    assert [org["id"] for org in answer.get("result", [])] == found
    assert answer["details"]["totalResult"] == "3"


@BOTH
async def test_removed_organizations_are_gone(api: Api, path: str) -> None:
    """They are not found; the name can be used again."""
    await api.call("DELETE", ME, ACME)
    queries = (by_name("ACME"), {"idQuery": {"id": ACME}}, by_domain("acme.localhost"))
    for query in queries:
        assert await ids(api, path, query) == []
    made = await api.control("POST", "organizations", {"name": "ACME"})
    assert await ids(api, path, by_name("ACME")) == [made.json()["id"]]


async def test_renamed_organization(api: Api) -> None:
    """Its generated domain follows the name, as in ZITADEL; others stay."""
    domain = {"domain": "acme.example"}
    await api.control("POST", f"organizations/{ACME}/domains", domain)
    answer = await api.call("PUT", ME, ACME, body={"name": "Wayne Corp"})
    assert answer.json()["details"].keys() == {
        *("sequence", "changeDate", "resourceOwner")
    }
    shown = (await api.call("GET", ME, ACME)).json()["org"]
    assert (shown["name"], shown["primaryDomain"]) == (
        "Wayne Corp",
        "wayne-corp.localhost",
    )
    assert await ids(api, V1, by_name("ACME")) == []
    assert await ids(api, V1, by_name("Wayne Corp")) == [ACME]
    assert await ids(api, V1, by_domain("acme.localhost")) == []
    assert await ids(api, V1, by_domain("wayne-corp.localhost")) == [ACME]
    assert await ids(api, V1, by_domain("acme.example")) == [ACME]
    types = [e.type for e in api.emulator.zitadel.log.of(ACME)][-5:]
    assert types == [
        "org.changed",
        "org.domain.added",
        "org.domain.verified",
        "org.domain.primary.set",
        "org.domain.removed",
    ]


async def test_renaming_is_refused(api: Api) -> None:
    """The name is the same, taken or empty, or the organization is removed."""
    for name, expected in (
        ("ACME", (400, 9, "ORG-4VSdf")),
        ("globex", (409, 6, "V3-DKcYh")),
        ("", (400, 3, "")),
    ):
        answer = await api.call("PUT", ME, ACME, body={"name": name})
        assert outcome(answer) == expected
    assert (await api.call("PUT", ME, ACME, body={"name": "acme"})).is_success
    viewer = await api.user(roles=["IAM_OWNER_VIEWER"])
    answer = await api.call("PUT", ME, ACME, body={"name": "X"}, token=viewer["token"])
    assert outcome(answer) == (403, 7, "AUTH-5mWD2")
    await api.call("DELETE", ME, ACME)
    answer = await api.call("PUT", ME, ACME, body={"name": "X"})
    assert outcome(answer) == (404, 5, "ORG-1MRds")


async def test_domains_over_the_control_path(api: Api) -> None:
    """Verified ones are found, primary or not; none belongs to two."""
    path = f"organizations/{ACME}/domains"
    for fields in (
        {"domain": "one.example"},
        {"domain": "two.example", "verified": False},
        {"domain": "three.example", "primary": True},
    ):
        assert (await api.control("POST", path, fields)).status_code == 201
    assert await ids(api, V1, by_domain("one.example")) == [ACME]
    assert await ids(api, V1, by_domain("two.example")) == []
    assert await ids(api, V1, by_domain("acme.localhost")) == [ACME]
    shown = (await search(api, V1, queries=[by_name("ACME")])).json()["result"][0]
    assert shown["primaryDomain"] == "three.example"
    taken = await api.control(
        "POST", f"organizations/{GLOBEX}/domains", {"domain": "one.example"}
    )
    assert taken.status_code == 400
    assert (await api.control("DELETE", f"{path}/one.example")).status_code == 200
    assert await ids(api, V1, by_domain("one.example")) == []
    assert (await api.control("DELETE", f"{path}/one.example")).status_code == 400
    assert (await api.control("DELETE", f"{path}/three.example")).status_code == 400
    moved = {"domain": "one.example"}
    await api.control("POST", f"organizations/{GLOBEX}/domains", moved)
    assert await ids(api, V1, by_domain("one.example")) == [GLOBEX]


async def test_by_primary_domain(api: Api) -> None:
    """Only active organizations are found."""
    await api.control(
        "POST", f"organizations/{ACME}/domains", {"domain": "acme.example"}
    )
    path = f"{BY_DOMAIN}?domain=acme.localhost"
    assert (await api.call("GET", path)).json()["org"]["id"] == ACME
    for other in ("acme.example", "nosuch"):
        answer = await api.call("GET", f"{BY_DOMAIN}?domain={other}")
        assert outcome(answer) == (404, 5, "QUERY-iTTGJ")
    await api.call("POST", ME + "/_deactivate", ACME, body={})
    assert outcome(await api.call("GET", path)) == (404, 5, "QUERY-iTTGJ")


async def test_search_lag(api: Api) -> None:
    """A new organization is found by id at once, and in searches later."""
    await api.control("PUT", "behavior", {"search_lag_milliseconds": 300})
    made = (await api.control("POST", "organizations", {"name": "Late"})).json()["id"]
    assert await ids(api, V1, by_name("Late")) == []
    assert await ids(api, V1, by_name("ACME")) == [ACME]
    assert (await api.call("GET", ME, made)).is_success
    zitadel = api.emulator.zitadel
    later = zitadel.log.of(made)[0].time.timestamp() + 0.301
    zitadel.log.clock = lambda: type(zitadel.log.all[0].time).fromtimestamp(
        later, zitadel.log.all[0].time.tzinfo
    )
    assert await ids(api, V1, by_name("Late")) == [made]


async def test_ten_thousand_organizations(api: Api) -> None:
    """A page of a thousand and a search by name take no noticeable time."""
    for number in range(10_000):
        api.emulator.zitadel.orgs.create(f"Many {number}")
    await search(api, V2, query={"limit": 1})
    start = process_time()
    page = await search(api, V2, query={"limit": 1000, "offset": 5000})
    spent_on_page = process_time() - start
    assert len(page.json()["result"]) == 1000
    start = process_time()
    for number in range(0, 10_000, 500):
        found = await ids(api, V1, by_name(f"Many {number}"))
        assert len(found) == 1
    spent_on_one = (process_time() - start) / 20
    assert spent_on_page < 0.5
    assert spent_on_one < 0.1
