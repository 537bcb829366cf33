"""A real Kubernetes control plane on loopback: etcd and kube-apiserver, no nodes.

`znp demo` and the tests use it. RBAC is on, and the audit log records every finished
request, so that writes can be counted by object and verb. All methods block. They may
be called from any thread, but only from one at a time.
"""

import http.client
import os
import secrets
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from .binaries import find_binaries
from .certificates import write_certificates
from .control_plane_options import (
    api_server_options,
    controller_manager_options,
    data_folder,
    etcd_options,
    write_files,
)
from .kubectl import run_kubectl
from .processes import Program, free_port

START_TIMEOUT = 60.0
"""How long to wait for a program to answer, in seconds; three are usually enough."""
TRIES = 3
"""How often to try the start if another process takes a chosen port first."""
CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "clusterrole-aggregation-controller",
)

COLLECTION = {"GOGC": "200"}
"""Makes Go collect garbage half as often, which saves an eighth of a start's processor
time and costs a tenth more memory. The caller's environment may say otherwise."""

_OK = 200


class StartFailed(RuntimeError):
    """A program did not start; the text contains the end of its log."""


class PortTaken(StartFailed):
    """Another process took the chosen port before the program could listen on it."""


class ControlPlane:
    """A control plane of etcd and kube-apiserver, which is also a context manager.

    Attributes:
        folder: The folder for all files; `stop` removes it if it is a temporary one.
        kubeconfig: The path of an administrator's kubeconfig.
        token: The bearer token of the same administrator.
        audit_log: The path of the audit log, which has one line of JSON for each
            finished request (audit.k8s.io/v1).
    """

    outlives_demo = False

    def __init__(
        self,
        folder: Path | None = None,
        *,
        admission_plugins: Sequence[str] = (),
        data: Path | None = None,
    ) -> None:
        """Prepare a control plane without starting it.

        Args:
            folder: The folder for all files; None creates a temporary one.
            admission_plugins: Admission plugins of kube-apiserver that are off by
                default.
            data: A data folder that an etcd has left behind; a copy of it is used. None
                begins without data.

        Raises:
            MissingBinaries: The programs were not found.
        """
        self._binaries = find_binaries()
        self._temporary = (
            None if folder is not None else tempfile.TemporaryDirectory("-znp")
        )
        self.folder = Path(self._temporary.name if self._temporary else folder or ".")
        self.folder = self.folder.absolute()
        self.kubeconfig = self.folder / "kubeconfig"
        self.audit_log = self.folder / "audit.log"
        self.token = secrets.token_hex(16)
        self._admission_plugins = admission_plugins
        self._data = data
        self._port = free_port()
        self._etcd_port = 0
        self._etcd: Program | None = None
        self._api: Program | None = None
        self._controllers: Program | None = None

    @property
    def url(self) -> str:
        """The URL of the API server, which no longer changes once `start` returned."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def kubectl_path(self) -> Path:
        """The path of a kubectl of the same version as the API server."""
        return self._binaries / "kubectl"

    def start(self) -> Self:
        """Start both programs and wait until the API server is ready.

        Raises:
            StartFailed: One of them exited or did not answer in time.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_certificates(self.folder)
            for attempt in range(1, TRIES + 1):
                try:
                    self._start_both()
                    break
                except PortTaken:
                    if attempt == TRIES:
                        raise
                    self._stop_programs()
                    self._port = free_port()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop all programs and remove a temporary folder; safe to call repeatedly."""
        self._stop_programs()
        if self._temporary is not None:
            self._temporary.cleanup()

    def start_api_server(self) -> None:
        """Start kube-apiserver on its port and wait until it is ready.

        Raises:
            StartFailed: It exited or did not answer in time.
        """
        options = api_server_options(
            self.folder, self._port, self._etcd_port, self._admission_plugins
        )
        self._api = self._run(self._binaries / "kube-apiserver", options)
        self._wait_until_ready(self._api, self._port, "/readyz")
        # It creates the namespace `default` itself, some time after it is ready.
        self._wait_until_ready(self._api, self._port, "/api/v1/namespaces/default")

    def stop_api_server(self) -> None:
        """Stop kube-apiserver; etcd keeps the data, and a restart reuses the port."""
        if self._api is not None:
            self._api.stop(timeout=5)
            self._api = None

    def start_controller_manager(
        self, controllers: Sequence[str] = CONTROLLERS
    ) -> None:
        """Start kube-controller-manager, which deletes namespaces and owned objects.

        Args:
            controllers: The names of the controllers, as the program's help lists them.

        Raises:
            MissingBinaries: The program was not found.
            StartFailed: It exited or did not answer in time.
        """
        self.stop_controller_manager()
        name = "kube-controller-manager"
        # It has its own search, because the usual packages of these programs do not
        # contain it.
        binary = find_binaries((name,)) / name
        port = free_port()
        options = controller_manager_options(self.folder, port, controllers)
        self._controllers = self._run(binary, options)
        self._wait_until_ready(self._controllers, port, "/healthz")

    def stop_controller_manager(self) -> None:
        """Stop kube-controller-manager if it is running."""
        if self._controllers is not None:
            self._controllers.stop(timeout=5)
            self._controllers = None

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator.

        Args:
            arguments: The arguments, such as `get`, `znp`.
            stdin: The text for its standard input; None means no input.
            check: Whether to raise an error if it fails.

        Raises:
            CalledProcessError: It failed and `check` is true. A note on the error holds
                its standard error.
        """
        return run_kubectl(
            self.kubectl_path,
            self.kubeconfig,
            arguments,
            stdin=stdin,
            check=check,
            # kubectl caches API discovery below HOME, and the cache of another server
            # would be wrong.
            environment={"HOME": str(self.folder)},
        )

    def __enter__(self) -> Self:
        """Start the control plane."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop the control plane."""
        self.stop()

    def _start_both(self) -> None:
        write_files(self.folder, self.url, self.token)
        self._etcd_port = free_port()
        if self._data is not None:
            shutil.copytree(self._data, data_folder(self.folder, self._etcd_port))
        options = etcd_options(self.folder, self._etcd_port, free_port())
        self._etcd = self._run(self._binaries / "etcd", options)
        self._wait_until_ready(self._etcd, self._etcd_port, "/health")
        self.start_api_server()

    def _stop_programs(self) -> None:
        self.stop_controller_manager()
        self.stop_api_server()
        if self._etcd is not None:
            self._etcd.stop()
            self._etcd = None

    def _run(self, binary: Path, options: Sequence[str]) -> Program:
        log = self.folder / f"{binary.name}.log"
        environment = {**COLLECTION, **os.environ}
        return Program(binary.name, [str(binary), *options], log, environment)

    def _wait_until_ready(self, program: Program, port: int, path: str) -> None:
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        context.load_cert_chain(
            self.folder / "serving.crt", self.folder / "serving.key"
        )
        deadline = time.monotonic() + START_TIMEOUT
        while program.running and time.monotonic() < deadline:
            if self._answers(port, path, context):
                return
            time.sleep(0.05)
        log = program.tail()
        failure = PortTaken if "address already in use" in log else StartFailed
        raise failure(f"{program.name} did not come up; its log ends:\n{log}")

    def _answers(self, port: int, path: str, context: ssl.SSLContext) -> bool:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=5, context=context
        )
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status == _OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
