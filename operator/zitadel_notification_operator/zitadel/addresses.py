"""The addresses that a tenant's url must not make the operator connect to.

Loopback and link-local addresses and metadata services answer any caller on the
machine. If the operator connected there for a tenant, the tenant would gain the
operator's position in the network. Therefore every address that a
name resolves to is checked right before the connection. All spellings of an address are
checked, too, because a proxy or a library on the way may understand them.
"""

import socket
import unicodedata
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import unquote

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

Address = IPv4Address | IPv6Address

_THIS_NETWORK = ip_network("0.0.0.0/8")
_FORBIDDEN = (
    # "This host on this network" (RFC 1122); Linux takes some of it as its own.
    _THIS_NETWORK,
    # Broadcast to everybody on this link (RFC 919).
    ip_network("255.255.255.255/32"),
    # Used by protocols (RFC 6890): Oracle's old metadata service, CLAT, NAT64.
    ip_network("192.0.0.0/24"),
    # Alibaba's metadata service.
    ip_network("100.100.100.200/32"),
    # Azure's wire server.
    ip_network("168.63.129.16/32"),
    # AWS's local services: metadata, Pod Identity, time, names.
    ip_network("fd00:ec2::/32"),
    # Oracle's metadata service.
    ip_network("fd00:c1::/32"),
    # Google's metadata service. Users have wider ranges of fd20::/20.
    ip_network("fd20:ce::/64"),
    # Scaleway's metadata service.
    ip_network("fd00:42::/64"),
)
# Ranges whose last 32 bits are an IPv4 address: IPv4-compatible, IPv4-translated (RFC
# 2765), and NAT64 with the well-known prefix (RFC 6052).
_ENDING = tuple(map(ip_network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
_LOCAL_NAT64 = ip_network("64:ff9b:1::/48")
# The places of the four IPv4 bytes in RFC 6052, for prefixes of 48, 56, 64 and 96 bits.
_PLACES = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15))
_ISATAP = (bytes.fromhex("00005efe"), bytes.fromhex("02005efe"))
_METADATA_NAMES = (
    *("metadata", "metadata.google.internal", "metadata.goog"),
    *("metadata.azure.internal", "metadata.tencentyun.com", "instance-data"),
    *("instance-data.ec2.internal", "metadata.platformequinix.com"),
)


class LocalAddress(OSError):
    """A name resolves to an address that must not be connected to."""


class GuardedResolver(AbstractResolver):
    """A resolver that refuses a name if any of its addresses is local."""

    def __init__(self) -> None:
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            LocalAddress: One of the addresses must not be connected to.
            OSError: The name cannot be resolved.
        """
        found = await self._resolver.resolve(host, port, family)
        if any(is_local(result["host"]) for result in found):
            raise LocalAddress(f"{host} leads to a local address")
        return found

    async def close(self) -> None:
        """Release the resources of the resolver."""
        await self._resolver.close()


@lru_cache(maxsize=1024)
def is_local(host: str) -> bool:
    """Return whether a host is a literal address that must not be connected to.

    Args:
        host: An address in any spelling, also an IPv6 address that stands for an IPv4
            address; or a name, for which the result is always False.
    """
    address = _address(host)
    return address is not None and _is_local(address)


def is_metadata_name(host: str) -> bool:
    """Return whether a host is the name of a cloud's metadata service.

    This check is needed when somebody else, such as a proxy, resolves the name.
    """
    return _plain(host) in _METADATA_NAMES


def is_loopback(host: str) -> bool:
    """Return whether a host refers to this machine, in any spelling."""
    plain = _plain(host)
    if plain == "localhost" or plain.endswith(".localhost"):
        return True
    address = _address(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address is not None and (mapped or address).is_loopback


def _plain(host: str) -> str:
    """Return a host as clients normalize it. IDNA folds character widths like NFKC."""
    text = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".")
    return text.strip().lower().removeprefix("[").removesuffix("]").rstrip(".")


def _address(host: str) -> Address | None:
    # A zone names a network interface. Every address that has one is local.
    plain = _plain(host.partition("%25")[0]).partition("%")[0]
    try:
        return ip_address(plain.removeprefix("[").removesuffix("]"))
    except ValueError:
        pass
    try:
        # The C library also accepts 127.1, 2130706433, 0x7f.1 and 0177.0.0.1.
        return IPv4Address(socket.inet_aton(plain)) if " " not in plain else None
    except (OSError, ValueError):
        return None


def _is_local(address: Address) -> bool:
    if _is_forbidden(address):
        return True
    if isinstance(address, IPv4Address):
        return False
    return any(map(_is_forbidden, _embedded(address))) or any(
        _is_forbidden(found) and found not in _THIS_NETWORK
        for found in _translated_locally(address)
    )


def _is_forbidden(address: Address) -> bool:
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or any(address in network for network in _FORBIDDEN)
    )


def _embedded(address: IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address stands for or leads through."""
    last = IPv4Address(int(address) & 0xFFFFFFFF)
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in _ENDING):
        found.append(last)
    if address.packed[8:12] in _ISATAP:
        found.append(last)
    return [one for one in found if one is not None]


def _translated_locally(address: IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that a NAT64 with a local prefix may derive.

    The length of its prefix is unknown (RFC 8215), so all places are tried. If the
    prefix has another length, the bytes at a place are mostly zeros and prove nothing.
    """
    if address not in _LOCAL_NAT64:
        return []
    packed = address.packed
    return [IPv4Address(bytes(packed[at] for at in places)) for places in _PLACES]
