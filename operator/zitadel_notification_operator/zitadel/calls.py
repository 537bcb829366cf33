"""The calls to ZITADEL and its replies, as plain values.

Only this module knows paths, headers and hosts. The pool decides who may call when, and
`models` and `errors` interpret the answers.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.core.settings import Settings
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
EVENTS = "/admin/v1/events/_search"
TOKEN = "/oauth/v2/token"  # noqa: S105 - a path

_ORGANIZATION_HEADER = "x-zitadel-orgid"
_INSTANCE_HOST_HEADER = "x-zitadel-instance-host"
_LIMIT_HEADER = "Grpc-Timeout"
_LONGEST_LIMIT = 99_999_999
"""The largest limit in milliseconds: gRPC accepts eight digits and a unit (`m`)."""

_EQUALS = "TEXT_QUERY_METHOD_EQUALS_IGNORE_CASE"
_BY_NAME = "ORGANIZATION_FIELD_NAME_NAME"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of ZITADEL's REST API.

    Attributes:
        organization_id: Sent as `x-zitadel-orgid`. If it is None, the header is not
            sent and ZITADEL uses the organization that owns the credential's user.
        body: JSON, or a form for `TOKEN`; None for no body. It is not shown anywhere,
            because a form contains secrets.
        paged: Whether this is a search with a number of rows that could be made
            smaller.
    """

    method: str
    path: str
    organization_id: str | None = None
    body: bytes | None = field(default=None, repr=False)
    paged: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def concerns_instance(self) -> bool:
        """Whether the call needs a role in the instance, not in an organization."""
        return self.path.startswith("/admin/")

    @property
    def concerns_policy(self) -> bool:
        """Whether it reads or writes a policy that a NotificationPolicy declares."""
        return self.path in {ORGANIZATION_POLICY, INSTANCE_POLICY}

    @property
    def reads_policy(self) -> bool:
        """Whether ZITADEL answers from its projection of notification policies.

        This includes the GET of the default policy, which may identify the instance.
        """
        shown = self.concerns_policy or self.path == DEFAULT_POLICY
        return self.method == "GET" and shown

    @property
    def writes(self) -> bool:
        """Whether the call may change data. Searches are POSTs, but do not."""
        reads = self.method == "GET" or self.path == TOKEN
        return not reads and not self.path.endswith("/_search")

    @property
    def is_side_errand(self) -> bool:
        """Whether all other calls go on when this one is refused.

        This holds for a search of events, whose caller itself waits for as long as the
        answer asks. If that wait applied to the whole instance, a rate-limited search
        would also stop polling, which is the fallback for it
        (docs/concepts/ownership.md).
        """
        return self.path == EVENTS

    def headers(self, token: str) -> dict[str, str]:
        """Return the headers that differ from call to call.

        An empty `x-zitadel-orgid` is never sent, because ZITADEL takes it for the
        credential's own organization. For calls without authentication, the token is
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


def is_sendable(text: str) -> bool:
    """Return whether a header can carry a text: it is visible ASCII, and not empty."""
    return text.isascii() and text.isprintable() and " " not in text and text != ""


def limit_header(seconds: float) -> dict[str, str]:
    """Return the header that makes ZITADEL stop a call when its caller stops waiting.

    ZITADEL then answers HTTP 504 with code 4 and writes nothing (tested on a real
    server). Without the header, it continues a write whose caller has gone.

    Args:
        seconds: More than 0. Fractions of a millisecond are cut off, because ZITADEL
            must not go on for longer than the caller waits.
    """
    milliseconds = max(1, min(int(seconds * 1000), _LONGEST_LIMIT))
    return {_LIMIT_HEADER: f"{milliseconds}m"}


def policy_body(settings: Settings, before: ObservedPolicy | None) -> bytes:
    """Return the JSON of a whole policy.

    Args:
        settings: The values to set, which are also sent if they are false.
        before: What is there now. All its other members are sent as they were read,
            because ZITADEL sets members that are missing to false.
    """
    unknown: Mapping[str, object] = {}
    if before is not None:
        unknown = before.unknown_members
        settings = settings.merged_into(before.settings)
    body = {**unknown, **settings.by_zitadel_name()}
    return json.dumps(body, separators=(",", ":")).encode()


def post(path: str, body: Mapping[str, object], *, paged: bool = False) -> Call:
    """Return the call for a search, as which ZITADEL uses POST."""
    return Call("POST", path, body=json.dumps(body).encode(), paged=paged)


def page_call(offset: int, limit: int) -> Call:
    """Return the call for a page of organizations, in a stable order."""
    body = {"query": _page(offset, limit), "sortingColumn": _BY_NAME}
    return post(ORGANIZATIONS, body, paged=True)


def memberships_call(offset: int, limit: int) -> Call:
    """Return the call for a page of the user's memberships."""
    return post(MEMBERSHIPS, {"query": _page(offset, limit)}, paged=True)


