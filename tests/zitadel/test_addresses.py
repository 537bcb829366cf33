"""Addresses to which the operator does not connect without permission."""

import pytest

from zitadel.servers import PAT, Server, policy
from zitadel_notification_operator.core.errors import OperatorError, TerminalError
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.addresses import is_local
from zitadel_notification_operator.zitadel.connector import ZitadelConnector


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.9.10",
        "0.0.0.0",  # noqa: S104 - looked at, not bound to
        "0.1.2.3",
        "169.254.169.254",
        "100.100.100.200",
        "192.0.0.192",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:7f00:1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "ff02::1",
        "255.255.255.255",
        "168.63.129.16",
        "::ffff:168.63.129.16",
        "fd00:ec2::23",
        "fd00:ec2::253",
        "fd20:ce::254",
        "FD20:00CE:0::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
        # IPv4-translated, NAT64 of a local prefix of each length, 6to4, ISATAP, and
        # Teredo: the server, and the client behind it.
        "::ffff:0:127.0.0.1",
        "::ffff:0:a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:ffff::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1:1:a9:fea9:fe00:0",
        "2002:a9fe:a9fe::1",
        "2001:db8::5efe:127.0.0.1",
        "fd12::200:5efe:a9fe:a9fe",
        "2001:0:a9fe:a9fe:0:0:f5ff:fffe",
        "2001:0:808:808:0:0:5601:5601",
        # Spellings that the C library, a browser or a proxy understands.
        *("127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1"),
        *("017700000001", "2852039166", "169.254.43518", "127.0.0.1.", "[::1]"),
        *("::FFFF:7F00:1", "fe80::1%25eth0", "[fe80::1%eth0]", "%31%32%37.0.0.1"),
        *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021"),
    ],
)
def test_local_addresses(host: str) -> None:
    """This holds for every notation of an address."""
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        *("10.0.0.1", "192.168.1.1", "172.16.0.1", "8.8.8.8", "fd12::1", "2001:db8::1"),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "zitadel.example.com", "localhost"),
        *("64:ff9b:1::a00:1", "64:ff9b:1::a00:0", "64:ff9b:1:a00:0:100::"),
        *("::ffff:0:10.0.0.1", "2001:db8::5efe:10.0.0.1", "fd20:1::254", "167772161"),
        *("10.1", "168.63.129.17", "fd12:c1::1", "2002:a00:1::", "", "zitadel", "a b"),
    ],
)
def test_other_hosts(host: str) -> None:
    """ZITADEL is usually in a cluster's own ranges; names are checked later."""
    assert not is_local(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:7f00:1]"])
async def test_literals_are_refused_without_a_call(host: str) -> None:
    connector = ZitadelConnector()
    with pytest.raises(TerminalError) as caught:
        connector.connect("a", Endpoint(f"http://{host}:1"), PAT, None)
    assert caught.value.reason is Reason.ADDRESS_NOT_ALLOWED
    assert "--allow-local-urls" in caught.value.message
    await connector.aclose()


async def test_a_name_that_leads_there_is_refused_at_the_connection(
    server: Server,
) -> None:
    """No request arrives without the option."""
    server.always(policy())
    url = server.url.replace("127.0.0.1", "localhost")
    for allowed in (False, True):
        connector = ZitadelConnector(call_timeout=2, allow_local=allowed)
        client = connector.connect("a", Endpoint(url), PAT, None)
        if allowed:
            assert await client.observe("org-a") is not None
        else:
            with pytest.raises(OperatorError) as caught:
                await client.observe("org-a")
            assert caught.value.reason is Reason.ADDRESS_NOT_ALLOWED
            assert server.seen == []
        await connector.aclose()


@pytest.mark.parametrize("name", ["127.1", "0x7f000001", "2130706433", "017700000001"])
async def test_old_ways_to_write_an_address_are_refused(
    server: Server, name: str
) -> None:
    """The CRD refuses them, but an older object might have one."""
    server.always(policy())
    url = server.url.replace("127.0.0.1", name)
    connector = ZitadelConnector(call_timeout=2)
    with pytest.raises(OperatorError):
        await connector.connect("a", Endpoint(url), PAT, None).observe("org-a")
    assert server.seen == []
    await connector.aclose()


async def test_behind_a_proxy_only_literals_are_checked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy resolves names, and has its own rules."""
    server.always(policy())
    monkeypatch.setenv("HTTP_PROXY", server.url)
    connector = ZitadelConnector(call_timeout=2)
    url = "http://localhost.example:80"
    client = connector.connect("a", Endpoint(url), PAT, None)
    assert await client.observe("org-a") is not None
    with pytest.raises(TerminalError):
        connector.connect("b", Endpoint("http://169.254.169.254"), PAT, None)
    await connector.aclose()


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST.", "zitadel.localhost", "127.1", "[::1]"),
        *("metadata.google.internal", "Metadata.Google.Internal.", "metadata"),
    ],
)
def test_behind_a_proxy_well_known_names_are_refused(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would lead to services near the proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    with pytest.raises(TerminalError) as caught:
        ZitadelConnector().connect("a", Endpoint(f"http://{host}:80"), PAT, None)
    assert caught.value.reason is Reason.ADDRESS_NOT_ALLOWED
