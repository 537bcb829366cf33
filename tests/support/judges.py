"""The health that GitOps tools derive from an object, and whether they agree.

There are three judges: kstatus, Argo CD with the scripts of `deploy/argocd`, and Flux
with the expressions of `examples/gitops/flux`. The ids of the rules are those of the
conventions sheet, 2.4 to 2.8.
"""

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import celpy
import yaml
from celpy.adapter import json_to_cel

from support import lua
from support.kstatus import Status, is_observed, kstatus

ROOT = Path(__file__).parent.parent.parent
ARGOCD = ROOT / "deploy" / "argocd" / "zitadel-notification.dev"
FLUX = ROOT / "examples" / "gitops" / "flux" / "cluster" / "policies.yaml"

Json = dict[str, Any]

SAME = {
    Status.CURRENT: "Healthy",
    Status.IN_PROGRESS: "Progressing",
    Status.FAILED: "Degraded",
    Status.TERMINATING: "Progressing",
}
"""The health that Argo CD must show for each result of kstatus."""


def argo(body: Json) -> tuple[str, str]:
    """Return the health and the message that Argo CD shows (3.6 and newer).

    Older versions run no script for an object that is being deleted. They show it as
    Progressing, too, with a message of their own.
    """
    found = lua.health(_script(body.get("kind", "NotificationPolicy")), body)
    going = body["metadata"].get("deletionTimestamp")
    return found["status"], found["deletionMessage" if going else "message"]


def flux(body: Json) -> Status:
    """Return the status that Flux derives with `healthCheckExprs`.

    As in `StatusEvaluator` of fluxcd/pkg `runtime/cel` (v0.110.3), the generation is
    compared first. Then the first expression that is true decides, in this order.
    """
    if not is_observed(body):
        return Status.IN_PROGRESS
    known = {key: json_to_cel(value) for key, value in body.items()}
    for name, status in (
        ("inProgress", Status.IN_PROGRESS),
        ("failed", Status.FAILED),
        ("current", Status.CURRENT),
    ):
        if _expressions()[name].evaluate(known):
            return status
    return Status.IN_PROGRESS


def disagreements(body: Json) -> list[str]:
    """Return the disagreements of the judges on a status that the operator wrote."""
    metadata, status = body["metadata"], body.get("status", {})
    kept = ("type", "status", "reason", "observedGeneration")
    facts = {
        "kind": body.get("kind", "NotificationPolicy"),
        "metadata": {k: metadata[k] for k in _METADATA if k in metadata},
        "spec": {"suspend": bool(body.get("spec", {}).get("suspend"))},
        "status": {k: status[k] for k in ("observedGeneration",) if k in status},
    }
    if "conditions" in status:
        facts["status"]["conditions"] = [
            {k: condition[k] for k in kept if k in condition}
            for condition in status["conditions"]
        ]
    return list(_disagreements(json.dumps(facts)))


_METADATA = ("generation", "deletionTimestamp")


@lru_cache(maxsize=10_000)
def _disagreements(facts: str) -> tuple[str, ...]:
    """Return the disagreements for the fields that the judges read.

    Few statuses differ in these fields, so the results are cached.
    """
    body = json.loads(facts)
    by_kstatus, (by_argo, _) = kstatus(body), argo(body)
    deleted = by_kstatus is Status.TERMINATING
    suspended = body["spec"]["suspend"] and not deleted
    found = []
    wanted = "Suspended" if suspended else SAME[by_kstatus]
    if by_argo != wanted:
        found.append(f"2.8: kstatus says {by_kstatus}, Argo CD {by_argo}")
    if suspended and by_kstatus is Status.FAILED:
        found.append("6.1: suspended, and Failed")
    by_flux = flux(body)
    wanted_of_flux = Status.CURRENT if suspended and is_observed(body) else by_kstatus
    if by_flux is not wanted_of_flux and not deleted:
        found.append(f"2.5: kstatus says {by_kstatus}, Flux's expressions {by_flux}")
    return tuple(found)


@cache
def _script(kind: str) -> str:
    return (ARGOCD / kind / "health.lua").read_text()


@cache
def _expressions() -> dict[str, celpy.Runner]:
    entry, *others = yaml.safe_load(FLUX.read_text())["spec"]["healthCheckExprs"]
    for other in others:
        assert {**other, "kind": entry["kind"]} == entry
    environment = celpy.Environment()
    return {
        name: environment.program(environment.compile(entry[name]))
        for name in ("inProgress", "failed", "current")
    }