def _page(offset: int, limit: int) -> dict[str, object]:
    return {"offset": str(offset), "limit": limit, "asc": True}


def search_call(reference: Reference) -> Call:
    """Return the call that finds an organization by name or verified domain.

    ZITADEL matches without regard to case: names are unique regardless of case, and
    domains are host names. More than one row is requested, so that a second match is
    noticed.
    """
    field_name = reference.by.value
    query = {field_name: reference.value, "method": _EQUALS}
    queries = [{f"{field_name}Query": query}]
    return post(ORGANIZATIONS, {"query": {"limit": 10}, "queries": queries})


Observer = Callable[[str, str, str, float], None]
"""A callback for each call that was sent.

It receives the method, the path, the HTTP status (or `error` if there was no answer)
and the duration in seconds. It must return at once and never raise.
"""


def unobserved(method: str, path: str, code: str, seconds: float) -> None:
    """Ignore a call: the observer that does nothing."""


@dataclass(frozen=True, slots=True)
class Reply:
    """ZITADEL's reply to a call.

    Attributes:
        status: The HTTP status.
        body: At most `pool.LARGEST_BODY` bytes of the body.
        retry_after: The text of the header; None if it is absent.
    """

    status: int
    body: bytes
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Hosts:
    """The host names of one endpoint.

    Attributes:
        base: `spec.url` without a slash at its end and without a user, which would
            conflict with the token.
        connected: The host of `spec.url`, for messages.
        external: `spec.externalDomain`, sent as `Host`. It keeps its port, if it has
            one. No port is added, because that of `url` may be the port of a Service.
        domain: `spec.externalDomain` without a port. It is sent as
            `x-zitadel-instance-host`, and the certificate must be valid for it.
    """

    base: str
    connected: str
    external: str | None
    domain: str | None

    @property
    def shown(self) -> str:
        """The host name by which ZITADEL looks up its instance."""
        return self.domain or self.connected

    def headers(self) -> dict[str, str]:
        """Return the headers that tell ZITADEL the instance and the language.

        `x-forwarded-host` is not sent, because newer versions check it against trusted
        domains.
        """
        headers = {
            "Accept": "application/json",
            # Bodies are small, and an excerpt of a compressed body would be unreadable.
            "Accept-Encoding": "identity",
            "Accept-Language": "en",
            "User-Agent": f"zitadel-notification-operator/{VERSION}",
        }
        if self.external is not None and self.domain is not None:
            headers["Host"] = self.external
            headers[_INSTANCE_HOST_HEADER] = self.domain
        return headers


def hosts_of(endpoint: Endpoint) -> Hosts:
    """Return the hosts of an endpoint. An unreadable url is kept unchanged."""
    base = connected = endpoint.url.rstrip("/")
    try:
        parts = urlsplit(base)
        connected = parts.hostname or connected
        base = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    except ValueError:
        pass  # the call will report it
    external = endpoint.external_domain or None
    if external is None:
        return Hosts(base, connected, None, None)
    name, _, port = external.rpartition(":")
    domain = name if name and port.isdigit() else external
    return Hosts(base, connected, external, domain)
