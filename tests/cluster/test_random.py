"""Random sequences on real servers; longer ones run on the virtual clock.

Policies are created, edited, deleted and contested in any order, and the operator is
killed in between. In the end each organization holds what the oldest managing policy
wants, and nothing was ever written that no policy had asked for.
"""

import os
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from cluster.conftest import System
from support.running import OperatorProcess
from support.waiting import eventually

ORGANIZATIONS = 3
NAMES = 6
STEPS = 40
SETTLING = 60.0
SEEDS = [1, 2, *map(int, os.environ.get("ZNP_SEEDS", "").split())]
"""ZNP_SEEDS adds more, separated by blanks."""


class Story:
    """One random sequence, and the result that it must have.

    Args:
        world: The real servers.
        namespace: The namespace of all policies.
        seed: The seed of the sequence.
    """

    def __init__(self, system: System, namespace: str, seed: int) -> None:
        self.system = system
        self.namespace = namespace
        self.chance = random.Random(seed)
        self.organizations = [system.organization() for _ in range(ORGANIZATIONS)]
        # All values that policies have ever wanted, by organization.
        self.wanted_values: dict[str, set[bool]] = defaultdict(set)
        self.names: set[str] = set()

    def run(self) -> None:
        """Run all steps, then check the result."""
        steps: list[Callable[[], None]] = [
            *([self.create] * 4),
            *([self.edit] * 4),
            *([self.delete] * 3),
            *([self.somebody_writes] * 3),
            self.kill,
        ]
        for _ in range(STEPS):
            self.chance.choice(steps)()
        eventually(self.is_settled, SETTLING, f"settled: {self.differences()}")
        self.nothing_unasked()

    def create(self) -> None:
        """Create a policy of a random organization; a name may be used again."""
        name = f"p{self.chance.randrange(NAMES)}"
        if name in self.names:
            return
        self.names.add(name)
        org = self.chance.choice(self.organizations)
        value = self.chance.random() < 0.5
        management = "Observe" if self.chance.random() < 0.2 else "Manage"
        if management == "Manage":
            self.wanted_values[org].add(value)
        self.system.policy(
            self.namespace,
            name,
            org,
            instanceRef={"name": self.namespace},
            passwordChange=value,
            managementPolicy=management,
        )

    def edit(self) -> None:
        """Change the value, or switch to Observe or back."""
        body = self.any_policy()
        if body is None:
            return
        spec = body["spec"]
        value = not spec["passwordChange"]
        management = "Observe" if self.chance.random() < 0.2 else "Manage"
        org = spec["organization"]["id"]
        if management == "Manage":
            self.wanted_values[org].add(value)
        self.system.policy(
            self.namespace,
            body["metadata"]["name"],
            org,
            instanceRef={"name": self.namespace},
            passwordChange=value,
            managementPolicy=management,
        )

    def delete(self) -> None:
        """Delete a policy, and wait until its name is free again."""
        body = self.any_policy()
        if body is not None:
            name = body["metadata"]["name"]
            self.system.delete(name, self.namespace)
            self.system.gone("znp", name, self.namespace)
            self.names.discard(name)

    def somebody_writes(self) -> None:
        """Change or reset an organization's policy if it has one."""
        org = self.chance.choice(self.organizations)
        if self.system.emulator.policy(org).get("isDefault"):
            return
        path = "/management/v1/policies/notification"
        self.system.emulator.call("DELETE", path, organization=org)

    def kill(self) -> None:
        """Kill the operator, and start a new process at once."""
        self.system.operator.program.kill()
        self.system.operator = OperatorProcess(self.system.plane, self.system.folder)
        self.system.operator.wait_ready()

    def any_policy(self) -> dict[str, Any] | None:
        """Return one of the existing policies."""
        if not self.names:
            return None
        name = self.chance.choice(sorted(self.names))
        return self.system.get("znp", name, self.namespace)

    def owners(self) -> dict[str, dict[str, Any]]:
        """Return the oldest managing policy of each organization."""
        bodies = [self.system.get("znp", n, self.namespace) for n in sorted(self.names)]
        found: dict[str, dict[str, Any]] = {}
        for body in filter(None, bodies):
            org = body["spec"]["organization"]["id"]
            if body["spec"]["managementPolicy"] == "Manage":
                rank = (body["metadata"]["creationTimestamp"], body["metadata"]["name"])
                other = found.get(org)
                if other is None or rank < (
                    other["metadata"]["creationTimestamp"],
                    other["metadata"]["name"],
                ):
                    found[org] = body
        return found

    def differences(self) -> list[str]:
        """Return the differences between the result and the required one."""
        owners = self.owners()
        found = []
        for name in sorted(self.names):
            body = self.system.get("znp", name, self.namespace) or {}
            org = body["spec"]["organization"]["id"]
            owner = owners.get(org)
            loses = (
                body["spec"]["managementPolicy"] == "Manage"
                and owner is not None
                and owner["metadata"]["name"] != name
            )
            wanted = ("False", "Conflict") if loses else ("True", "Succeeded")
            if self.system.condition("znp", name, self.namespace, "Ready") != wanted:
                found.append(f"{name} is not {wanted}")
            current = body.get("status", {}).get("observedGeneration")
            if current != body["metadata"]["generation"]:
                found.append(f"{name} is not current")
        for org, owner in owners.items():
            policy = self.system.emulator.policy(org)
            if policy.get("isDefault"):
                found.append(f"{org} inherits")
            elif policy.get("passwordChange", False) != owner["spec"]["passwordChange"]:
                found.append(f"{org} holds another value")
        return found

    def is_settled(self) -> bool:
        """Return whether nothing differs."""
        return not self.differences()

    def nothing_unasked(self) -> None:
        """Check ZITADEL's log: a policy had asked for every value that was set."""
        for event in self.system.emulator.call("GET", "/emulator/v1/events"):
            org = event["aggregate"]
            if org in self.organizations and event["type"].endswith(
                ("notification.added", "notification.changed")
            ):
                value = event["payload"].get("passwordChange", False)
                assert value in self.wanted_values[org], event


@pytest.mark.parametrize("seed", SEEDS)
def test_random_lives_end_as_the_oldest_wants(
    system: System, namespace: str, seed: int
) -> None:
    """Every status on the way is checked by Flux's rules."""
    drift = {"eventsInterval": "5s"}
    system.instance(namespace, system.emulator.url, driftDetection=drift)
    system.wait_for("", namespace, kind="zni")
    Story(system, namespace, seed).run()
