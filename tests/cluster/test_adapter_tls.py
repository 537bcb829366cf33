"""Certificates of API servers: what is accepted, reported and read again."""

import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.apiserver import (
    ApiServer,
    credential,
    kubeconfig,
    login_program,
    runs,
)
from support.authorities import Authority, write_pair
from zitadel_notification_operator.cluster.calls import call
from zitadel_notification_operator.cluster.connection import ClusterAccess, connect
from zitadel_notification_operator.cluster.connection_config import config_of_pod
from zitadel_notification_operator.core.errors import ClusterError

pytestmark = pytest.mark.tls
SOON = aiohttp.ClientTimeout(total=10)


def data(text: str) -> str:
    """Return a text in the encoding of kubeconfigs."""
    return base64.b64encode(text.encode()).decode()


@contextlib.asynccontextmanager
async def through(path: Path) -> AsyncIterator[ClusterAccess]:
    """Connect by a kubeconfig."""
    access = await connect(path)
    try:
        yield access
    finally:
        await access.api.close()


async def reach(access: ClusterAccess) -> None:
    """Make one of the operator's calls, and one as kopf's watches make them."""
    assert (await call(access.api, "GET", "/version"))["major"] == "1"
    watcher = access.watcher()
    try:
        url = f"{access.server}/version"
        answer = await watcher.request(method="get", url=url, timeout=SOON)
        assert isinstance(answer, aiohttp.ClientResponse)
        async with answer:
            assert (await answer.json())["major"] == "1"
    finally:
        await watcher.close()


async def refusal(access: ClusterAccess) -> str:
    """Return the message of a call that fails."""
    with pytest.raises(ClusterError) as caught:
        await call(access.api, "GET", "/version")
    return caught.value.message


