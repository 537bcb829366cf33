"""Which host a request means, and whether this instance has it.

Source: ZITADEL: `origin_interceptor.go` and `instance_interceptor.go`; the first header
that is not empty names the instance's host, the port does not count.
"""

import re
from collections.abc import Collection, Mapping

from zitadel_notification_operator.emulator.answers import NOT_FOUND, Refusal

EXTERNAL_DOMAIN = "localhost"
"""What ZITADEL's own configuration calls its domain; organizations' domains end so."""

_ORIGIN = (
    "unable to set instance using origin &{{{host} {public} http}} "
    f"(ExternalDomain is {EXTERNAL_DOMAIN}): ID={{id}} Message={{message}} "
    "Parent=(unable to get instance by host: instanceHost {host}, "
    "publicHost {public}: ID={id} Message={parent})"
)
_WRONG = (
    "Instance not found. Make sure you got the domain right. Check out "
    "https://zitadel.com/docs/apis/introduction#domains"
)
_NO_DATABASE = (
    "Errors.Internal Parent=(failed to connect to `user=zitadel database=zitadel`: "
    "127.0.0.1:5432 (127.0.0.1): dial error: dial tcp 127.0.0.1:5432: "
    "connect: connection refused)"
)


def instance_host(headers: Mapping[str, str], *, gateway: bool) -> str:
    """Return the host that names the instance, port included.

    Args:
        headers: Of the request; names in any case.
        gateway: Whether it is an API call: a bare `Forwarded` does not survive the
            way from the REST gateway to the API behind it.
    """
    return (
        headers.get("x-zitadel-instance-host")
        or ("" if gateway else _forwarded(headers.get("Forwarded")))
        or _forwarded(headers.get("x-zitadel-forwarded"))
        or _forwarded(headers.get("x-forwarded-for"))
        or headers.get("x-forwarded-host")
        or headers.get("Host")
        or ""
    )


def check_host(
    headers: Mapping[str, str],
    domains: Collection[str],
    *,
    gateway: bool,
    database_down: bool,
) -> None:
    """Look the instance up by the request's host.

    Args:
        headers: Of the request.
        domains: The instance's, without ports and brackets.
        gateway: As in `instance_host`.
        database_down: The look-up fails as it does without a database.

    Raises:
        Refusal: 404, code 5, no details; its text names `QUERY-d3fas` without a
            database, `QUERY-1kIjX` for an unknown host, `QUERY-IuGh1` for a public
            host that is not trusted.
    """
    host = instance_host(headers, gateway=gateway)
    public = headers.get("x-zitadel-public-host", "")
    if database_down:
        error_id, message, parent = (
            "QUERY-d3fas",
            "An internal error occurred",
            _NO_DATABASE,
        )
    elif without_port(host) not in domains:
        error_id, message, parent = "QUERY-1kIjX", _WRONG, "Errors.IAM.NotFound"
    elif public and public != host and without_port(public) not in domains:
        error_id, message, parent = "QUERY-IuGh1", _WRONG, "Errors.IAM.NotFound"
    else:
        return
    raise Refusal(
        NOT_FOUND,
        _ORIGIN.format(
            host=host, public=public, id=error_id, message=message, parent=parent
        ),
    )


def issuer(headers: Mapping[str, str], *, secure: bool) -> str:
    """Return the address that discovery names, and that assertions must be made for.

    ZITADEL: `https` when the server is told that it is behind TLS, else what a proxy
    says, else `http`; then the public host, port included, without a slash at the end.

    Args:
        headers: Of the request.
        secure: Whether the server itself speaks TLS.
    """
    public = headers.get("x-zitadel-public-host", "")
    host = public or instance_host(headers, gateway=False)
    proxied = (
        _forwarded(headers.get("Forwarded"), "proto")
        or _forwarded(headers.get("x-zitadel-forwarded"), "proto")
        or headers.get("x-forwarded-proto")
    )
    return f"{'https' if secure else proxied or 'http'}://{host}"


def without_port(host: str) -> str:
    """Return a host without its port, and an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _forwarded(value: str | None, name: str = "host") -> str:
    pattern = rf'(?:^|[;,\s]){name}="?([^";,\s]+)'
    found = re.search(pattern, value or "", re.IGNORECASE)
    return found[1] if found else ""
