"""Whole operators whose API server changes authorities and tokens, or refuses calls."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.apiproxy import ApiProxy, lists, watches
from support.authorities import Authority, write_pair
from support.kube_calls import read
from support.running import OWN_NAMESPACE, OperatorProcess
from support.waiting import eventually
from zitadel_notification_operator.core.kinds import KINDS
from zitadel_notification_operator.demo.control_plane import ControlPlane

LEASE = "zitadel-notification-operator"
MINUTE = 60.0


@pytest.fixture
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The file's control plane without a Lease."""
    yield control_plane
    command = ("delete", "lease", "--all", f"--namespace={OWN_NAMESPACE}")
    control_plane.kubectl(*command)


def start(
    proxy: ApiProxy, plane: ControlPlane, folder: Path, duration: str, **way: Any
) -> OperatorProcess:
    """Start an operator with leader election behind a proxy."""
    folder.mkdir()
    return OperatorProcess(
        plane,
        folder,
        *("--lease-duration", duration, "--log-level", "info"),
        elect=True,
        environment={"POD_NAME": folder.name, "NO_PROXY": "*"},
        kubeconfig=proxy.kubeconfig(folder / "kubeconfig", **way),
    )


def wait_ready(operator: OperatorProcess) -> None:
    """Wait until the operator is ready, even on a busy machine."""
    eventually(operator.is_ready, 90, f"readiness:\n{operator.program.tail(40)}")


def wait_for_watches(proxy: ApiProxy, patience: float = 30) -> None:
    """Wait until both kinds are watched through a proxy."""
    eventually(lambda: proxy.watches == len(KINDS), patience, "watches")


def wait_for_words(operator: OperatorProcess, words: str) -> None:
    """Wait until the log contains certain words."""
    eventually(lambda: words in operator.log.read_text(), 40, words)


def lines(operator: OperatorProcess, begun: int = 0) -> list[dict[str, Any]]:
    """Return the lines of a log from an offset on."""
    text = operator.log.read_text()[begun:]
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def holder(plane: ControlPlane) -> str:
    """Return the holder of the Lease, and how often the holder changed."""
    lease = read(plane, "lease", LEASE, OWN_NAMESPACE)
    if lease is None:
        return ""
    spec = lease["spec"]
    return f"{spec['holderIdentity'].partition('_')[0]} {spec['leaseTransitions']}"


def aside_of_the_lease(proxy: ApiProxy, begun: float) -> list[str]:
    """Return the calls since a moment, without those about the Lease."""
    return [
        call.path
        for call in proxy.calls
        if call.time >= begun and "/leases" not in call.path
    ]


