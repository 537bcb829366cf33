"""Which addresses a tenant's url must not make the operator connect to.

Loopback, link-local and metadata services answer whoever runs on the machine; an
operator that connects there for others lends them its place (conventions 8.6). Every
address that a name resolves to is looked at, right before the connection.
"""

import socket
from ipaddress import (
    IPv4Address,
    IPv6Address,
    ip_address,
    ip_network,
)

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

_METADATA = frozenset(
    {
        # Clouds' metadata services that are not link-local: Alibaba, Oracle, AWS.
        ip_address("100.100.100.200"),
        ip_address("192.0.0.192"),
        ip_address("fd00:ec2::254"),
    }
)
_THIS_NETWORK = ip_network("0.0.0.0/8")
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")


class LocalAddress(OSError):
    """A name leads to an address that must not be connected to."""


class GuardedResolver(AbstractResolver):
    """Resolves names, and refuses those of which one address is local."""

    def __init__(self) -> None:
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            LocalAddress: One of them may not be connected to.
            OSError: The name is not known.
        """
        found = await self._resolver.resolve(host, port, family)
        if any(is_local(result["host"]) for result in found):
            raise LocalAddress(f"{host} leads to a local address")
        return found

    async def close(self) -> None:
        """Let go of what resolving takes."""
        await self._resolver.close()


def is_local(host: str) -> bool:
    """Return whether a host is the literal of an address not to connect to.

    Args:
        host: A name, of which nothing is known here, or an address: also one of
            IPv6 that stands for one of IPv4.
    """
    try:
        # A zone says through which interface, and every address with one is local.
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return _is_forbidden(address) or any(map(_is_forbidden, _embedded(address)))


def _is_forbidden(address: IPv4Address | IPv6Address) -> bool:
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address in _METADATA
        # This host on this network (RFC 1122): Linux takes some of it for itself.
        or address in _THIS_NETWORK
    )


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """Return the addresses of IPv4 that one of IPv6 may be translated to."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour]
    if address in _NAT64 or address in _COMPATIBLE:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]
