"""The searches for organizations (v1 and v2), memberships and permissions.

Source: ZITADEL: `proto/zitadel/org.proto`, `proto/zitadel/org/v2/query.proto`,
`internal/query/zitadel_permission.go`. The form of the answers follows recordings of a
real server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .answers import (
    BAD_INPUT,
    NOT_FOUND,
    Refusal,
    Reply,
    allowed,
    lean,
    ok,
    shown,
    timestamp,
)
from .directory import (
    ByDomain,
    ById,
    ByName,
    ByState,
    Found,
    Method,
    Order,
    Page,
    Query,
    Row,
)
from .effects import Context
from .members import Membership
from .messages import Choice, Fields, Kind, Part
from .permissions import may, permissions_of
from .projections import State
from .zitadel import CREDENTIAL_ORGANIZATION, INSTANCE_ID

_LONGEST = 200
_METHODS = Choice(tuple(f"TEXT_QUERY_METHOD_{method.name}" for method in Method))
_STATES = {1: State.ACTIVE, 2: State.INACTIVE}
"""The states by number; 3 is REMOVED, which no row has, because such rows are gone."""

_LAST_STATE = 3
_RUN_LATER = timedelta(microseconds=1)
"""How long after its last event the projection ran; v1 answers contain that time."""


@dataclass(frozen=True, slots=True)
class _Dialect:
    """The differences between v1 and v2 of the search for organizations.

    Attributes:
        request: The name of the request message, for error texts.
        item: The full name of the message for one query.
        queries: The prefix of the message names of the kinds of query.
        state: The prefix of the names of states.
        columns: The names of the sorting columns, in the order of their numbers.
        shortest: The minimum length of a name, domain or id in a query.
        has_default: Whether there is a query for the instance's default organization.
    """

    request: str
    item: str
    queries: str
    state: str
    columns: tuple[str, ...]
    shortest: int
    has_default: bool

    def fields(self) -> Fields:
        """Return the fields of the request message."""
        states = ("UNSPECIFIED", "ACTIVE", "INACTIVE", "REMOVED")
        alternatives: dict[str, Part] = {
            "nameQuery": Part({"name": Kind.TEXT, "method": _METHODS}),
            "domainQuery": Part({"domain": Kind.TEXT, "method": _METHODS}),
            "stateQuery": Part({"state": Choice(tuple(map(self.state_name, states)))}),
            "idQuery": Part({"id": Kind.TEXT}),
        }
        if self.has_default:
            alternatives["defaultQuery"] = Part({})
        return {
            "query": Part(PAGING),
            "sortingColumn": Choice(self.columns),
            "queries": Part(alternatives, repeated=True, one_of=self.item + ".query"),
        }

    def state_name(self, state: str) -> str:
        """Return the full name of a state."""
        return f"{self.state}_{state}"


PAGING: Fields = {"offset": Kind.UINT64, "limit": Kind.UINT32, "asc": Kind.BOOL}
"""The fields of ZITADEL's `ListQuery`."""

_V1 = _Dialect(
    "ListOrgsRequest",
    "zitadel.org.v1.OrgQuery",
    "Org",
    "ORG_STATE",
    ("ORG_FIELD_NAME_UNSPECIFIED", "ORG_FIELD_NAME_NAME"),
    0,
    has_default=False,
)
_V2 = _Dialect(
    "ListOrganizationsRequest",
    "zitadel.org.v2.SearchQuery",
    "Organization",
    "ORGANIZATION_STATE",
    (
        "ORGANIZATION_FIELD_NAME_UNSPECIFIED",
        "ORGANIZATION_FIELD_NAME_NAME",
        "ORGANIZATION_FIELD_NAME_CREATION_DATE",
    ),
    1,
    has_default=True,
)
V1_FIELDS = _V1.fields()
"""The fields of POST /admin/v1/orgs/_search."""

V2_FIELDS = _V2.fields()
"""The fields of POST /v2/organizations/_search."""

MEMBERSHIP_FIELDS: Fields = {"query": Part(PAGING)}
"""The fields of POST /auth/v1/memberships/me/_search; its `queries` are ignored."""


def organizations_v1(c: Context) -> Reply:
    """Serve POST /admin/v1/orgs/_search."""
    found = _search(c, _V1)
    rows = [
        {"details": shown(r.created, r.changed), **_org(r, _V1)} for r in found.rows
    ]
    return ok(_listed(found.total, "viewTimestamp", found.seen + _RUN_LATER, rows))


def organizations_v2(c: Context) -> Reply:
    """Serve POST /v2/organizations/_search, with only those rows the caller may read.

    `totalResult` also counts the rows that the caller may not read, as in ZITADEL
    without the feature "permission check v2".
    """
    found = _search(c, _V2)
    user = c.user.id if c.user else ""
    members = c.zitadel.access.members
    everywhere = may(members.instance_roles(user), "org.read")
    rows = [
        _org(row, _V2)
        for row in found.rows
        if everywhere or may(members.roles(user, row.id), "org.read")
    ]
    return ok(_listed(found.total, "timestamp", found.seen, rows))


def by_domain(c: Context) -> Reply:
    """Serve GET /management/v1/global/orgs/_by_domain.

    It finds an active organization by its primary domain.

    Raises:
        Refusal: There is none (`QUERY-iTTGJ`).
    """
    domain = c.text("domain")
    queries = (ByDomain(domain, Method.EQUALS), ByState(State.ACTIVE))
    found = c.zitadel.directory.search(queries, Page(), c.zitadel.search_lag)
    for row in found.rows:
        if row.primary_domain == domain:
            return ok({"org": _org(row, _V1)})
    raise Refusal(NOT_FOUND, "Organisation not found", "QUERY-iTTGJ")


