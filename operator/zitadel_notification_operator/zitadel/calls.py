"""What is asked of ZITADEL and what comes back, as plain values.

Paths, headers and hosts are known here and nowhere else; who may call when is the
pool's business, what an answer means that of `models` and `errors`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from zitadel_notification_operator.core.objects import Endpoint
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.version import VERSION

ORGANIZATION_POLICY = "/management/v1/policies/notification"
DEFAULT_POLICY = "/management/v1/policies/default/notification"
INSTANCE_POLICY = "/admin/v1/policies/notification"
ORGANIZATION = "/management/v1/orgs/me"
ORGANIZATIONS = "/v2/organizations/_search"
INSTANCE = "/admin/v1/instances/me"
USER = "/auth/v1/users/me"
PERMISSIONS = "/auth/v1/permissions/zitadel/me/_search"
MEMBERSHIPS = "/auth/v1/memberships/me/_search"
DISCOVERY = "/.well-known/openid-configuration"
TOKEN = "/oauth/v2/token"  # noqa: S105 - a path

_ORGANIZATION_HEADER = "x-zitadel-orgid"
_INSTANCE_HOST_HEADER = "x-zitadel-instance-host"
_EQUALS = "TEXT_QUERY_METHOD_EQUALS_IGNORE_CASE"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of ZITADEL's REST interface.

    Attributes:
        organization_id: Sent as `x-zitadel-orgid`; None sends no such header, and
            ZITADEL takes the organization that owns the credential's user.
        body: JSON, or a form for `TOKEN`; None sends none. Not shown anywhere: a form
            holds secrets.
    """

    method: str
    path: str
    organization_id: str | None = None
    body: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def concerns_instance(self) -> bool:
        """Whether it needs a role in the instance rather than in an organization."""
        return self.path.startswith("/admin/")

    @property
    def writes(self) -> bool:
        """Whether it may change what ZITADEL holds; searches are POSTs, too."""
        reads = self.method == "GET" or self.path == TOKEN
        return not reads and not self.path.endswith("/_search")

    def headers(self, token: str) -> dict[str, str]:
        """Return the headers that differ from call to call.

        ZITADEL takes an empty `x-zitadel-orgid` for the credential's own
        organization, so none is ever sent. Where nobody is to be known the token is
        empty.
        """
        headers = {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self.organization_id:
            headers[_ORGANIZATION_HEADER] = self.organization_id
        if self.path == TOKEN:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif self.body is not None:
            headers["Content-Type"] = "application/json"
        return headers


def policy_body(*, password_change: bool) -> bytes:
    """Return the JSON of a policy; `false` is spelled out, an empty body means it."""
    return b'{"passwordChange":%s}' % (b"true" if password_change else b"false")


def page_call(offset: int, limit: int) -> Call:
    """Return the call for a page of organizations, in a lasting order."""
    return _search_call(
        {"query": {"offset": str(offset), "limit": limit, "asc": True}}
        | {"sortingColumn": "ORGANIZATION_FIELD_NAME_NAME"}
    )


def search_call(reference: Reference) -> Call:
    """Return the call that finds an organization by name or verified domain.

    Names are unique without regard to case, and domains are host names, so the case is
    left to ZITADEL. More than one row is asked for: one alone would hide a second.
    """
    field_name = reference.by.value
    query = {field_name: reference.value, "method": _EQUALS}
    return _search_call(
        {"query": {"limit": 10}, "queries": [{f"{field_name}Query": query}]}
    )


def _search_call(body: dict[str, object]) -> Call:
    return Call("POST", ORGANIZATIONS, body=json.dumps(body).encode())


Observer = Callable[[str, str, str, float], None]
"""Is told of each call that went out: method, path, HTTP status or `error` where no
answer came, and the seconds that it took; returns at once and never raises."""


def unobserved(method: str, path: str, code: str, seconds: float) -> None:
    """Take no notice of a call."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        status: The HTTP status.
        body: At most `pool.LARGEST_BODY` bytes of it.
        retry_after: The header as it stands; None when absent.
    """

    status: int
    body: bytes
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names that one endpoint is called by.

    Attributes:
        base: `spec.url` without a user, which would compete with the token, and
            without a slash at its end.
        connected: The host of `spec.url`, for messages.
        external: `spec.externalDomain` with its port, if it has one; the `Host`.
            Where it has no port none is added: that of `url` may be a Service's.
        domain: The same without port: `x-zitadel-instance-host`, and what the
            certificate must be for.
    """

    base: str
    connected: str
    external: str | None
    domain: str | None

    @property
    def shown(self) -> str:
        """The name that ZITADEL looks its instance up by."""
        return self.domain or self.connected

    def headers(self) -> dict[str, str]:
        """Return what tells ZITADEL which instance is meant, and in which language.

        No `x-forwarded-host`: newer versions check it against trusted domains.
        """
        headers = {
            "Accept": "application/json",
            # Bodies are small, and an excerpt of a packed one tells nobody anything.
            "Accept-Encoding": "identity",
            "Accept-Language": "en",
            "User-Agent": f"zitadel-notification-operator/{VERSION}",
        }
        if self.external is not None and self.domain is not None:
            headers["Host"] = self.external
            headers[_INSTANCE_HOST_HEADER] = self.domain
        return headers


def hosts_of(endpoint: Endpoint) -> Hosts:
    """Return the names for an endpoint; an unreadable url is shown as it stands."""
    base = connected = endpoint.url.rstrip("/")
    try:
        parts = urlsplit(base)
        connected = parts.hostname or connected
        base = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    except ValueError:
        pass  # the call will say so
    external = endpoint.external_domain or None
    if external is None:
        return Hosts(base, connected, None, None)
    name, _, port = external.rpartition(":")
    domain = name if name and port.isdigit() else external
    return Hosts(base, connected, external, domain)
