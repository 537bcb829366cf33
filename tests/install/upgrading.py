"""What the tests of upgrades share: another chart, a rollout, and what has to stay."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from chart.rendering import CHART
from cluster.conftest import System
from support.documents import ROOT, commands
from support.installed import Installation
from support.kube_calls import Away, read_all
from support.waiting import eventually

OPTIONS = ("--set", "leaderElection.leaseDuration=5s")
UPGRADE = ROOT / "docs" / "how-to" / "upgrade.md"
LATE = {"policies", "driftCursor"}
"""What an instance's status tells up to two minutes later, upgrade or not."""
REQUESTED = "zitadel-notification.dev/reconcile-requested-at"


def make_newer_chart(folder: Path) -> Path:
    """Make the next chart, with one more field in a CRD and another default."""
    copy = folder / "newer"
    shutil.copytree(CHART, copy)
    file = (
        copy / "files" / "crds" / "zitadel-notification.dev_notificationpolicies.yaml"
    )
    crd = yaml.safe_load(file.read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["note"] = {"type": "string"}
    file.write_text(yaml.safe_dump(crd, sort_keys=False))
    values = copy / "values.yaml"
    text = values.read_text()
    assert "\nworkers: 16\n" in text
    values.write_text(text.replace("\nworkers: 16\n", "\nworkers: 4\n"))
    return copy


def has_note(system: System) -> bool:
    """Return whether the API server knows the field of the newer chart."""
    done = system.plane.kubectl("explain", "znp.spec.note", check=False)
    return done.returncode == 0


def guide(heading: str, chart: Path = CHART) -> str:
    """Return the commands of a section of the guide, for a chart in another place."""
    text = commands(UPGRADE, heading)
    return text.replace(str(CHART.relative_to(ROOT)), str(chart))


def stored(system: System) -> list[dict[str, Any]]:
    """Return all objects of our kinds, of which there is one at least.

    After a change of a CRD, the API server asks its clients to wait for a moment.
    """

    def ask() -> list[dict[str, Any]] | None:
        kinds = ("znp", "znps", "zni")
        try:
            return [body for kind in kinds for body in read_all(system.plane, kind)]
        except Away:
            return None

    return eventually(ask, what="the objects")


def name_of(body: dict[str, Any]) -> str:
    """Return the kind and name of an object."""
    return f"{body['kind']}/{body['metadata']['name']}"


def statuses(system: System) -> dict[str, Any]:
    """Return all statuses by kind and name, without fields that change late."""
    return {
        name_of(item): {
            key: value for key, value in item["status"].items() if key not in LATE
        }
        for item in stored(system)
    }


def roll_out(system: System, installation: Installation, pod: str) -> None:
    """Do what Deployment and kubelet do after a change: start a pod, end the other."""
    old, system.operator = system.operator, installation.start(pod)
    system.operator.wait_ready()
    assert old.program.stop() == 0
    eventually(lambda: installation.holder() == pod, 40, f"{pod} holds the Lease")


def request_pass(
    system: System, kind: str, name: str, namespace: str, token: str
) -> None:
    """Request a pass over an object, and wait until it has ended.

    Args:
        system: The system.
        kind: The short name of the kind.
        name: The object's name.
        namespace: Its namespace; empty for an instance.
        token: What the status shows afterwards.
    """
    where = (f"--namespace={namespace}",) if namespace else ()
    mark = f"{REQUESTED}={token}"
    system.plane.kubectl("annotate", "--overwrite", kind, name, mark, *where)

    def is_handled() -> bool:
        body = system.get(kind, name, namespace) or {"status": {}}
        return bool(body["status"].get("lastHandledReconcileAt") == token)

    eventually(is_handled, 40, f"{name}: {token} handled")