ROOT = Authority("root")
MIDDLE = Authority("middle", ROOT)
EKS = Authority()
ACCEPTED: dict[str, tuple[Authority, str, tuple[Authority, ...]]] = {
    # The signer, the trusted certificates, and those that the server sends.
    "without key identifiers": (EKS, EKS.pem, ()),
    "basicConstraints not critical": (
        odd := Authority(critical=False),
        odd.pem,
        (),
    ),
    "an intermediate one alone": (MIDDLE, MIDDLE.pem, ()),
    "a chain": (MIDDLE, ROOT.pem, (MIDDLE,)),
    "one of several": (EKS, ROOT.pem + EKS.pem, ()),
    "with comments": (EKS, f"Gültig\n{EKS.pem}# end\n", ()),
    "beside a broken one": (
        EKS,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + EKS.pem,
        (),
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
@pytest.mark.parametrize("inline", [True, False])
async def test_an_authority_is_accepted_as_kubectl_does(
    tmp_path: Path, case: str, inline: bool
) -> None:
    """This holds for calls and kopf's watches, on each Python."""
    signer, trusted, chain = ACCEPTED[case]
    (tmp_path / "ca.crt").write_text(trusted)
    cluster = {"certificate-authority": "ca.crt"}
    if inline:
        cluster = {"certificate-authority-data": data(trusted)}
    async with ApiServer(write_pair(tmp_path, signer.issue(), *chain)) as server:
        path = kubeconfig(tmp_path / "config", server.url, cluster=cluster)
        async with through(path) as access:
            await reach(access)


async def test_a_certificate_that_is_trusted_itself(tmp_path: Path) -> None:
    """As with kubectl, any certificate in the file is a trust anchor."""
    pair = EKS.issue()
    async with ApiServer(write_pair(tmp_path, pair)) as server:
        cluster = {"certificate-authority-data": data(pair[0])}
        path = kubeconfig(tmp_path / "config", server.url, cluster=cluster)
        async with through(path) as access:
            await reach(access)


REFUSED: dict[str, tuple[tuple[str, str], dict[str, Any], str]] = {
    "another authority": (
        Authority("another").issue(),
        {},
        "unable to get local issuer certificate",
    ),
    "expired": (EKS.issue(lasts=timedelta(hours=-1)), {}, "certificate has expired"),
    "another name": (
        EKS.issue("x", "elsewhere.example"),
        {},
        "not valid for '127.0.0.1'",
    ),
    "another server name": (
        EKS.issue("x", "elsewhere.example"),
        {"tls-server-name": "api.example"},
        "not valid for 'api.example'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_certificate_that_is_not_trusted_is_reported(
    tmp_path: Path, case: str
) -> None:
    """The message says what is wrong, and contains no error number."""
    pair, cluster, why = REFUSED[case]
    async with ApiServer(write_pair(tmp_path, pair)) as server:
        cluster = {"certificate-authority-data": data(EKS.pem), **cluster}
        path = kubeconfig(tmp_path / "config", server.url, cluster=cluster)
        async with through(path) as access:
            text = await refusal(access)
    assert "its certificate is not trusted" in text
    assert why in text
    assert "certificate-authority-data" in text
    assert "Operation not permitted" not in text


async def test_a_self_signed_certificate_is_reported(tmp_path: Path) -> None:
    """Without an authority the system's are used."""
    lone = Authority("lone")
    pair = write_pair(tmp_path, lone.issue(), lone)
    async with (
        ApiServer(pair) as server,
        through(kubeconfig(tmp_path / "config", server.url)) as access,
    ):
        text = await refusal(access)
    assert "self-signed certificate in certificate chain" in text


async def test_a_server_without_tls_is_reported(tmp_path: Path) -> None:
    async with ApiServer() as server:
        url = server.url.replace("http:", "https:")
        async with through(kubeconfig(tmp_path / "config", url)) as access:
            text = await refusal(access)
    assert "it does not speak TLS there" in text


async def test_no_verification_where_it_is_asked_for(tmp_path: Path) -> None:
    async with ApiServer(write_pair(tmp_path, EKS.issue("x", "y.example"))) as server:
        cluster = {"insecure-skip-tls-verify": True}
        path = kubeconfig(tmp_path / "config", server.url, cluster=cluster)
        async with through(path) as access:
            await reach(access)


async def test_the_server_s_other_name(tmp_path: Path) -> None:
    """`tls-server-name` is sent and verified, in watches, too."""
    pair = EKS.issue("x", "api.example")
    async with ApiServer(write_pair(tmp_path, pair)) as server:
        cluster = {
            "certificate-authority-data": data(EKS.pem),
            "tls-server-name": "api.example",
        }
        path = kubeconfig(tmp_path / "config", server.url, cluster=cluster)
        async with through(path) as access:
            await reach(access)


async def test_new_authorities_are_read_when_the_old_ones_are_refused(
    tmp_path: Path,
) -> None:
    """This needs no restart; the old server is then not trusted."""
    other = Authority("kubernetes")
    roots = tmp_path / "ca.crt"
    roots.write_text(EKS.pem)
    async with ApiServer(write_pair(tmp_path, EKS.issue())) as server:
        cluster = {"certificate-authority": str(roots)}
        path = kubeconfig(tmp_path / "config", server.url, cluster=cluster)
        async with through(path) as access:
            await reach(access)
            server.show(write_pair(tmp_path, other.issue()))
            await server.restart()
            assert "not trusted" in await refusal(access)
            roots.write_text(other.pem)
            await reach(access)
            server.show(write_pair(tmp_path, EKS.issue()))
            await server.restart()
            assert "not trusted" in await refusal(access)
            roots.write_text("")  # it is being written just now
            assert "not trusted" in await refusal(access)
            roots.write_text(EKS.pem)
            await reach(access)


async def test_new_client_certificates_are_read_when_the_old_ones_are_refused(
    tmp_path: Path,
) -> None:
    """A server answers the old one with 401, and knows the new one."""
    pair = write_pair(tmp_path, EKS.issue())
    cert, key = tmp_path / "client.crt", tmp_path / "client.key"

    def write(name: str) -> None:
        made = EKS.issue(name)
        cert.write_text(made[0])
        key.write_text(made[1])

    write("old")
    async with ApiServer(pair) as server:
        server.ask_for_certificates(EKS.pem)
        await server.restart()
        cluster = {"certificate-authority-data": data(EKS.pem)}
        user = {"client-certificate": "client.crt", "client-key": "client.key"}
        path = kubeconfig(tmp_path / "config", server.url, cluster=cluster, user=user)
        async with through(path) as access:
            await reach(access)
            assert set(server.certificates) == {"old"}
            write("new")
            server.token = "nobody has it"
            with pytest.raises(ClusterError, match="401"):
                await call(access.api, "GET", "/version")
            server.token = ""
            server.certificates.clear()
            await reach(access)
            assert set(server.certificates) == {"new"}


async def test_a_login_program_has_no_part_in_a_refused_certificate(
    tmp_path: Path,
) -> None:
    """It runs once, however often the server's certificate is refused."""
    made = credential(token="t")
    version = "client.authentication.k8s.io/v1"
    user = {"exec": {"apiVersion": version, "command": login_program(tmp_path, made)}}
    pair = write_pair(tmp_path, Authority("another").issue())
    async with ApiServer(pair) as server:
        cluster = {"certificate-authority-data": data(EKS.pem)}
        path = kubeconfig(tmp_path / "config", server.url, cluster=cluster, user=user)
        async with through(path) as access:
            for _ in range(3):
                assert "not trusted" in await refusal(access)
    assert runs(tmp_path) == 1


async def test_a_pod_reads_new_authorities_when_the_old_ones_are_refused(
    tmp_path: Path,
) -> None:
    """This holds for the kubelet's files, in calls and watches."""
    other = Authority()
    (tmp_path / "token").write_text("one")
    (tmp_path / "ca.crt").write_text(EKS.pem)
    async with ApiServer(write_pair(tmp_path, EKS.issue())) as server:
        server.token = "one"
        environment = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(server.port),
        }
        source = config_of_pod(environment, tmp_path)
        assert source is not None
        access = ClusterAccess(server.url, source)
        await reach(access)
        server.show(write_pair(tmp_path, other.issue()))
        server.token = "two"
        await server.restart()
        assert "not trusted" in await refusal(access)
        (tmp_path / "token").write_text("two")
        (tmp_path / "ca.crt").write_text(other.pem)
        await reach(access)
        await access.api.close()
