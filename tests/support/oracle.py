"""Flux's rules for conditions, applied to every status that a test sees.

The ids of the rules are those of the conventions sheet, 2.2 (fluxcd/pkg
`runtime/conditions/check`). `support.judges` compares the health that kstatus, Argo CD
and Flux derive from the status.
"""

from typing import Any

from support.judges import disagreements

NEGATIVE = {"Reconciling", "Stalled"}


def complaints(body: dict[str, Any]) -> list[str]:
    """Return the rules that an object's status violates.

    Args:
        body: The whole object, as the API server stores it.
    """
    generation = body["metadata"]["generation"]
    suspended = bool(body.get("spec", {}).get("suspend"))
    status = body.get("status", {})
    root = status.get("observedGeneration", -1)
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    found = disagreements(body)
    if not conditions:
        return found if root == -1 else [*found, "a status without conditions"]
    ready = conditions.get("Ready")
    if ready is None:
        return [*found, "F2: Ready is missing"]
    true_ones = {t for t in NEGATIVE & conditions.keys() if _is(conditions[t], "True")}
    if conditions.keys() & NEGATIVE != true_ones:
        found.append("2.2: a negative condition is there without being True")
    if _is(ready, "True") and true_ones:
        found.append("F1: Ready is True beside a negative condition")
    if "Stalled" in true_ones and not _is(ready, "False"):
        found.append("F4: Stalled, but Ready is not False")
    if len(true_ones) > 1:
        found.append("F5: Reconciling and Stalled at once")
    if root > generation:
        found.append("F6: observedGeneration is ahead of generation")
    if _is(ready, "True") and not suspended and root == generation:
        late = [
            t for t, c in conditions.items() if c["observedGeneration"] != generation
        ]
        found += [f"F8: {kind} speaks about another generation" for kind in late]
    if _is(ready, "Unknown") and "Reconciling" not in true_ones:
        found.append("F11: Ready is Unknown without Reconciling")
    found += [
        f"W5: {kind} has no observedGeneration"
        for kind, condition in conditions.items()
        if "observedGeneration" not in condition
    ]
    return found


def _is(condition: dict[str, Any], status: str) -> bool:
    return bool(condition["status"] == status)
