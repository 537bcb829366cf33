"""Control planes that have the CRDs and the operator's namespace from the start.

The first one of a test run is filled by kubectl. The others begin with a copy of what
its etcd has stored, which saves each of them a third of its processor time. All test
processes of a run share the copy.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.kube_calls import request
from support.running import OWN_NAMESPACE
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

SHARED = "ZNP_TEST_PLANES"
"""The environment variable with the folder that the processes of a run share."""
CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"
_GROUP = "/apis/zitadel-notification.dev/v1alpha1"


def install_crds(plane: ControlPlane) -> None:
    """Install the CRDs, and create the operator's namespace."""
    plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
    plane.kubectl("create", "namespace", OWN_NAMESPACE)


@contextmanager
def ready_plane() -> Iterator[ControlPlane]:
    """Run a control plane with the CRDs and the operator's namespace."""
    with ControlPlane(data=_stored()) as plane:
        eventually(lambda: request(plane, _GROUP), what="the API of the CRDs")
        yield plane


def _stored() -> Path:
    """Return the data folder of an etcd with all this; the first caller makes it."""
    folder = Path(os.environ[SHARED])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        data = folder / "etcd"
        if not data.exists():
            with tempfile.TemporaryDirectory(dir=folder) as name:
                with ControlPlane(Path(name) / "plane") as plane:
                    install_crds(plane)
                [left] = (Path(name) / "plane").glob("etcd-*")
                left.rename(data)
    return data
