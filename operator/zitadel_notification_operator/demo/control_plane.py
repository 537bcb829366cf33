"""A real Kubernetes control plane on loopback: etcd and kube-apiserver, no nodes.

Serves `znp demo` and the tests. RBAC is on, and every finished request stands in the
audit log, so that writes can be counted by object and verb.
"""

import http.client
import json
import os
import secrets
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from zitadel_notification_operator.demo.binaries import find_binaries
from zitadel_notification_operator.demo.certificates import write_certificates
from zitadel_notification_operator.demo.processes import Program, free_port

START_TIMEOUT = 60.0
"""Seconds for a program to answer; a slow machine needs some, a good one three."""

_OK = 200
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata"}],
}


class StartFailed(RuntimeError):
    """A program did not come up; the text holds the end of its log."""


class ControlPlane:
    """etcd and kube-apiserver; start it, use it, stop it, also as a `with` block.

    Attributes:
        folder: Holds all files; removed at the end unless it was given.
        kubeconfig: For an administrator.
        token: The same administrator's bearer token.
        url: The API server's, https on 127.0.0.1.
        audit_log: JSON lines, one a finished request (audit.k8s.io/v1).
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Prepare a control plane; nothing is started yet.

        Raises:
            MissingBinaries: The programs are not there.
        """
        self._binaries = find_binaries()
        self._temporary = None if folder else tempfile.TemporaryDirectory("-znp")
        self.folder = folder or Path(self._temporary.name if self._temporary else "")
        self.kubeconfig = self.folder / "kubeconfig"
        self.audit_log = self.folder / "audit.log"
        self.token = secrets.token_hex(16)
        self._port = free_port()
        self._etcd: Program | None = None
        self._api: Program | None = None
        self._etcd_url = ""

    @property
    def url(self) -> str:
        """The API server's address."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def kubectl_path(self) -> Path:
        """The kubectl of the same version."""
        return self._binaries / "kubectl"

    def start(self) -> Self:
        """Start both programs and wait until the API server is ready.

        Raises:
            StartFailed: One of them ended or did not answer in time.
        """
        try:
            self._write_files()
            self._start_etcd()
            self.start_api_server()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop both and remove the files; safe to call again."""
        self.stop_api_server()
        if self._etcd is not None:
            self._etcd.stop()
            self._etcd = None
        if self._temporary is not None:
            self._temporary.cleanup()

    def start_api_server(self) -> None:
        """Start kube-apiserver on its port and wait until it is ready."""
        self._api = Program(
            "kube-apiserver", self._api_command(), self.folder / "kube-apiserver.log"
        )
        self._wait_until_ready(self._api, self._port, "/readyz", tls=True)

    def stop_api_server(self) -> None:
        """Stop kube-apiserver; etcd keeps the data."""
        if self._api is not None:
            self._api.stop(timeout=5)
            self._api = None

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator.

        Raises:
            CalledProcessError: It failed and `check` is true.
        """
        done = subprocess.run(  # noqa: S603 - our own program
            [str(self.kubectl_path), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "KUBECONFIG": str(self.kubeconfig),
                "HOME": str(self.folder),
            },
        )
        if check and done.returncode:
            raise subprocess.CalledProcessError(
                done.returncode, done.args, done.stdout, done.stderr
            )
        return done

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def _write_files(self) -> None:
        write_certificates(self.folder)
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f'{self.token},admin,admin,"system:masters"\n')
        tokens.chmod(0o600)
        (self.folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
        self.kubeconfig.write_text(json.dumps(self._kubeconfig(), indent=2))
        self.kubeconfig.chmod(0o600)

    def _kubeconfig(self) -> dict[str, object]:
        cluster = {
            "server": self.url,
            "certificate-authority": str(self.folder / "ca.crt"),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "znp", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [
                {"name": "znp", "context": {"cluster": "znp", "user": "admin"}}
            ],
            "current-context": "znp",
        }

    def _start_etcd(self) -> None:
        port, peer = free_port(), free_port()
        self._etcd_url = f"http://127.0.0.1:{port}"
        peers = f"http://127.0.0.1:{peer}"
        command = [
            str(self._binaries / "etcd"),
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        self._etcd = Program("etcd", command, self.folder / "etcd.log")
        self._wait_until_ready(self._etcd, port, "/health", tls=False)

    def _api_command(self) -> list[str]:
        folder = self.folder
        return [
            str(self._binaries / "kube-apiserver"),
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--tls-cert-file={folder / 'serving.crt'}",
            f"--tls-private-key-file={folder / 'serving.key'}",
            f"--cert-dir={folder}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            f"--service-account-key-file={folder / 'accounts.key'}",
            f"--service-account-signing-key-file={folder / 'accounts.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            f"--audit-log-path={self.audit_log}",
            f"--audit-policy-file={folder / 'audit-policy.json'}",
            "--audit-log-mode=blocking",
            # Without a controller manager nobody makes service accounts.
            "--disable-admission-plugins=ServiceAccount",
            "--shutdown-delay-duration=0s",
            "--v=0",
        ]

    def _wait_until_ready(
        self, program: Program, port: int, path: str, *, tls: bool
    ) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if not program.running:
                break
            if self._answers(port, path, tls=tls):
                return
            time.sleep(0.05)
        raise StartFailed(f"{program.name} did not come up:\n{program.tail()}")

    def _answers(self, port: int, path: str, *, tls: bool) -> bool:
        connection: http.client.HTTPConnection
        if tls:
            context = ssl.create_default_context(cafile=self.folder / "ca.crt")
            connection = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=5, context=context
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status == _OK
        except OSError:
            return False
        finally:
            connection.close()
