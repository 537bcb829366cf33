"""Chooses the forward proxy for a url from the environment, as Go clients do.

Clusters set these variables for all their pods, and most programs there are written in
Go. `NO_PROXY` may therefore contain ranges, wildcards and ports
(golang.org/x/net/http/httpproxy). There are two differences: `ALL_PROXY` counts, too,
and loopback addresses are no exception, because a url with one is accepted only with
`--allow-local-urls`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

import aiohttp
import httpx

_PROXY_SCHEMES = {"http", "https"}
_PORTS = {"http": "80", "https": "443"}

_Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Proxy:
    """A forward proxy.

    Attributes:
        url: The url, without a user.
        headers: The headers that authenticate us to the proxy, which nobody else gets.
    """

    url: str
    headers: Mapping[str, str]


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy that the environment names for a url, or None for no proxy.

    The variables are `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper
    or lower case.

    Raises:
        ValueError: The proxy's url cannot be used.
    """
    parts = urlsplit(url)
    if not parts.hostname or _is_direct(parts, _named("no")):
        return None
    text = _named(parts.scheme) or _named("all")
    if not text:
        return None
    try:
        proxy = httpx.URL(text if "://" in text else f"http://{text}")
    except httpx.InvalidURL as error:
        raise ValueError("the proxy's url cannot be read") from error
    if proxy.scheme not in _PROXY_SCHEMES or not proxy.host:
        raise ValueError("the proxy's url must begin with http:// or https://")
    headers = {}
    if proxy.username:
        credentials = aiohttp.encode_basic_auth(proxy.username, proxy.password)
        headers["Proxy-Authorization"] = credentials
    return Proxy(str(proxy.copy_with(userinfo=b"")), headers)


def _named(kind: str) -> str:
    """Return a variable. Upper case comes first; an empty value counts as unset."""
    for name in (f"{kind}_proxy".upper(), f"{kind}_proxy"):
        value = os.environ.get(name, "").strip()
        if value:
            return value
    return ""


def _is_direct(parts: SplitResult, exceptions: str) -> bool:
    host = (parts.hostname or "").lower()
    port = str(parts.port or _PORTS.get(parts.scheme, ""))
    address = _address_of(host)
    return any(
        _matches(entry.strip().lower(), host, port, address)
        for entry in exceptions.split(",")
    )


def _matches(entry: str, host: str, port: str, address: _Address | None) -> bool:
    """Return whether one entry of `NO_PROXY` covers a host."""
    if entry == "*":
        return True
    if "/" in entry:
        return address is not None and _covers(entry, address)
    name, entry_port = _split(entry)
    if not name or entry_port not in {"", port}:
        return False
    named = _address_of(name)
    if named is not None or address is not None:
        return named == address
    return _is_below(name, host)


def _covers(entry: str, address: _Address) -> bool:
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return False
    return address in network


def _split(entry: str) -> tuple[str, str]:
    """Return host and port of an entry. With a port, an IPv6 address needs brackets."""
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, port.removeprefix(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""


def _is_below(name: str, host: str) -> bool:
    """Return whether a host is a name or below it; `.name` covers only those below."""
    name, host = _ascii(name.removeprefix("*")), _ascii(host)
    if name.startswith("."):
        return host.endswith(name)
    return host == name or host.endswith(f".{name}")


def _ascii(name: str) -> str:
    if name.isascii():
        return name
    lead = "." if name.startswith(".") else ""
    try:
        return lead + name.removeprefix(".").encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _address_of(host: str) -> _Address | None:
    """Return a literal address, for an IPv4-mapped IPv6 address the IPv4 one."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