def memberships(c: Context) -> Reply:
    """Serve POST /auth/v1/memberships/me/_search: the caller's own memberships."""
    members = c.zitadel.access.members
    found = members.of_user(c.user.id) if c.user else []
    page = _page(c)
    end = page.offset + page.limit if page.limit else len(found)
    rows = [_membership(c, each) for each in found[page.offset : end]]
    seen = (members.changed or c.zitadel.log.clock()) + _RUN_LATER
    return ok(_listed(len(found) if rows else 0, "viewTimestamp", seen, rows))


def permissions(c: Context) -> Reply:
    """Serve POST /auth/v1/permissions/zitadel/me/_search.

    The answer holds the caller's permissions in the context of the organization.
    Permissions on projects would end in a colon and the project's id, but the emulator
    has no projects.
    """
    user = c.user.id if c.user else ""
    roles = c.zitadel.access.members.roles(user, c.organization)
    return ok(lean({"result": permissions_of(roles)}))


class _Invalid(Exception):
    """An invalid query; the text begins with the name of the wrong field."""


def _search(c: Context, dialect: _Dialect) -> Found:
    if not 0 <= c.message.get("sortingColumn", 0) < len(dialect.columns):
        why = f"invalid {dialect.request}.SortingColumn: {_NOT_DEFINED}"
        raise Refusal(BAD_INPUT, why)
    queries: list[Query] = []
    for number, item in enumerate(c.message.get("queries", [])):
        try:
            queries.append(_query(item, dialect))
        except _Invalid as error:
            where = f"invalid {dialect.request}.Queries[{number}]"
            inner = f"invalid {dialect.item.rpartition('.')[2]}.{error}"
            raise Refusal(BAD_INPUT, _nested(where, inner)) from error
    return c.zitadel.directory.search(queries, _page(c), c.zitadel.search_lag)


def _page(c: Context) -> Page:
    query = c.message.get("query", {})
    return Page(
        query.get("offset", 0),
        allowed(query.get("limit", 0), c.zitadel.behavior.largest_limit),
        Order(c.message.get("sortingColumn", 0)),
        query.get("asc", False),
    )


def _query(item: Mapping[str, Any], dialect: _Dialect) -> Query:
    """Convert one item of the request's `queries`.

    Raises:
        _Invalid: The item is invalid; the text is that of ZITADEL's field validation.
    """
    if not item:
        raise _Invalid("Query: value is required")
    ((name, content),) = item.items()
    match name:
        case "nameQuery":
            wanted = _wanted(content, "name", dialect)
            return ByName(wanted, _method(content, "Name", dialect))
        case "domainQuery":
            wanted = _wanted(content, "domain", dialect)
            return ByDomain(wanted, _method(content, "Domain", dialect))
        case "idQuery":
            return ById(_wanted(content, "id", dialect))
        case "stateQuery":
            state = _defined(content, "state", _LAST_STATE, "State", dialect)
            return ByState(_STATES.get(state))
        case _:
            return ById(CREDENTIAL_ORGANIZATION)


_NOT_DEFINED = "value must be one of the defined enum values"


def _wanted(content: Mapping[str, Any], name: str, dialect: _Dialect) -> str:
    wanted = str(content.get(name, ""))
    if dialect.shortest <= len(wanted) <= _LONGEST:
        return wanted
    length = f"at most {_LONGEST} runes"
    if dialect.shortest:
        length = f"between {dialect.shortest} and {_LONGEST} runes, inclusive"
    kind = name.capitalize()
    raise _wrong(kind, f"{kind}: value length must be {length}", dialect)


def _method(content: Mapping[str, Any], kind: str, dialect: _Dialect) -> Method:
    return Method(_defined(content, "method", max(Method), kind, dialect))


def _defined(
    content: Mapping[str, Any], name: str, highest: int, kind: str, dialect: _Dialect
) -> int:
    number = int(content.get(name, 0))
    if not 0 <= number <= highest:
        raise _wrong(kind, f"{name.capitalize()}: {_NOT_DEFINED}", dialect)
    return number


def _wrong(kind: str, why: str, dialect: _Dialect) -> _Invalid:
    inner = f"invalid {dialect.queries}{kind.replace('Id', 'ID')}Query.{why}"
    return _Invalid(_nested(f"{kind}Query", inner))


def _nested(where: str, inner: str) -> str:
    return f"{where}: embedded message failed validation | caused by: {inner}"


def _org(row: Row, dialect: _Dialect) -> dict[str, Any]:
    return {
        "id": row.id,
        "details": shown(row.created, row.changed),
        "state": dialect.state_name(row.state.name),
        "name": row.name,
        "primaryDomain": row.primary_domain,
    }


def _membership(c: Context, each: Membership) -> dict[str, Any]:
    content: dict[str, Any] = {
        "userId": each.user,
        "details": shown(each.created, each.changed),
        "roles": list(each.roles),
    }
    if each.aggregate == INSTANCE_ID:
        return {**content, "displayName": c.zitadel.instance_name, "iam": True}
    org = c.zitadel.orgs.get(each.aggregate)
    name = org.name if org else ""
    return {**content, "displayName": name, "orgId": each.aggregate}


def _listed(
    total: int, when: str, seen: datetime, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the answer of a search; an empty one has no `totalResult` or `result`."""
    details = lean({"totalResult": str(total) if total else ""})
    return lean({"details": {**details, when: timestamp(seen)}, "result": rows})
