"""A cluster that somebody already has: it is asked first, and left as it was found."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from zitadel_notification_operator.demo.binaries import find_binaries
from zitadel_notification_operator.demo.kubectl import run_kubectl

NAMESPACE = "zitadel-notification-operator"
CRDS = (
    "notificationpolicies.zitadel-notification.dev",
    "zitadelinstances.zitadel-notification.dev",
)


class ClusterInUse(RuntimeError):
    """The demo would mix with what is there, or cannot look; the text says which."""


class ExistingCluster:
    """Offers what `ControlPlane` offers to the demo; use it as a `with` block.

    Attributes:
        folder: For logs; removed at the end.
        kubeconfig: The file that was given.
    """

    outlives_demo = True

    def __init__(self, kubeconfig: Path) -> None:
        """Prepare; nothing is asked yet.

        Args:
            kubeconfig: Of somebody who may install CRDs and create namespaces.

        Raises:
            MissingBinaries: There is no kubectl on the PATH or among our programs.
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
        """Make sure that nothing of ours is there.

        Raises:
            ClusterInUse: The CRDs or the namespace exist, or the cluster does not
                answer.
        """
        found = self._present()
        if found:
            raise ClusterInUse(
                f"The cluster already has {', '.join(found)}; the demo installs its "
                "own and removes them at the end, so it needs a cluster without them"
            )
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what the demo installed; the objects are gone by now."""
        self.kubectl("delete", "--wait=false", *self._present(), check=False)
        self._temporary.cleanup()

    def _present(self) -> list[str]:
        """Return which of our things the cluster has, as `kubectl` names them."""
        names = [f"namespace/{NAMESPACE}", *(f"crd/{name}" for name in CRDS)]
        done = self.kubectl(
            "get", *names, "--ignore-not-found", "--output=name", check=False
        )
        if done.returncode:
            raise ClusterInUse(f"kubectl cannot ask the cluster: {done.stderr.strip()}")
        return done.stdout.split()
