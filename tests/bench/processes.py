"""The processes of a bench run: control plane, emulator and operator."""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.floor import WATCHING
from support.running import OWN_NAMESPACE, TOKEN, ZNP, EmulatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.demo.processes import Program, free_port

NAMESPACE = "bench"
POLICIES = (
    f"/apis/zitadel-notification.dev/v1alpha1/namespaces/{NAMESPACE}/"
    "notificationpolicies"
)
INSTANCE = "default"
REQUESTS_PER_SECOND = 1000
"""The default rate limit: high, so that the measurement is not one of the limit."""
DRIFT_DETECTION = {"pollInterval": "10m"}
"""The default `spec.driftDetection` of the instance."""
READ_TIME, WRITE_TIME = 0.007, 0.011
"""Seconds that a real ZITADEL takes for a read and for a write of a policy."""
_START = 60.0
"""Seconds that a program may take to start."""


@dataclass
class Processes:
    """The processes of a run, and access to them.

    Attributes:
        checkout: The checkout of the measured operator. Control plane, emulator and
            driver are always those of this checkout, so that they are the same for two
            commits.
        organizations: The ids of the organizations in ZITADEL.
        operator: The program that is measured: the operator, or the floor's client.
        kubeconfig: What the operator reaches the API server by; None for an
            administrator's.
        options: More options of the operator.
        environment: More environment variables of the operator.
    """

    plane: ControlPlane
    folder: Path
    checkout: Path
    emulator: EmulatorProcess
    organizations: list[str]
    operator: Program | None = None
    kubeconfig: Path | None = None
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    _ready_url: str = ""

    def start_operator(
        self, health: int = 0, metrics: int = 0, patience: float = _START
    ) -> float:
        """Start the operator; return the seconds until /readyz was 200.

        Args:
            health: The port of /healthz and /readyz; 0 picks a free one.
            metrics: The port of /metrics; 0 picks a free one.
            patience: Seconds that the start may take.
        """
        health = health or free_port()
        self._ready_url = f"http://127.0.0.1:{health}/readyz"
        kubeconfig = self.kubeconfig or self.plane.kubeconfig
        command = [
            *(*ZNP, "run", "--kubeconfig", str(kubeconfig), *self.options),
            *("--health-port", str(health), "--metrics-port", str(metrics)),
            *("--bind-address", "127.0.0.1", "--allow-local-urls"),
        ]
        environment = {
            **os.environ,
            "NO_PROXY": "*",
            # If a library crashes, its log has the stacks of all threads.
            "PYTHONFAULTHANDLER": "1",
            "PYTHONPATH": str(self.checkout / "operator"),
            **self.environment,
        }
        log = self.folder / "operator.log"
        self.operator = Program("operator", command, log, environment)
        began = time.monotonic()
        eventually(self._is_ready, patience, "readiness", every=0.1)
        return time.monotonic() - began

    def start_floor(self) -> None:
        """Start the client of `bench.floor` in place of the operator."""
        config = self.folder / "floor.json"
        names = {
            "server": self.plane.url,
            "ca": str(self.plane.folder / "ca.crt"),
            "token": self.plane.token,
            "policies": POLICIES,
            "zitadel": self.zitadel_url,
            "zitadel_token": TOKEN,
        }
        config.write_text(json.dumps(names))
        command = [sys.executable, "-m", "bench.floor", str(config)]
        log = self.folder / "floor.log"
        self.operator = program = Program("floor", command, log)
        eventually(lambda: program.running and program.tail(), _START, "the floor")
        if program.tail() != WATCHING:
            raise RuntimeError(f"The floor's client ended:\n{program.tail()}")

    def answer_slowly(self) -> None:
        """Have the emulator take as long for each call as a real ZITADEL."""
        policies = "/management/v1/policies/notification"
        for method in ("POST", "PUT", "DELETE"):
            fault = {"method": method, "path": policies, "latency": WRITE_TIME}
            self.zitadel("faults", "POST", fault)
        # The first fault that matches applies, so this is for all other calls.
        self.zitadel("faults", "POST", {"latency": READ_TIME})

    def stop_operator(self) -> None:
        """Stop the operator as Kubernetes would."""
        if self.operator is not None:
            self.operator.stop()
            self.operator = None

    @property
    def zitadel_url(self) -> str:
        """The URL of the emulator."""
        return self.emulator.url

    @property
    def operator_pid(self) -> int:
        """The process id of the operator."""
        assert self.operator is not None
        return self.operator.pid

    def zitadel(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """Make a call to the emulator's control path and return its JSON."""
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.zitadel_url}/emulator/v1/{path}"
        request = urllib.request.Request(url, data, method=method)  # noqa: S310 - ours
        tls = self.emulator.tls
        with urllib.request.urlopen(request, timeout=60, context=tls) as answer:  # noqa: S310
            return json.load(answer)

    def version(self) -> str:
        """Return the API server's version."""
        version = self.plane.kubectl("version", "--output=json").stdout
        return str(json.loads(version)["serverVersion"]["gitVersion"])

    def _is_ready(self) -> bool:
        assert self.operator is not None
        if not self.operator.running:
            raise RuntimeError(f"The operator ended:\n{self.operator.tail()}")
        try:
            with urllib.request.urlopen(self._ready_url, timeout=5):  # noqa: S310
                return True
        except OSError:
            return False


