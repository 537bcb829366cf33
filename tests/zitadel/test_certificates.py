"""Which certificates of a ZITADEL are trusted, and the messages about the others."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from zitadel.authorities import HOUR, Issued, constraints, issue, server_for, showing
from zitadel.servers import PAT, policy, serving
from zitadel_notification_operator.core.credentials import CaRef, parse_roots
from zitadel_notification_operator.core.errors import TerminalError, TransientError
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

pytestmark = pytest.mark.tls

CA = CaRef("ConfigMap", "ca", "ca.crt")


async def observed(bundle: str | None, tls: ssl.SSLContext, host: str = "") -> None:
    """Read a policy over TLS, with a bundle as in a ConfigMap."""
    roots = None
    if bundle is not None:
        roots = parse_roots(CA, {"ca.crt": bundle.encode()}, "own")
    async with serving(tls) as server:
        server.always(policy())
        connector = ZitadelConnector(call_timeout=5, allow_local=True)
        url = server.url.replace("127.0.0.1", host or "127.0.0.1")
        try:
            client = connector.connect("a", Endpoint(url), PAT, roots)
            assert await client.observe("org-a") is not None
        finally:
            await connector.aclose()


async def refused(bundle: str | None, tls: ssl.SSLContext, host: str = "") -> str:
    """Return the message about a certificate that is not trusted."""
    with pytest.raises(TransientError) as caught:
        await observed(bundle, tls, host)
    assert caught.value.reason is Reason.CERTIFICATE_NOT_TRUSTED
    return caught.value.message


@pytest.fixture
def bare() -> Issued:
    """An authority as openssl req -x509 and many appliances create it."""
    return issue("bare", None, constraints(ca=True))


async def test_an_authority_with_basic_constraints_alone_is_trusted(
    bare: Issued, tmp_path: Path
) -> None:
    await observed(bare.pem, showing(tmp_path, server_for(bare)))


@pytest.mark.parametrize("critical", [True, False])
async def test_an_authority_of_any_profile_is_trusted(
    *, critical: bool, tmp_path: Path
) -> None:
    """Its constraints need not be critical, and keys need no ids."""
    authority = issue("any", None, constraints(ca=True, critical=critical))
    shown = server_for(authority, constraints(ca=False, critical=critical))
    await observed(authority.pem, showing(tmp_path, shown))


async def test_an_intermediate_authority_alone_is_an_anchor(
    bare: Issued, tmp_path: Path
) -> None:
    """As with curl --cacert and Go, the root is not needed."""
    between = issue("between", bare, constraints(ca=True))
    await observed(between.pem, showing(tmp_path, server_for(between)))


async def test_a_server_may_leave_out_what_the_bundle_names(
    bare: Issued, tmp_path: Path
) -> None:
    between = issue("between", bare, constraints(ca=True))
    await observed(between.pem + bare.pem, showing(tmp_path, server_for(between)))


async def test_the_certificate_of_the_server_itself_is_an_anchor(
    bare: Issued, tmp_path: Path
) -> None:
    shown = server_for(bare)
    await observed(shown.pem, showing(tmp_path, shown))


@pytest.mark.parametrize(
    "form",
    [
        "# made by hand, für uns\n{good}trailing words\n",
        "{good}{good}",
        "{old}{good}",
        "{good}{old}",
        "{other}{good}",
        "{key}{good}",
        "{good}{key}",
        "\ufeff{good}",
    ],
)
async def test_bundles_as_people_have_them(
    form: str, bare: Issued, tmp_path: Path
) -> None:
    """They have text, duplicates, expired certificates, others, even a key."""
    old = issue("bare", None, constraints(ca=True), ends=-HOUR, key=bare.key)
    other = issue("other", None, constraints(ca=True))
    bundle = form.format(good=bare.pem, old=old.pem, other=other.pem, key=bare.key_pem)
    tls = showing(tmp_path, server_for(bare))
    await observed(bundle, tls)
    await observed(bundle.replace("\n", "\r\n"), tls)


async def test_an_unknown_authority_is_to_be_named(
    bare: Issued, tmp_path: Path
) -> None:
    message = await refused(None, showing(tmp_path, server_for(bare)))
    assert "name the authority's certificates in spec.caBundle" in message


async def test_no_message_asks_for_an_authority_that_is_named(
    bare: Issued, tmp_path: Path
) -> None:
    other = issue("other", None, constraints(ca=True))
    message = await refused(other.pem, showing(tmp_path, server_for(bare)))
    assert "none of the authorities in spec.caBundle" in message
    assert "name the authority" not in message


async def test_an_authority_that_may_not_sign_is_blamed_itself(
    bare: Issued, tmp_path: Path
) -> None:
    """The chain is checked, and only an authority may sign."""
    leaf = issue("leaf", bare, constraints(ca=False))
    tls = showing(tmp_path, server_for(leaf), leaf)
    message = await refused(bare.pem, tls)
    assert "the authority" in message
    assert "at fault" in message
    assert "spec.caBundle" not in message


async def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    root = issue("root", None, constraints(ca=True, longest=0))
    between = issue("between", root, constraints(ca=True))
    tls = showing(tmp_path, server_for(between), between)
    assert "at fault" in await refused(root.pem, tls)


async def test_the_times_of_certificates_are_checked(
    bare: Issued, tmp_path: Path
) -> None:
    address = server_for(bare).certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    ended = issue("ended", bare, (address.value, False), ends=-dt.timedelta(minutes=1))
    message = await refused(bare.pem, showing(tmp_path, ended))
    assert "has expired" in message
    assert "renew" in message
    assert "caBundle" not in message
    old = issue("bare", None, constraints(ca=True), ends=-HOUR, key=bare.key)
    assert "renew" in await refused(old.pem, showing(tmp_path, server_for(bare)))


async def test_the_name_is_checked(bare: Issued, tmp_path: Path) -> None:
    message = await refused(
        bare.pem, showing(tmp_path, server_for(bare)), host="localhost"
    )
    assert "not valid for 'localhost'" in message
    assert "spec.externalDomain" in message
    assert "caBundle" not in message


def test_what_is_no_certificate_is_reported(bare: Issued) -> None:
    connector = ZitadelConnector(allow_local=True)
    broken = bare.pem.replace("\n", "\\n")
    for bundle in (broken, bare.pem.replace("-----END", "----END")):
        roots = parse_roots(CA, {"ca.crt": bundle.encode()}, "own")
        with pytest.raises(TerminalError) as caught:
            connector.connect("a", Endpoint("https://zitadel.example"), PAT, roots)
        assert caught.value.reason is Reason.CA_BUNDLE_INVALID