@pytest.mark.clock
@pytest.mark.timeout(300)
def test_a_server_that_answers_401_from_a_moment_on(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """The leader ends with its lease; a standby backs off, and recovers."""
    with ApiProxy(plane) as first, ApiProxy(plane) as second:
        leader = start(first, plane, tmp_path / "leader", "15s")
        eventually(lambda: holder(plane).startswith("leader"), 60, "a leader")
        standby = start(second, plane, tmp_path / "standby", "15s")
        for operator in (leader, standby):
            wait_ready(operator)
        for proxy in (first, second):
            wait_for_watches(proxy)
        logged, begun = len(standby.log.read_text()), time.monotonic()
        for proxy in (first, second):
            proxy.accepts = lambda _: False
            proxy.cut()
        assert leader.program.wait(40) == 1
        text = leader.log.read_text()
        assert "is lost: it could not be renewed" in text.splitlines()[-1]
        assert "401" in text
        time.sleep(max(0.0, begun + MINUTE - time.monotonic()))
        calls = aside_of_the_lease(second, begun)
        logs = lines(standby, logged)
        assert standby.program.running
        assert 4 <= len(calls) <= 30
        assert 1 <= len(logs) <= 10
        assert len([line for line in logs if line["level"] == "WARNING"]) == 1
        second.accepts = None
        wait_for_watches(second, 60)
        eventually(lambda: holder(plane).startswith("standby"), 60, "a new leader")
        over = [line for line in lines(standby) if "calls again" in line["message"]]
        assert len(over) == 1
        assert standby.program.stop() == 0


REFUSALS: dict[str, dict[str, Any]] = {
    "403": {"status": 403},
    "429 with Retry-After": {"status": 429, "headers": {"Retry-After": "20"}},
    "503 with Retry-After": {"status": 503, "headers": {"Retry-After": "20"}},
    "resets": {"reset": True},
}


@pytest.mark.clock
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", REFUSALS)
def test_watches_that_are_refused(
    plane: ControlPlane, tmp_path: Path, case: str
) -> None:
    """They are retried with backoff and Retry-After; each is logged once."""
    what = {**REFUSALS[case], "times": 1_000_000}
    with ApiProxy(plane) as proxy:
        operator = start(proxy, plane, tmp_path / "alone", "15s")
        wait_ready(operator)
        wait_for_watches(proxy)
        eventually(lambda: holder(plane).startswith("alone"), 30, "a leader")
        logged, begun = len(operator.log.read_text()), time.monotonic()
        proxy.add(*lists(**what), *watches(**what))
        proxy.cut()
        time.sleep(MINUTE / 2)
        calls = aside_of_the_lease(proxy, begun)
        logs = lines(operator, logged)
        # aiohttp repeats a request whose connection was reset.
        of_each_kind = 3 if "Retry-After" in case else 14
        assert 2 <= len(calls) <= of_each_kind * len(KINDS)
        assert 1 <= len(logs) <= 4
        proxy.faults = []
        wait_for_watches(proxy, 60)
        assert operator.program.stop() == 0


@pytest.mark.clock
def test_watches_that_end_at_once(plane: ControlPlane, tmp_path: Path) -> None:
    """A proxy that cuts each watch does not get a hundred calls a second."""
    with ApiProxy(plane) as proxy:
        operator = start(proxy, plane, tmp_path / "alone", "15s")
        wait_ready(operator)
        wait_for_watches(proxy)
        begun = time.monotonic()
        proxy.add(*watches(expired=True, times=1_000_000))
        proxy.expire()
        time.sleep(15)
        assert 8 <= len(aside_of_the_lease(proxy, begun)) <= 20 * len(KINDS)
        proxy.faults = []
        wait_for_watches(proxy, 60)
        assert operator.program.stop() == 0


@pytest.mark.tls
@pytest.mark.timeout(300)
@pytest.mark.clock
def test_a_new_authority_and_its_certificate(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """Leader and standby need no restart, and the Lease keeps its holder."""
    old, new = Authority(), Authority()
    roots = tmp_path / "ca.crt"
    roots.write_text(old.pem)
    cluster = {"certificate-authority": str(roots)}
    pair = write_pair(tmp_path, old.issue())
    with ApiProxy(plane, pair=pair) as first, ApiProxy(plane, pair=pair) as second:
        leader = start(first, plane, tmp_path / "leader", "60s", cluster=cluster)
        eventually(lambda: holder(plane) == "leader 0", 60, "a leader")
        standby = start(second, plane, tmp_path / "standby", "60s", cluster=cluster)
        for operator in (leader, standby):
            wait_ready(operator)
        pair = write_pair(tmp_path, new.issue())
        begun = len(first.calls), len(second.calls)
        for proxy in (first, second):
            wait_for_watches(proxy)
            proxy.show(pair)
        for operator in (leader, standby):
            # The next try of the lease or of a watch does this.
            wait_for_words(operator, "is not trusted")
        roots.write_text(new.pem)
        for proxy, calls in zip((first, second), begun, strict=True):
            wait_for_watches(proxy, 60)
            assert len(proxy.calls) > calls
        assert holder(plane) == "leader 0"
        text = leader.log.read_text() + standby.log.read_text()
        assert f"(authorities: {roots})" in text
        assert "Operation not permitted" not in text
        assert leader.program.stop() == standby.program.stop() == 0


@pytest.mark.clock
@pytest.mark.timeout(200)
def test_a_login_program_whose_tokens_live_ten_seconds(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """No call is refused, and the program runs only as often as needed."""
    program = tmp_path / "login"
    program.write_text(
        f"#!/bin/sh\necho >> {tmp_path}/runs\nnow=$(date +%s)\n"
        'end=$(date -u -d "@$((now + 10))" +%FT%TZ)\n'
        'echo "{\\"apiVersion\\":\\"client.authentication.k8s.io/v1\\",'
        '\\"kind\\":\\"ExecCredential\\",\\"status\\":{\\"token\\":\\"$now\\",'
        '\\"expirationTimestamp\\":\\"$end\\"}}"\n'
    )
    program.chmod(0o700)
    version = "client.authentication.k8s.io/v1"
    user = {"exec": {"apiVersion": version, "command": str(program)}}
    with ApiProxy(plane) as proxy:
        proxy.accepts = lambda bearer: time.time() - int(bearer or 0) < 10.5
        operator = start(proxy, plane, tmp_path / "alone", "15s", user=user)
        wait_ready(operator)
        eventually(lambda: holder(plane).startswith("alone"), 30, "a leader")
        time.sleep(25)
        assert operator.program.running
        assert proxy.refused == 0
        runs = len((tmp_path / "runs").read_text().splitlines())
        assert 3 <= runs <= 8
        assert operator.program.stop() == 0
