"""The emulator serves https and more hosts."""

import ipaddress
import ssl
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from shared.api import ADMIN, Api
from shared.processes import COMMAND, rest, running
from zitadel_emulator.server import Tls, new_emulator, serve

pytestmark = pytest.mark.tls

DOMAIN = "auth.example.test"
DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A self-signed certificate and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, DOMAIN)])
    names = [x509.DNSName(DOMAIN), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Tls(folder / "tls.crt", folder / "tls.key")
    made.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return made


def trust(files: Tls) -> ssl.SSLContext:
    """Return the TLS context of a client that trusts the certificate."""
    return ssl.create_default_context(cafile=str(files.certificate))


@pytest.fixture
async def secure(files: Tls) -> AsyncIterator[Api]:
    """A client of an emulator with TLS and an additional domain."""
    emulator = new_emulator("owner-token-5e1", domains=[DOMAIN])
    async with (
        serve(emulator, tls=files) as served,
        httpx.AsyncClient(
            base_url=served.url, verify=trust(files), trust_env=False
        ) as client,
    ):
        yield Api(served, client)


async def test_https_with_a_domain(secure: Api) -> None:
    """The address, discovery and assertions all have https."""
    assert secure.emulator.url.startswith("https://127.0.0.1:")
    assert (await secure.call("GET", ADMIN)).status_code == 200
    headers = {"Host": DOMAIN}
    found = (await secure.client.get(DISCOVERY, headers=headers)).json()
    assert found["issuer"] == f"https://{DOMAIN}"
    assert found["token_endpoint"] == f"https://{DOMAIN}/oauth/v2/token"
    key = (await secure.user("key"))["keyFile"]
    signed = secure.sign(key, aud=f"https://{DOMAIN}")
    assert (await secure.token(signed, headers=headers)).status_code == 200
    plain = secure.sign(key, aud=f"http://{DOMAIN}")
    assert (await secure.token(plain, headers=headers)).status_code == 500


async def test_request_log_names_host_and_server_name(secure: Api) -> None:
    """These are the names in HTTP and in the handshake."""
    await secure.client.get(
        ADMIN,
        headers={"Host": DOMAIN, "Authorization": "Bearer owner-token-5e1"},
        extensions={"sni_hostname": DOMAIN},
    )
    logged = (await secure.control("GET", "requests")).json()[-1]
    assert (logged["host"], logged["server_name"]) == (DOMAIN, DOMAIN)


async def test_plain_http_has_no_server_name(api: Api) -> None:
    """The field exists and is empty."""
    await api.call("GET", ADMIN)
    logged = (await api.control("GET", "requests")).json()[-1]
    assert logged["server_name"] == ""
    assert logged["host"] == api.emulator.url.removeprefix("http://")


async def test_untrusted_certificate(secure: Api) -> None:
    """The client itself refuses it."""
    async with httpx.AsyncClient(base_url=secure.emulator.url) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/debug/healthz")


async def test_domains_over_the_control_path(api: Api) -> None:
    """From then on the instance answers to the host."""
    headers = {"Host": f"{DOMAIN}:1"}
    assert (await api.call("GET", ADMIN, headers=headers)).status_code == 404
    answer = await api.control("POST", "domains", {"domain": DOMAIN})
    assert answer.status_code == 201
    assert (await api.call("GET", ADMIN, headers=headers)).status_code == 200
    shown = (await api.call("GET", "/admin/v1/instances/me")).json()["instance"]
    assert DOMAIN in [domain["domain"] for domain in shown["domains"]]
    assert [d["domain"] for d in shown["domains"] if d.get("primary")] == ["localhost"]


def test_process_serves_https(files: Tls) -> None:
    """Options set certificate, key and domains."""
    options = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with running("--port", "0", *options, "--domain", DOMAIN) as (process, url):
        assert url.startswith("https://127.0.0.1:")
        with httpx.Client(verify=trust(files), trust_env=False) as client:
            found = client.get(url + DISCOVERY, headers={"Host": DOMAIN}).json()
        assert found["issuer"] == f"https://{DOMAIN}"
        process.terminate()
        _, errors = rest(process)
    assert process.returncode == 0
    assert not errors


def test_environment_names_several_domains(files: Tls) -> None:
    """They are separated by blanks."""
    environment = {
        "ZITADEL_EMULATOR_PORT": "0",
        "ZITADEL_EMULATOR_DOMAIN": f"{DOMAIN} other.example.test",
        "ZITADEL_EMULATOR_TLS_CERT": str(files.certificate),
        "ZITADEL_EMULATOR_TLS_KEY": str(files.key),
    }
    with (
        running(environment=environment) as (_, url),
        httpx.Client(verify=trust(files), trust_env=False) as client,
    ):
        for host in (DOMAIN, "other.example.test"):
            answer = client.get(url + DISCOVERY, headers={"Host": host})
            assert answer.status_code == 200


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        (True, None, "--tls-cert and --tls-key go together"),
        (None, True, "--tls-cert and --tls-key go together"),
        (True, False, "Cannot use"),
    ],
)
def test_unusable_files(
    files: Tls,
    tmp_path: Path,
    certificate: bool | None,
    key: bool | None,
    message: str,
) -> None:
    """The message is a sentence without a traceback."""
    bad = tmp_path / "bad.pem"
    bad.write_text("no PEM")
    options = []
    if certificate is not None:
        options += ["--tls-cert", str(files.certificate)]
    if key is not None:
        options += ["--tls-key", str(files.key if key else bad)]
    result = subprocess.run(
        [*COMMAND, "--port", "0", *options],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
