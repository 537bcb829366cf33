"""A bench whose instance finds drift by events, and what its tests examine."""

from support.engines import INSTANCE, Bench, with_spec
from zitadel_notification_operator.core.conditions import Condition, find
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.policy_object import PolicyObject


def bench_with(
    *policies: PolicyObject, method: DriftMethod = DriftMethod.AUTO
) -> Bench:
    """Return a bench with these policies and an instance that finds drift by events."""
    bench = Bench()
    bench.cluster.put_instance(with_spec(INSTANCE, method=method))
    for one in policies:
        bench.cluster.put(one)
    return bench


def in_sync(bench: Bench, name: str) -> Condition:
    """Return the InSync condition of a policy."""
    found = find(bench.policy(name).status.conditions, "InSync")
    assert found is not None
    return found


def calls(bench: Bench, before: int) -> list[str]:
    """Return the calls to ZITADEL since step number `before`."""
    kubernetes = {"status", "original", "strip", "hold", "release"}
    return [step[0] for step in bench.steps.log[before:] if step[0] not in kubernetes]
