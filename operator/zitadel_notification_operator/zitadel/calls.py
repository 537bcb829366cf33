"""What is asked of ZITADEL and what comes back, as plain values.

Paths, headers and hosts are known here and nowhere else; who may call when is the
pool's business, what an answer means that of `models` and `errors`.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from zitadel_notification_operator.core.objects import Endpoint
from zitadel_notification_operator.version import VERSION

ORGANIZATION_POLICY = "/management/v1/policies/notification"
DEFAULT_POLICY = "/management/v1/policies/default/notification"
INSTANCE_POLICY = "/admin/v1/policies/notification"
ORGANIZATION = "/management/v1/orgs/me"
INSTANCE = "/admin/v1/instances/me"

_ORGANIZATION_HEADER = "x-zitadel-orgid"
_INSTANCE_HOST_HEADER = "x-zitadel-instance-host"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of ZITADEL's REST interface.

    Attributes:
        organization_id: Sent as `x-zitadel-orgid`; None sends no such header, and
            ZITADEL takes the organization that owns the credential's user.
        password_change: The body of a POST or PUT; None sends no body.
    """

    method: str
    path: str
    organization_id: str | None = None
    password_change: bool | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def concerns_instance(self) -> bool:
        """Whether it needs a role in the instance rather than in an organization."""
        return self.path.startswith("/admin/")

    def headers(self, token: str) -> dict[str, str]:
        """Return the headers that differ from call to call.

        ZITADEL takes an empty `x-zitadel-orgid` for the credential's own
        organization, so none is ever sent.
        """
        headers = {"Authorization": f"Bearer {token}"}
        if self.organization_id:
            headers[_ORGANIZATION_HEADER] = self.organization_id
        if self.password_change is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def body(self) -> bytes | None:
        """Return the JSON to send; `false` is spelled out, an empty body means it."""
        if self.password_change is None:
            return None
        return b'{"passwordChange":%s}' % (
            b"true" if self.password_change else b"false"
        )


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
