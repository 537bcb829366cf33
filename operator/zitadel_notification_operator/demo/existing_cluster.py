"""An existing cluster for the demo, which checks it first and cleans up at the end."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from zitadel_notification_operator.cluster.names import GROUP
from zitadel_notification_operator.core.kinds import KINDS

from .binaries import find_binaries
from .kubectl import run_kubectl

NAMESPACE = "zitadel-notification-operator"
CRDS = tuple(f"{kind.plural}.{GROUP}" for kind in KINDS)


class ClusterInUse(RuntimeError):
    """The demo's objects exist in the cluster, or the cluster does not answer.

    The text says which.
    """


class ExistingCluster:
    """The part of `ControlPlane` that the demo needs, for an existing cluster.

    Use it as a context manager.

    Attributes:
        folder: A temporary folder for logs, which is removed at the end.
        kubeconfig: The path of the given kubeconfig.
    """

    outlives_demo = True

    def __init__(self, kubeconfig: Path) -> None:
        """Find kubectl; the cluster is not contacted yet.

        Args:
            kubeconfig: The kubeconfig of a user who may install CRDs and create
                namespaces.

        Raises:
            MissingBinaries: There is no kubectl on the PATH or where `find_binaries`
                looks.
        """
        found = shutil.which("kubectl")
        self._program = (
            Path(found) if found else find_binaries(("kubectl",)) / "kubectl"
        )
        self._temporary = tempfile.TemporaryDirectory("-znp")
        self.folder = Path(self._temporary.name)
        self.kubeconfig = kubeconfig.absolute()

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the user of the kubeconfig; see `run_kubectl`."""
        return run_kubectl(
            self._program, self.kubeconfig, arguments, stdin=stdin, check=check
        )

    def __enter__(self) -> Self:
        """Check that the cluster contains neither the CRDs nor the namespace.

        Raises:
            ClusterInUse: The CRDs or the namespace exist, or the cluster does not
                answer.
        """
        try:
            found = self._present()
        except ClusterInUse:
            self._temporary.cleanup()
            raise
        if found:
            self._temporary.cleanup()
            raise ClusterInUse(
                f"The cluster already has {', '.join(found)}; the demo installs its "
                "own and removes them at the end, so it needs a cluster without them"
            )
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the CRDs and the namespace; `Demo.stop` has deleted the objects."""
        try:
            self.kubectl("delete", "--wait=false", *self._present(), check=False)
        finally:
            self._temporary.cleanup()

    def _present(self) -> list[str]:
        """Return which of the CRDs and the namespace exist, as kubectl names them.

        Raises:
            ClusterInUse: The cluster does not answer.
        """
        names = [f"namespace/{NAMESPACE}", *(f"crd/{name}" for name in CRDS)]
        done = self.kubectl(
            "get", *names, "--ignore-not-found", "--output=name", check=False
        )
        if done.returncode:
            raise ClusterInUse(f"kubectl cannot ask the cluster: {done.stderr.strip()}")
        return done.stdout.split()
