"""The ports of the process: IPv4 and IPv6 by default, or one address."""

import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.running import ZNP
from support.thin_api import ThinApi, without_crds, write_kubeconfig
from support.waiting import eventually
from zitadel_notification_operator.demo.processes import Program, free_port

pytestmark = pytest.mark.tls
BOTH = ("http://127.0.0.1", "http://[::1]")


@contextmanager
def running(
    folder: Path, *options: str, **environment: str
) -> Iterator[dict[str, int]]:
    """Start an operator; yield its two ports by name."""
    ports = {"health": free_port(), "metrics": free_port()}
    with ThinApi(without_crds) as api:
        kubeconfig = write_kubeconfig(folder, api.url)
        command = [
            *(*ZNP, "run", "--kubeconfig", str(kubeconfig), "--no-leader-elect"),
            *(f"--{name}-port={port}" for name, port in ports.items()),
            *options,
        ]
        whole = {**os.environ, "NO_PROXY": "*", **environment}
        with Program("operator", command, folder / "log", whole) as program:
            eventually(lambda: "Listening for metrics" in program.tail(), 120)
            yield ports


def answers(url: str) -> bool:
    """Return whether a GET of a URL is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - ours
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("environment", [{}, {"ZNP_BIND_ADDRESS": ""}])
def test_defaults_serve_both_families(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """This is what `curl http://127.0.0.1:8081/healthz` and `http://[::1]:8081` use."""
    with running(tmp_path, **environment) as ports:
        for host in BOTH:
            assert answers(f"{host}:{ports['health']}/healthz")
            assert answers(f"{host}:{ports['metrics']}/metrics")


@pytest.mark.parametrize(
    ("address", "served"),
    [
        ("127.0.0.1", [True, False]),
        ("0.0.0.0", [True, False]),  # noqa: S104 - on purpose
        ("::1", [False, True]),
        ("::", [False, True]),
    ],
)
def test_an_address_serves_what_it_says(
    tmp_path: Path, address: str, served: list[bool]
) -> None:
    """`--bind-address` works as before."""
    with running(tmp_path, "--bind-address", address) as ports:
        assert [answers(f"{host}:{ports['health']}/healthz") for host in BOTH] == served


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_that_is_taken_in_one_family_is_named(
    tmp_path: Path, family: socket.AddressFamily
) -> None:
    """Otherwise half of the clients could not connect."""
    with socket.socket(family) as taken:
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        kubeconfig = write_kubeconfig(tmp_path, "http://127.0.0.1:1")
        command = ("run", "--kubeconfig", str(kubeconfig), "--metrics-port", port)
        done = subprocess.run(
            [*ZNP, *command, "--health-port", "0"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"Cannot listen on port {port}: it is taken" in done.stderr
    assert "--metrics-port" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
