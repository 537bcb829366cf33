"""The host that a request names, and whether it belongs to this instance.

Source: ZITADEL: `origin_interceptor.go` and `instance_interceptor.go`. Several headers
can name the host of the instance; the first that is not empty counts. The port is
ignored.
"""

import re
from collections.abc import Collection, Mapping

from .answers import INTERNAL, NOT_FOUND, Refusal

EXTERNAL_DOMAIN = "localhost"
"""ZITADEL's setting of this name; generated domains of organizations end with it."""

OUTAGES = ("not_found", "internal")
"""The errors that builds of ZITADEL send while the database is down, oldest first."""

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
    """Return the host that names the instance, including the port.

    Args:
        headers: The headers of the request; their names match in any case.
        gateway: Whether this is an API call. The header `Forwarded` is ignored then,
            because the REST gateway does not pass it on to the API behind it.
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
    outage: str,
) -> None:
    """Look up the instance by the request's host.

    Args:
        headers: The headers of the request.
        domains: The domains of the instance, without ports and brackets.
        gateway: As in `instance_host`.
        outage: How the lookup fails because the database is down, one of `OUTAGES`;
            empty while the database is up.

    Raises:
        Refusal: The lookup failed with 404, code 5, without details. The text contains
            `QUERY-1kIjX` for an unknown host, `QUERY-IuGh1` for a public host that is
            not trusted, or `QUERY-d3fas` while the database is down. Newer builds
            answer 500, code 13, with the id `QUERY-d3fas` while it is down.
    """
    if outage == OUTAGES[1]:
        raise Refusal(INTERNAL, "An internal error occurred", "QUERY-d3fas")
    host = instance_host(headers, gateway=gateway)
    public = headers.get("x-zitadel-public-host", "")
    if outage:
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
    """Return the issuer's URL, which discovery names and assertions have as audience.

    The scheme is `https` if the server itself is secure, or else the one that a proxy
    names in a header, or else `http`. The host is the public host with its port. There
    is no slash at the end. These are ZITADEL's rules.

    Args:
        headers: The headers of the request.
        secure: Whether the server itself serves TLS (ZITADEL: `ExternalSecure`).
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
    """Return a host without its port and without the brackets of an IPv6 address."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _forwarded(value: str | None, name: str = "host") -> str:
    pattern = rf'(?:^|[;,\s]){name}="?([^";,\s]+)'
    found = re.search(pattern, value or "", re.IGNORECASE)
    return found[1] if found else ""
