"""Credentials of kubeconfigs: which are supported, and which are read again."""

import asyncio
import base64
import contextlib
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from cluster.test_adapter_tls import data, reach, through
from support.apiserver import (
    ApiServer,
    credential,
    kubeconfig,
    login_program,
    runs,
    until,
    version,
)
from support.authorities import Authority, write_pair
from zitadel_notification_operator.cluster.calls import Unauthorized, call
from zitadel_notification_operator.cluster.connection import NoCluster, connect
from zitadel_notification_operator.cluster.login_program import (
    LoginFailed,
    LoginProgram,
    Program,
)

V1 = "client.authentication.k8s.io/v1"


def executing(folder: Path, text: str, **more: Any) -> dict[str, Any]:
    """Return the user entry of a login program."""
    return {
        "exec": {
            "apiVersion": V1,
            "command": login_program(folder, text),
            "interactiveMode": "IfAvailable",
            **more,
        }
    }


def end_in(seconds: float) -> str:
    """Return a time in the format of login programs."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.mark.clock
async def test_a_login_program_runs_again_before_its_token_ends(
    tmp_path: Path,
) -> None:
    """It runs shortly before, twice in the life of three four-second tokens."""
    text = (
        f'token=t-$(wc -l < {tmp_path}/runs)\nend=$(date -u -d "+4 seconds" +%FT%TZ)\n'
        f'echo "{{\\"apiVersion\\":\\"{V1}\\",\\"kind\\":\\"ExecCredential\\",'
        '\\"status\\":{\\"token\\":\\"$token\\",\\"expirationTimestamp\\":'
        '\\"$end\\"}}"'
    )

    async def answer(request: web.BaseRequest) -> web.Response:
        seen.add(request.headers["Authorization"])
        return await version(request)

    seen: set[str] = set()
    async with ApiServer(answer=answer) as server:
        user = executing(tmp_path, text)
        path = kubeconfig(tmp_path / "config", server.url, user=user)
        async with through(path) as access:
            begun = time.monotonic()
            while time.monotonic() - begun < 9:
                await reach(access)
    assert 3 <= runs(tmp_path) <= 5
    made = [f"Bearer t-{n + 1}" for n in range(runs(tmp_path))]
    # The last run may have ended after the last request.
    assert seen in (set(made), set(made[:-1]))


async def test_a_login_program_runs_again_when_its_token_is_refused(
    tmp_path: Path,
) -> None:
    """Without a known expiry it runs once for all calls, then with pauses."""
    token = tmp_path / "token"
    token.write_text("one")
    text = (
        f'echo "{{\\"apiVersion\\":\\"{V1}\\",\\"kind\\":\\"ExecCredential\\",'
        f'\\"status\\":{{\\"token\\":\\"$(cat {token})\\"}}}}"'
    )
    async with ApiServer() as server:
        server.token = "one"
        user = executing(tmp_path, text)
        path = kubeconfig(tmp_path / "config", server.url, user=user)
        async with through(path) as access:
            for _ in range(5):
                await reach(access)
            assert runs(tmp_path) == 1
            server.token = "two"
            token.write_text("two")
            await reach(access)
            assert runs(tmp_path) == 2
            server.token = "three"
            for _ in range(20):
                with pytest.raises(Unauthorized):
                    await call(access.api, "GET", "/version")
            assert runs(tmp_path) <= 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo SECRET >&2; exit 3", "ended with exit code 3"),
        ("echo SECRET", "wrote no ExecCredential"),
        ("echo '[\"SECRET\"]'", "wrote no ExecCredential"),
        (credential(token=""), "neither a token nor a certificate"),
        (credential(token="SECRET", expirationTimestamp="SECRET"), "no ExecCred"),
        (
            credential(token="SECRET").replace("k8s.io/v1", "k8s.io/v1beta1"),
            "another version",
        ),
        (
            credential(token="SECRET", expirationTimestamp="2020-01-01T00:00:00Z"),
            "has ended already",
        ),
    ],
)
async def test_a_failing_login_program_is_reported(
    tmp_path: Path, text: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The message names it and the failure; its output appears nowhere."""
    caplog.set_level("DEBUG")
    user = executing(tmp_path, text, args=["--secret", "SECRET"])
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:9", user=user)
    with pytest.raises(NoCluster) as caught:
        await connect(path)
    assert expected in str(caught.value)
    assert "login-program" in str(caught.value)
    assert "SECRET" not in str(caught.value) + caplog.text
    assert str(tmp_path) not in str(caught.value)


