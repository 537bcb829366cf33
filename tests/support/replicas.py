"""Several `znp run` on one cluster, each with relays to Kubernetes and ZITADEL."""

import contextlib
import threading
import urllib.error
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.kube_calls import read
from support.relay import Relay
from support.running import OWN_NAMESPACE, EmulatorProcess, OperatorProcess
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

LEASE = "zitadel-notification-operator"


@dataclass
class Replica:
    """One process.

    Attributes:
        kubernetes: Its relay to the API server, which a test can cut.
        zitadel: Its relay to ZITADEL, which records its requests.
    """

    name: str
    process: OperatorProcess
    kubernetes: Relay
    zitadel: Relay

    def stop(self) -> None:
        """End the process, whatever its state."""
        self.process.program.stop()
        self.kubernetes.__exit__()
        self.zitadel.__exit__()


@dataclass
class Fleet:
    """The replicas of one test."""

    plane: ControlPlane
    emulator: EmulatorProcess
    folder: Path
    replicas: list[Replica] = field(default_factory=list)
    disturbers: list["Disturber"] = field(default_factory=list)

    def start(self, count: int, duration: str) -> list[Replica]:
        """Start replicas and wait until all are ready; the first one leads."""
        new = [self.start_one(duration)]
        eventually(lambda: self.holder() == new[0].name, 20, "the first one leads")
        new += [self.start_one(duration) for _ in range(count - 1)]
        for replica in new:
            replica.process.wait_ready()
        return new

    def start_one(self, duration: str, token: str = "", *options: str) -> Replica:
        """Start a replica as the administrator, or with a token of its own.

        Args:
            duration: The duration of its lease.
            token: The token; empty for the administrator's.
            options: More options of `znp run`.
        """
        name = f"replica-{len(self.replicas)}"
        folder = self.folder / name
        folder.mkdir()
        kubernetes = Relay(urlsplit(self.plane.url).port or 0)
        zitadel = Relay(urlsplit(self.emulator.url).port or 0)
        kubeconfig = folder / "kubeconfig"
        text = self.plane.kubeconfig.read_text()
        url = f"https://127.0.0.1:{kubernetes.port}"
        text = text.replace(self.plane.url, url)
        kubeconfig.write_text(text.replace(self.plane.token, token or self.plane.token))
        proxy = f"http://127.0.0.1:{zitadel.port}"
        environment = {"POD_NAME": name, "HTTP_PROXY": proxy, "http_proxy": proxy}
        environment |= {"NO_PROXY": "", "no_proxy": ""}
        process = OperatorProcess(
            self.plane,
            folder,
            *("--lease-duration", duration, *options),
            elect=True,
            environment=environment,
            kubeconfig=kubeconfig,
        )
        replica = Replica(name, process, kubernetes, zitadel)
        self.replicas.append(replica)
        return replica

    def lease(self) -> dict[str, Any]:
        """Return the Lease's spec; empty if there is no Lease."""
        found = read(self.plane, "lease", LEASE, OWN_NAMESPACE) or {"spec": {}}
        spec: dict[str, Any] = found["spec"]
        return spec

    def holder(self) -> str:
        """Return the name of the replica that holds the Lease."""
        found: str = self.lease().get("holderIdentity", "")
        return found.partition("_")[0]

    def stop(self) -> None:
        """End all replicas and disturbers."""
        for disturber in self.disturbers:
            disturber.stop()
        for replica in self.replicas:
            replica.stop()


class Disturber:
    """A user who constantly changes policies in ZITADEL."""

    def __init__(self, emulator: EmulatorProcess, organizations: list[str]) -> None:
        self._emulator = emulator
        self._organizations = organizations
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._disturb, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop changing policies."""
        self._over.set()
        self._thread.join()

    def _disturb(self) -> None:
        path = "/management/v1/policies/notification"
        body = {"passwordChange": False}
        while not self._over.is_set():
            for organization in self._organizations:
                # ZITADEL refuses a write that changes nothing.
                with contextlib.suppress(urllib.error.HTTPError):
                    self._emulator.call("PUT", path, body, organization)
            self._over.wait(0.2)


def first_after(replica: Replica, moment: float, patience: float) -> float:
    """Wait for a replica's first write after a moment; return the seconds between."""

    def ask() -> list[float]:
        return [at for at in replica.zitadel.writes() if at > moment]

    return eventually(ask, patience, f"a write of {replica.name}")[0] - moment


def any_after(replicas: list[Replica], moment: float, patience: float) -> Replica:
    """Wait until one of the replicas has written after a moment; return that one."""

    def ask() -> list[Replica]:
        return [r for r in replicas if any(at > moment for at in r.zitadel.writes())]

    return eventually(ask, patience, "a write of any replica")[0]
