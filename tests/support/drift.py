"""A harness whose instance finds drift by events, and what its tests examine."""

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


def in_sync(harness: Harness, name: str) -> Condition:
    """Return the InSync condition of a policy."""
    found = find(harness.policy(name).status.conditions, "InSync")
    assert found is not None
    return found


def calls(harness: Harness, before: int) -> list[str]:
    """Return the calls to ZITADEL since step number `before`."""
    kubernetes = {"status", "original", "strip", "hold", "release"}
    return [step[0] for step in harness.steps.log[before:] if step[0] not in kubernetes]
