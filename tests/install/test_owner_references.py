"""What the admission plugin OwnerReferencesPermissionEnforcement asks of the operator.

The chart gives the operator create and delete on policies, and nothing on the
`finalizers` of sets. These tests show that it needs no more, and why delete is needed.
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from support.documents import ROOT
from zitadel_notification_operator.demo.control_plane import ControlPlane

PLUGIN = "OwnerReferencesPermissionEnforcement"
API = "zitadel-notification.dev/v1alpha1"
WITHOUT_DELETE, LIKE_OURS = "without-delete", "like-ours"
VERBS = {WITHOUT_DELETE: "get,create,patch", LIKE_OURS: "get,create,patch,delete"}
AS = "system:serviceaccount:default:"


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """A control plane with the plugin, a set, and two accounts."""
    with ControlPlane(admission_plugins=(PLUGIN,)) as plane:
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "deploy" / "crds"))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
        for account, verbs in VERBS.items():
            role = ("--verb", verbs, "--resource=notificationpolicies")
            plane.kubectl("create", "role", account, *role)
            who = f"--serviceaccount=default:{account}"
            plane.kubectl("create", "rolebinding", account, f"--role={account}", who)
        yield plane


@pytest.fixture(scope="module")
def uid(control_plane: ControlPlane) -> str:
    """The uid of a set."""
    spec = {"organizations": {"all": True}, "passwordChange": True}
    whole = {"apiVersion": API, "kind": "NotificationPolicySet", "spec": spec}
    made = control_plane.kubectl(
        *("create", "-f-", "--output=json"),
        stdin=json.dumps({**whole, "metadata": {"name": "s"}}),
    )
    return str(json.loads(made.stdout)["metadata"]["uid"])


def policy(name: str, uid: str = "", *, blocks: bool = False) -> dict[str, Any]:
    """Return a policy, with an owner reference if there is a uid."""
    owner = {"apiVersion": API, "kind": "NotificationPolicySet", "name": "s"}
    owners = [{**owner, "uid": uid, "controller": True, "blockOwnerDeletion": blocks}]
    spec = {"scope": "Organization", "organization": {"id": "1"}}
    return {
        "apiVersion": API,
        "kind": "NotificationPolicy",
        "metadata": {"name": name} | ({"ownerReferences": owners} if uid else {}),
        "spec": {**spec, "passwordChange": True},
    }


def write(
    plane: ControlPlane, account: str, body: dict[str, Any], *verb: str
) -> subprocess.CompletedProcess[str]:
    """Create or apply a policy as an account."""
    who = f"--as={AS}{account}"
    return plane.kubectl(*verb, "-f-", who, stdin=json.dumps(body), check=False)


APPLY = ("apply", "--server-side", "--force-conflicts")


def test_a_create_needs_create_alone(control_plane: ControlPlane, uid: str) -> None:
    """The plugin lets whoever creates an object name its owner."""
    done = write(control_plane, WITHOUT_DELETE, policy("a", uid), "create")
    assert done.returncode == 0, done.stderr


def test_adopting_needs_delete(control_plane: ControlPlane, uid: str) -> None:
    """Whoever sets the owner of an existing object decides when it is deleted."""
    assert write(control_plane, LIKE_OURS, policy("b"), "create").returncode == 0
    done = write(control_plane, WITHOUT_DELETE, policy("b", uid), *APPLY)
    assert "cannot set an ownerRef on a resource you can't delete" in done.stderr
    done = write(control_plane, LIKE_OURS, policy("b", uid), *APPLY)
    assert done.returncode == 0, done.stderr


def test_an_owner_that_is_blocked_would_need_its_finalizers(
    control_plane: ControlPlane, uid: str
) -> None:
    """So the operator sets `blockOwnerDeletion: false`, and needs no such right."""
    done = write(control_plane, LIKE_OURS, policy("c", uid, blocks=True), "create")
    assert "cannot set blockOwnerDeletion" in done.stderr
    done = write(control_plane, LIKE_OURS, policy("c", uid), "create")
    assert done.returncode == 0, done.stderr
