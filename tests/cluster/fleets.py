"""What tests of sets do on a real API server: organizations, sets, and their state.

The organizations of a test are named after its namespace, and its sets select them by
that, unless the test says otherwise.
"""

import time
from typing import Any

from cluster.conftest import System

SETS = "znps"
LABEL = "zitadel-notification.dev/set"


def make(system: System, name: str) -> str:
    """Create an organization with this name; return its id."""
    made = system.emulator.call("POST", "/management/v1/orgs", {"name": name})
    return str(made["id"])


def named(glob: str, **more: Any) -> dict[str, Any]:
    """Return a selection by name."""
    return {"include": [{"name": glob}], **more}


def apply_set(system: System, namespace: str, name: str = "s", /, **spec: Any) -> None:
    """Apply a set of the shared instance that turns mails on."""
    whole = {
        "instanceRef": {"name": "shared"},
        "organizations": named(f"{namespace}-*"),
        "passwordChange": True,
        **spec,
    }
    system.apply("NotificationPolicySet", name, whole, namespace)


def cover(
    system: System, namespace: str, name: str = "s", /, **spec: Any
) -> dict[str, Any]:
    """Apply a set, and wait until it is Ready; return it."""
    apply_set(system, namespace, name, **spec)
    return wait_ready(system, namespace, name)


def wait_ready(system: System, namespace: str, name: str = "s") -> dict[str, Any]:
    """Wait until a set is Ready with its newest spec; return it."""
    return system.wait_for(namespace, name, kind=SETS, patience=60)


def touch(system: System, namespace: str, name: str = "s") -> None:
    """Ask for a pass over a set, which reads the list of organizations again."""
    token = f"zitadel-notification.dev/reconcile-requested-at={time.time()}"
    command = ("annotate", "--overwrite", SETS, name, "-n", namespace, token)
    system.plane.kubectl(*command)


def counts(system: System, namespace: str, name: str = "s") -> dict[str, int]:
    """Return the numbers in the status of a set."""
    body = system.get(SETS, name, namespace) or {}
    found: dict[str, int] = body.get("status", {}).get("organizations", {})
    return found


def uid_of(system: System, name: str, namespace: str) -> str:
    """Return the uid of a policy; empty if there is none."""
    body = system.get("znp", name, namespace)
    return body["metadata"]["uid"] if body is not None else ""


def own(system: System, organization: str) -> bool:
    """Return whether an organization has a policy of its own, which sends mails."""
    policy = system.emulator.policy(organization)
    return not policy.get("isDefault") and bool(policy.get("passwordChange"))


def resets(system: System, organization: str) -> int:
    """Return how often an organization's own policy was removed."""
    writes = system.emulator.writes()
    return sum(w[0] == "DELETE" and w[2] == organization for w in writes)
