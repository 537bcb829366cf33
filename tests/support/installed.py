"""The chart, installed with the real Helm, and operators with its service account.

There is no kubelet, so no pod runs. The operator's process gets what its pod would get
from the stored Deployment: arguments, environment, and a token of the service account.
Only what this machine needs is added: ports and address of the listeners, and the
permission to connect to loopback.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chart.rendering import CHART, HELM_4, Document, parse, run_helm
from support.kube_calls import create_namespace, read
from support.running import OWN_NAMESPACE, OperatorProcess
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

RELEASE = "zitadel-notification-operator"
"""The release; namespace, service account, Deployment and Lease have this name, too."""
ACCOUNT = f"system:serviceaccount:{OWN_NAMESPACE}:{RELEASE}"
"""The name by which the API server knows the operator."""


@dataclass
class Installation:
    """A release of the chart on a control plane.

    Attributes:
        folder: Where logs and kubeconfigs are written.
        watched: The value of `watchNamespaces`; empty means all namespaces.
        program: The Helm that is used.
        source: The source root of the operators that are started; None means the one
            that is installed.
    """

    plane: ControlPlane
    folder: Path
    watched: tuple[str, ...] = ()
    program: str = HELM_4
    source: Path | None = None
    _used: list[str] = field(default_factory=list)

    def helm(
        self, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run Helm in the operator's namespace."""
        return run_helm(
            *(*arguments, "--namespace", OWN_NAMESPACE),
            check=check,
            environment={"KUBECONFIG": str(self.plane.kubeconfig)},
            helm=self.program,
        )

    def install(self, *options: str, chart: Path = CHART) -> None:
        """Create the watched namespaces and install the chart."""
        for name in self.watched:
            self.plane.kubectl("create", "namespace", name)
        if self.watched:
            options = (
                "--set",
                f"watchNamespaces={{{','.join(self.watched)}}}",
                *options,
            )
        self.helm("install", RELEASE, str(chart), "--create-namespace", *options)
        self.wait_for_crds()

    def wait_for_crds(self) -> None:
        """Wait until all kinds are served."""
        self.plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
        command = ("get", "znp,znps,zni", "--all-namespaces")
        # A CRD is Established a moment before its storage is ready.
        eventually(lambda: self.plane.kubectl(*command, check=False).returncode == 0)

    def manifest(self) -> list[Document]:
        """Return what Helm has applied."""
        return parse(self.helm("get", "manifest", RELEASE).stdout)

    def container(self) -> Document:
        """Return the operator's container in the stored Deployment."""
        done = self.plane.kubectl(
            *("get", "deployment", RELEASE, f"--namespace={OWN_NAMESPACE}"),
            "--output=json",
        )
        spec = json.loads(done.stdout)["spec"]["template"]["spec"]
        assert spec["serviceAccountName"] == RELEASE
        (found,) = spec["containers"]
        assert isinstance(found, dict)
        return found

    def kubeconfig(self) -> Path:
        """Return a kubeconfig with a new token of the chart's service account."""
        done = self.plane.kubectl(
            *("create", "token", RELEASE, f"--namespace={OWN_NAMESPACE}")
        )
        config = yaml.safe_load(self.plane.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": done.stdout.strip()}
        path = self.folder / "account.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    def start(self, pod: str, **environment: str) -> OperatorProcess:
        """Start what a pod of this name would run, without waiting for it."""
        container = self.container()
        assert container["command"] == ["znp"]
        command, *options = container["args"]
        assert command == "run"
        whole = dict(_environment(container, pod)) | {"NO_PROXY": "*"} | environment
        if self.source is not None:
            # It goes before what is installed.
            whole["PYTHONPATH"] = str(self.source)
        folder = self.folder / pod
        folder.mkdir()
        return OperatorProcess(
            self.plane,
            folder,
            # Of an option that is given twice, the last one counts.
            *(*options, "--health-port=0", "--metrics-port=0"),
            elect=True,
            environment=whole,
            kubeconfig=self.kubeconfig(),
        )

    def holder(self) -> str:
        """Return the name of the pod that holds the Lease, or ""."""
        lease = read(self.plane, "lease", RELEASE, OWN_NAMESPACE) or {"spec": {}}
        holder: str = lease["spec"].get("holderIdentity", "")
        return holder.partition("_")[0]

    def lead(self, pod: str) -> OperatorProcess:
        """Start a pod's operator; wait until it is ready and leads."""
        operator = self.start(pod)
        operator.wait_ready()
        eventually(lambda: self.holder() == pod, 40, f"{pod} holds the Lease")
        return operator

    def namespace(self) -> str:
        """Return an unused namespace: a new one, or one of the watched namespaces."""
        name = f"test-{len(self._used)}"
        if self.watched:
            name = self.watched[len(self._used)]
        else:
            create_namespace(self.plane, name)
        self._used.append(name)
        return name

    def may(self, *question: str) -> bool:
        """Return what `kubectl auth can-i` says about the chart's service account."""
        command = ("auth", "can-i", *question, f"--as={ACCOUNT}")
        done = self.plane.kubectl(*command, check=False)
        # Warnings about scopes go to stderr.
        answer = done.stdout.strip()
        assert answer in {"yes", "no"}, done.stderr
        return answer == "yes"


def _environment(container: Document, pod: str) -> Iterator[tuple[str, Any]]:
    """Yield the variables that the kubelet would set."""
    for variable in container["env"]:
        if "value" in variable:
            yield variable["name"], variable["value"]
        else:
            source = variable["valueFrom"]["fieldRef"]["fieldPath"]
            assert source == "metadata.name"
            yield variable["name"], pod