async def test_a_login_program_that_is_not_there_is_reported(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": V1, "command": "no-such-program"}}
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:9", user=user)
    with pytest.raises(NoCluster, match="no-such-program cannot be run"):
        await connect(path)


@pytest.mark.clock
async def test_a_login_program_that_fails_later_is_tried_again(
    tmp_path: Path,
) -> None:
    """The call fails with a message; when the program works again, calls do."""
    good = credential(token="good")
    async with ApiServer() as server:
        server.token = "good"
        first = credential(token="good", expirationTimestamp=end_in(0.8))
        user = executing(tmp_path, first)
        path = kubeconfig(tmp_path / "config", server.url, user=user)
        async with through(path) as access:
            await reach(access)
            login_program(tmp_path, "exit 1")
            await asyncio.sleep(0.8)
            with pytest.raises(LoginFailed, match="exit code 1"):
                await call(access.api, "GET", "/version")
            failed = runs(tmp_path)
            for _ in range(20):
                with pytest.raises(LoginFailed):
                    await call(access.api, "GET", "/version")
            assert runs(tmp_path) <= failed + 1
            login_program(tmp_path, good)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                with contextlib.suppress(LoginFailed):
                    await call(access.api, "GET", "/version")
                    break
                await asyncio.sleep(0.1)
            await reach(access)


async def test_what_a_login_program_gets(tmp_path: Path) -> None:
    """It gets its arguments, its environment, and the cluster if it asks for it."""
    text = f'echo "$KUBERNETES_EXEC_INFO|$1|$WHO" > {tmp_path}/seen\n' + credential(
        token="t"
    )
    async with ApiServer() as server:
        user = executing(
            tmp_path,
            text,
            args=["an argument"],
            env=[{"name": "WHO", "value": "me"}],
            provideClusterInfo=True,
        )
        path = kubeconfig(tmp_path / "config", server.url, user=user)
        async with through(path) as access:
            await reach(access)
        info, argument, who = (tmp_path / "seen").read_text().strip().split("|")
    info = yaml.safe_load(info)
    assert info["apiVersion"] == V1
    assert info["spec"] == {"interactive": False, "cluster": {"server": server.url}}
    assert (argument, who) == ("an argument", "me")


@pytest.mark.tls
async def test_a_client_certificate_of_a_login_program(tmp_path: Path) -> None:
    ca = Authority()
    made = ca.issue("of-the-program")
    text = credential(clientCertificateData=made[0], clientKeyData=made[1])
    async with ApiServer(write_pair(tmp_path, ca.issue())) as server:
        server.ask_for_certificates(ca.pem)
        await server.restart()
        path = kubeconfig(
            tmp_path / "config",
            server.url,
            cluster={"certificate-authority-data": data(ca.pem)},
            user=executing(tmp_path, text),
        )
        async with through(path) as access:
            await reach(access)
    assert set(server.certificates) == {"of-the-program"}


async def test_a_rewritten_kubeconfig_is_read_when_the_old_one_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another token is used, another server is not."""
    async with ApiServer() as server, ApiServer() as elsewhere:
        server.token = "one"
        path = tmp_path / "config"
        kubeconfig(path, server.url, user={"token": "one"})
        async with through(path) as access:
            await reach(access)
            server.token = "two"
            path.write_text("{")
            with pytest.raises(Unauthorized):
                await call(access.api, "GET", "/version")
            kubeconfig(path, elsewhere.url, user={"token": "two"})
            with pytest.raises(Unauthorized):
                await call(access.api, "GET", "/version")
            assert not elsewhere.requests
            logged = [line for line in caplog.messages if "another API server" in line]
            assert len(logged) == 1
            kubeconfig(path, server.url, user={"token": "two"})
            await reach(access)


USERS: dict[str, tuple[dict[str, Any], dict[str, list[str]]]] = {
    "token": ({"token": "abc\n"}, {"Authorization": ["Bearer abc"]}),
    "a file before a token": (
        {"token": "abc", "tokenFile": "token"},
        {"Authorization": ["Bearer of-a-file"]},
    ),
    "password": (
        {"username": "me", "password": "pass"},
        {"Authorization": [f"Basic {base64.b64encode(b'me:pass').decode()}"]},
    ),
    "somebody else": (
        {
            "as": "jane",
            "as-uid": "42",
            "as-groups": ["a", "b"],
            "as-user-extra": {"why": ["trial"]},
        },
        {
            "Impersonate-User": ["jane"],
            "Impersonate-Uid": ["42"],
            "Impersonate-Group": ["a", "b"],
            "Impersonate-Extra-why": ["trial"],
        },
    ),
    "nobody": ({}, {"Authorization": []}),
}


@pytest.mark.parametrize("case", USERS)
async def test_credentials_are_sent_as_by_kubectl(tmp_path: Path, case: str) -> None:
    """This holds for calls and watches."""
    user, wanted = USERS[case]
    (tmp_path / "token").write_text("of-a-file\n")
    async with ApiServer() as server:
        path = kubeconfig(tmp_path / "config", server.url, user=user)
        async with through(path) as access:
            await reach(access)
        assert len(server.requests) == 2
        for request in server.requests:
            for name, values in wanted.items():
                assert request.headers.getall(name, []) == values


@pytest.mark.parametrize("environment", [True, False])
async def test_the_proxy_of_a_kubeconfig_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, environment: bool
) -> None:
    """Calls and watches use it; they never use one from the environment."""
    name = "HTTP_PROXY" if environment else "NO_PROXY"
    monkeypatch.setenv(name, "http://127.0.0.1:9" if environment else "*")
    async with ApiServer() as proxy:
        cluster = {"proxy-url": proxy.url}
        path = kubeconfig(tmp_path / "c", "http://nosuch.invalid", cluster=cluster)
        async with through(path) as access:
            await reach(access)
    hosts = {request.headers["Host"] for request in proxy.requests}
    assert hosts == {"nosuch.invalid"}


@pytest.mark.parametrize(
    ("cluster", "user", "expected"),
    [
        ({"proxy-url": "socks5://127.0.0.1:1"}, {}, "proxy-url"),
        ({"certificate-authority": "absent.crt"}, {}, "absent.crt"),
        ({"certificate-authority-data": "AAAA"}, {}, "certificate-authority-data"),
        ({}, {"client-certificate-data": "AAAA"}, "client certificate"),
        ({}, {"tokenFile": "absent"}, "absent"),
        ({}, {"exec": {"apiVersion": "v0", "command": "x"}}, "exec.apiVersion"),
        ({}, {"exec": {"apiVersion": V1}}, "exec.command"),
        (
            {},
            {"exec": {"apiVersion": V1, "command": "x", "interactiveMode": "Always"}},
            "exec.interactiveMode",
        ),
        ({}, {"auth-provider": {"name": "oidc", "config": {}}}, "auth-provider"),
        ({}, {"auth-provider": "oidc"}, "auth-provider"),
        ("text", {}, "cluster 'c' is no mapping"),
        ({}, "text", "user 'u' is no mapping"),
        ({}, {"exec": "text"}, "exec is no mapping"),
        ({}, {"exec": {"apiVersion": V1, "command": "x", "args": 3}}, "exec.args"),
        ({}, {"exec": {"apiVersion": V1, "command": "x", "env": "text"}}, "exec.env"),
        ({}, {"as": "a", "as-groups": 3}, "as-groups is no list"),
        ({}, {"as": "a", "as-user-extra": "text"}, "as-user-extra is no mapping"),
        ({}, {"as": "a", "as-user-extra": {"x": 3}}, "x is no list"),
    ],
)
async def test_what_cannot_be_used_is_reported(
    tmp_path: Path, cluster: Any, user: Any, expected: str
) -> None:
    """The message names the field, and no call is made."""
    server = "https://127.0.0.1:9"
    path = kubeconfig(tmp_path / "config", server, user=user)
    content = yaml.safe_load(path.read_text())
    entry = content["clusters"][0]
    if isinstance(cluster, dict):
        entry["cluster"] |= cluster
    else:
        entry["cluster"] = cluster
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(NoCluster) as caught:
        await connect(path)
    assert expected in str(caught.value)


async def test_several_kubeconfigs_are_merged_as_kubectl_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first value counts; relative paths start at their own file."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "token").write_text("of-b")
    async with ApiServer() as server:
        first = tmp_path / "first"
        first.write_text("current-context: y\nusers: []\n")
        second = kubeconfig(tmp_path / "second", "http://127.0.0.1:9")
        third = tmp_path / "b" / "third"
        content = {
            "current-context": "x",
            "clusters": [{"name": "d", "cluster": {"server": server.url}}],
            "users": [{"name": "v", "user": {"tokenFile": "token"}}],
            "contexts": [{"name": "y", "context": {"cluster": "d", "user": "v"}}],
        }
        third.write_text(yaml.safe_dump(content))
        files = (first, tmp_path / "absent", second, third)
        monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, files)))
        access = await connect(None)
        try:
            await reach(access)
        finally:
            await access.api.close()
    assert server.requests[0].headers["Authorization"] == "Bearer of-b"


@pytest.mark.clock
async def test_a_credential_that_holds_serves_while_the_next_is_made(
    tmp_path: Path,
) -> None:
    """A slow program delays no call while a credential is valid."""
    gate = tmp_path / "gate"
    gate.touch()
    text = (
        f"while [ ! -e {gate} ]; do sleep 0.05; done\n"
        f"token=t-$(wc -l < {tmp_path}/runs)\n"
        f'echo "{{\\"apiVersion\\":\\"{V1}\\",\\"kind\\":\\"ExecCredential\\",'
        f'\\"status\\":{{\\"token\\":\\"$token\\",\\"expirationTimestamp\\":'
        f'\\"{end_in(600)}\\"}}}}"'
    )
    program = LoginProgram(Program(login_program(tmp_path, text)))
    assert (await program.credential()).token == "t-1"
    gate.unlink()
    program._given -= 570  # noqa: SLF001 - so that it has half a minute left
    for _ in range(3):
        assert (await asyncio.wait_for(program.credential(), 1)).token == "t-1"
    await until(lambda: runs(tmp_path) == 2)
    gate.touch()
    latest: list[str] = []
    while latest[-1:] != ["t-2"]:
        latest.append((await program.credential()).token)
        await asyncio.sleep(0.02)
    assert runs(tmp_path) == 2
