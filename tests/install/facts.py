"""What a cluster's objects say, and whether a new version says all of it, too."""

from collections.abc import Iterator
from typing import Any

from cluster.conftest import System
from install.upgrading import LATE, REQUESTED, name_of, stored
from support.waiting import eventually

Facts = dict[str, dict[str, Any]]
ASKED = "lastHandledReconcileAt"


def read_facts(system: System) -> Facts:
    """Return what must stay of each object: identity, owner, finalizers, spec, status.

    A status is without what changes late or by request.
    """
    found = {}
    for body in stored(system):
        kept = ("uid", "finalizers", "ownerReferences", "generation")
        metadata = {key: body["metadata"].get(key) for key in kept}
        status = {k: v for k, v in body["status"].items() if k not in {*LATE, ASKED}}
        found[name_of(body)] = {**metadata, "spec": body["spec"], "status": status}
    return found


def lost_facts(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield each fact that the old version told and the new one does not tell.

    A new version may tell more, and may word messages differently.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            if key != "message":
                yield from lost_facts(value, new.get(key), f"{path}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from lost_facts(one, other, f"{path}/{number}")
    elif old != new:
        yield f"{path}: {old} became {new}"


def look_at_all(system: System, token: str) -> None:
    """Let the operator pass over each object, except suspended ones.

    A pass ends with a status that has the token.
    """
    for kind in ("znp", "znps", "zni"):
        where = () if kind == "zni" else ("--all-namespaces",)
        mark = f"{REQUESTED}={token}"
        command = ("annotate", "--overwrite", kind, "--all", mark)
        system.plane.kubectl(*command, *where)

    def are_handled() -> bool:
        active = [b for b in stored(system) if not b["spec"].get("suspend")]
        return all(body["status"].get(ASKED) == token for body in active)

    eventually(are_handled, 60, "a pass over each object")