@contextmanager
def running_processes(
    folder: Path,
    checkout: Path,
    organizations: int,
    drift_detection: Mapping[str, str] = DRIFT_DETECTION,
    requests_per_second: int = REQUESTS_PER_SECOND,
    *,
    floor: bool = False,
    slow: bool = False,
    port: int = 0,
) -> Iterator[Processes]:
    """Start everything; the instance is Ready when the block begins.

    Args:
        folder: An existing folder for logs.
        checkout: The checkout of the operator and its CRDs.
        organizations: The number of organizations in ZITADEL.
        drift_detection: The instance's `spec.driftDetection`.
        requests_per_second: The instance's rate limit, and its burst.
        floor: Whether the floor's client takes the place of the operator.
        slow: Whether the emulator answers as slowly as a real ZITADEL.
        port: The port of the emulator; 0 picks a free one.
    """
    with (
        ControlPlane(folder / "plane") as plane,
        emulating(folder, organizations, port) as emulator,
    ):
        processes = Processes(plane, folder, checkout, emulator, [])
        known = [org["id"] for org in processes.zitadel("organizations")]
        # The first one is the organization of the credential.
        processes.organizations = known[-organizations:]
        _install(processes, drift_detection, requests_per_second)
        if slow:
            processes.answer_slowly()
        try:
            if floor:
                processes.start_floor()
            else:
                processes.start_operator()
                ready = ("wait", "--for=condition=Ready", "--timeout=30s")
                plane.kubectl(*ready, f"zni/{INSTANCE}")
            yield processes
        finally:
            processes.stop_operator()


@contextmanager
def emulating(
    folder: Path, organizations: int, port: int = 0, certificates: Path | None = None
) -> Iterator[EmulatorProcess]:
    """Run an emulator with some organizations.

    Args:
        folder: An existing folder for its log.
        organizations: The number of organizations.
        port: Its port; 0 picks a free one.
        certificates: The folder that `write_certificates` has filled, to serve TLS
            with; None serves plain HTTP.
    """
    options = ["--organizations", str(organizations)]
    if certificates is not None:
        options += ["--tls-cert", str(certificates / "serving.crt")]
        options += ["--tls-key", str(certificates / "serving.key")]
    emulator = EmulatorProcess(folder, port, *options)
    if certificates is not None:
        emulator.roots = certificates / "ca.crt"
    with emulator.program:
        yield emulator


def _install(
    processes: Processes, drift_detection: Mapping[str, str], most: int
) -> None:
    kubectl = processes.plane.kubectl
    crds = str(processes.checkout / "deploy" / "crds")
    kubectl("apply", "--server-side", "-f", crds)
    kubectl("wait", "--for=condition=Established", "-f", crds)
    for namespace in (OWN_NAMESPACE, NAMESPACE):
        kubectl("create", "namespace", namespace)
    create_secret(processes.plane, "zitadel-credentials")
    reference = {"secretRef": {"name": "zitadel-credentials"}}
    spec = {
        "url": processes.zitadel_url,
        "allowInsecureHTTP": True,
        "credentials": {"personalAccessToken": reference},
        "rateLimit": {"requestsPerSecond": most, "burst": most, "maxConcurrent": 32},
        "driftDetection": dict(drift_detection),
        "grants": [{"namespaces": [NAMESPACE]}],
    }
    instance = {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "ZitadelInstance",
        "metadata": {"name": INSTANCE},
        "spec": spec,
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(instance))
