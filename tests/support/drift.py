"""A harness whose instance finds drift by events, and what its tests examine."""

from dataclasses import replace

from support.engines import INSTANCE, Harness, with_spec
from zitadel_notification_operator.core.conditions import Condition, find
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.policy_object import PolicyObject


def bench_with(
    *policies: PolicyObject, method: DriftMethod = DriftMethod.AUTO
) -> Harness:
    """Return a harness with these policies and drift detection by events."""
    harness = Harness()
    harness.cluster.put_instance(with_spec(INSTANCE, method=method))
    for one in policies:
        harness.cluster.put(one)
    return harness


def harness_with(*policies: PolicyObject) -> Harness:
    """Return a harness whose instance reads events every five seconds."""
    harness = bench_with(*policies)
    often = with_spec(INSTANCE, method=DriftMethod.AUTO, events_interval=5)
    harness.cluster.put_instance(often)
    return harness


def edit(harness: Harness, *, suspended: bool = False) -> None:
    """Store a new version of the spec of `p`, with the value of before."""
    stored = harness.policy("p")
    later = replace(stored, generation=stored.generation + 1, suspended=suspended)
    harness.seen(later)


def in_sync(harness: Harness, name: str) -> Condition:
    """Return the InSync condition of a policy."""
    found = find(harness.policy(name).status.conditions, "InSync")
    assert found is not None
    return found


def calls(harness: Harness, before: int) -> list[str]:
    """Return the calls to ZITADEL since step number `before`."""
    kubernetes = {"status", "original", "strip", "hold", "release"}
    return [step[0] for step in harness.steps.log[before:] if step[0] not in kubernetes]
