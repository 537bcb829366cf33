"""The real programs side by side: emulator and operator as processes."""

import json
import os
import re
import ssl
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.kube_calls import apply
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.demo.processes import Program

OWN_NAMESPACE = "zitadel-notification-operator"
TOKEN = "canary-token-7d1f9c"
ZNP = (sys.executable, "-m", "zitadel_notification_operator.cli")


class EmulatorProcess:
    """`znp emulator` on a free port, which the test calls over HTTP only."""

    def __init__(self, folder: Path, port: int = 0, *options: str) -> None:
        command = [*ZNP, "emulator", "--port", str(port), "--token", TOKEN, *options]
        folder.mkdir(exist_ok=True)
        self.roots: Path | None = None
        self.program = Program("emulator", command, folder / "emulator.log")
        self.url = eventually(self._first_line, what="the emulator's URL")

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What a client of it has to trust; None while it serves plain HTTP."""
        if self.roots is None:
            return None
        return ssl.create_default_context(cafile=str(self.roots))

    def get(self, path: str, organization: str = "") -> dict[str, Any]:
        """GET as the IAM_OWNER."""
        answer: dict[str, Any] = self.call("GET", path, organization=organization)
        return answer

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        organization: str = "",
        token: str = "",
    ) -> Any:
        """Call ZITADEL's API, as the IAM_OWNER or with a token, or the control path."""
        headers = {"Authorization": f"Bearer {token or TOKEN}"}
        if organization:
            headers["x-zitadel-orgid"] = organization
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - our own emulator
            self.url + path, data, headers, method=method
        )
        with urllib.request.urlopen(request, context=self.tls) as answer:  # noqa: S310 - likewise
            return json.load(answer)

    def user(self, *roles: str, credential: str, organization: str = "") -> Any:
        """Create a service user with roles and a credential; return the response."""
        body = {"roles": list(roles), "credential": credential}
        if organization:
            body["organization"] = organization
        return self.call("POST", "/emulator/v1/users", body)

    def requests(self, *paths: str) -> list[dict[str, Any]]:
        """Return the requests so far to these paths, or to all but the control path."""
        return [
            request
            for request in self.call("GET", "/emulator/v1/requests")
            if (request["path"] in paths)
            or (not paths and not request["path"].startswith("/emulator"))
        ]

    def policy(self, organization: str = "") -> dict[str, Any]:
        """Return the policy in force for an organization or for the instance."""
        kind = "management" if organization else "admin"
        answer = self.get(f"/{kind}/v1/policies/notification", organization)
        policy: dict[str, Any] = answer["policy"]
        return policy

    def writes(self) -> list[tuple[str, str, str]]:
        """Return verb, path and organization of requests that may write policies."""
        return [
            (r["method"], r["path"], r["organization"])
            for r in self.call("GET", "/emulator/v1/requests")
            if r["method"] != "GET" and "/policies/" in r["path"]
        ]

    def _first_line(self) -> str:
        text = self.program.log.read_text()
        return text.splitlines()[0] if "\n" in text else ""


class OperatorProcess:
    """`znp run` against a control plane."""

    def __init__(
        self,
        plane: ControlPlane,
        folder: Path,
        *options: str,
        local: bool = True,
        elect: bool = False,
        environment: Mapping[str, str] | None = None,
        kubeconfig: Path | None = None,
    ) -> None:
        self.log = folder / "operator.log"
        if local:
            options = ("--allow-local-urls", *options)
        if not elect:
            # After a kill, the next process would have to wait until the Lease ends.
            options = ("--no-leader-elect", *options)
        command = [
            *(*ZNP, "run", "--kubeconfig", str(kubeconfig or plane.kubeconfig)),
            *("--health-port", "0", "--metrics-port", "0", "--log-level", "DEBUG"),
            *("--bind-address", "127.0.0.1", *options),
        ]
        whole = {**os.environ, **(environment or {"NO_PROXY": "*"})}
        offset = self.log.stat().st_size if self.log.exists() else 0
        self.program = Program("operator", command, self.log, whole)
        self._offset = offset

    def wait_ready(self) -> None:
        """Wait until /readyz is 200."""
        eventually(self.is_ready, 90, f"readiness:\n{self.program.tail(40)}")

    def is_ready(self) -> bool:
        """Return whether /readyz is 200 now."""
        return self.probe("health", "/readyz") == 200

    def probe(self, listener: str, path: str) -> int:
        """Return the HTTP status of a path; 0 if nothing listens."""
        port = self.port(listener)
        if not port:
            return 0
        try:
            url = f"http://127.0.0.1:{port}{path}"
            with urllib.request.urlopen(url) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metrics(self) -> str:
        """Return the text of /metrics."""
        url = f"http://127.0.0.1:{self.port('metrics')}/metrics"
        with urllib.request.urlopen(url) as answer:
            return str(answer.read().decode())

    def port(self, listener: str) -> int:
        """Return the port of a listener that the log names; 0 if there is none yet."""
        with self.log.open() as log:
            log.seek(self._offset)
            found = re.search(rf"Listening for {listener} on port (\d+)", log.read())
        return int(found[1]) if found else 0


def create_secret(
    plane: ControlPlane,
    name: str,
    token: str = TOKEN,
    namespace: str = OWN_NAMESPACE,
    **values: str,
) -> None:
    """Create a Secret with a token, or with other values."""
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": values or {"token": token},
    }
    apply(plane, manifest)
