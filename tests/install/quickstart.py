"""The cluster that readers of guides have: like the demo's, with the quickstart."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.conftest import System
from support.documents import ROOT
from support.planes import ready_plane
from support.running import EmulatorProcess, OperatorProcess, create_secret

EXAMPLES = ROOT / "examples" / "quickstart"
INSTANCE = "10-instance.yaml"
POLICY = "20-organization-policy.yaml"
DEFAULT = "30-instance-policy.yaml"
URL = "http://127.0.0.1:8085"
"""The address of the demo's ZITADEL, which the examples name."""


@contextmanager
def quickstart(folder: Path, *policies: str) -> Iterator[System]:
    """Run a control plane, an emulator and an operator with objects of the quickstart.

    Args:
        folder: The folder for logs and data.
        policies: The files of policies that are applied after the instance.

    Yields:
        The system, in which the instance, and the organization's policy, are Ready.
    """
    with ready_plane() as plane:
        create_secret(plane, "zitadel-credentials")
        emulator = EmulatorProcess(folder / "emulator")
        operator = OperatorProcess(plane, folder)
        with emulator.program, operator.program:
            operator.wait_ready()
            assert URL in (EXAMPLES / INSTANCE).read_text()
            for name in (INSTANCE, *policies):
                text = (EXAMPLES / name).read_text().replace(URL, emulator.url)
                plane.kubectl("apply", "-f-", stdin=text)
            system = System(plane, emulator, operator, folder)
            system.wait_for("", "default", kind="zni")
            if POLICY in policies:
                system.wait_for("default", "acme")
            yield system
