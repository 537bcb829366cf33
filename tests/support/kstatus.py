"""kstatus, by which Flux, Helm 4 and other tools judge an object.

This is `Compute` of cli-utils `pkg/kstatus/status` (fluxcd/cli-utils v1.2.3), for kinds
that have no rules of their own. The order of the checks is the same, and matters.
"""

from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """The results of kstatus for a stored object, so without NotFound and Unknown."""

    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    TERMINATING = "Terminating"


def kstatus(body: dict[str, Any]) -> Status:
    """Return the result of kstatus for an object.

    Args:
        body: The whole object, as the API server stores it.
    """
    metadata = body["metadata"]
    if metadata.get("deletionTimestamp"):
        return Status.TERMINATING
    status = body.get("status", {})
    if not is_observed(body):
        return Status.IN_PROGRESS
    conditions = status.get("conditions", [])
    for condition in conditions:
        if condition["status"] != "True":
            continue
        if condition["type"] == "Reconciling":
            return Status.IN_PROGRESS
        if condition["type"] == "Stalled":
            return Status.FAILED
    for condition in conditions:
        if condition["type"] == "Ready":
            ready = condition["status"] == "True"
            return Status.CURRENT if ready else Status.IN_PROGRESS
    return Status.CURRENT


def is_observed(body: dict[str, Any]) -> bool:
    """Return whether the status is of the newest generation, or names none."""
    generation = body["metadata"].get("generation")
    observed = body.get("status", {}).get("observedGeneration")
    return None in {generation, observed} or generation == observed
