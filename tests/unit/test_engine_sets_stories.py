"""Random stories of sets, policies, organizations, crashes and restarts.

After each story the engine has time to settle, and then a model says what must hold:
who owns which organization, which policies there are, and what ZITADEL has. The model
knows the rules of `docs/concepts/sets.md` and nothing of the engine.
"""

import os
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.engines import INSTANCE, Harness, condition_of, policy, with_spec
from support.oracle import complaints
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Organization,
)
from zitadel_notification_operator.core.selection import Matcher, Selector
from zitadel_notification_operator.core.set_object import Limits, SetObject

STORIES = int(os.environ.get("ZNP_STORIES", "60"))
ORGS = ("1", "2", "3", "4")
NAMES = ("red", "green", "blue", "reed")
SETS = ("s", "t")
SELECTORS = (
    Selector(all=True),
    Selector(all=True, exclude=(Matcher(name="re*"),)),
    Selector(include=(Matcher(name="re*"),)),
    Selector(include=(Matcher(id="1"), Matcher(name="blue"))),
)

Step = tuple[str, str, int]
"""What is done, to whom, and a number that chooses between its forms."""

STEPS = st.tuples(
    st.sampled_from(
        ("set", "unset", "policy", "unpolicy", "name", "remove", "delete", "kill")
    ),
    st.sampled_from("1234"),
    st.integers(0, 7),
)


@dataclass
class SetHarness(Harness):
    """A harness with sets; it makes the steps of a story.

    Attributes:
        born: The number of objects that were created, from which their ages follow.
        has_turned: Whether a set has been switched to Observe.
    """

    born: int = 0
    has_turned: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self.zitadel.names = dict(zip(ORGS, NAMES, strict=True))
        self.cluster.put_instance(with_spec(INSTANCE, poll_interval=20.0))

    async def make(self, step: Step) -> None:
        """Make one step, as a user, as somebody in ZITADEL, or as the machine."""
        what, org, number = step
        name = SETS[number % 2]
        match what:
            case "set":
                self.apply_set(name, number)
            case "unset" if ObjectKey("own", name) in self.cluster.sets:
                one = self.cluster.sets[ObjectKey("own", name)]
                self.set_seen(replace(one, deleting=True))
            case "policy" if self.named(f"plain-{org}") is None:
                self.born += 1
                made = policy(f"plain-{org}", org, self.born)
                self.seen(replace(made, uid=f"p{self.born}", settings=mails(True)))
            case "unpolicy" if self.named(f"plain-{org}") is not None:
                self.seen(replace(self.policy(f"plain-{org}"), deleting=True))
            case "name" if org in self.zitadel.names:
                self.zitadel.names[org] = NAMES[number % len(NAMES)]
            case "remove" if org in self.zitadel.names and number == 0:
                del self.zitadel.names[org]
                self.zitadel.removed.add(org)
                self.zitadel.own.pop(org, None)
            case "delete" if self.named(f"{name}-{org}") is not None:
                self.seen(replace(self.policy(f"{name}-{org}"), deleting=True))
            case "kill":
                self.steps.kill_at = len(self.steps.log) + number
            case _:
                pass  # there is nothing of the kind to do it to
        await self.live(number * 0.7)

    def apply_set(self, name: str, number: int) -> None:
        """Create a set, or change the one that there is."""
        spec: dict[str, Any] = {
            "organizations": SELECTORS[number % len(SELECTORS)],
            "management": list(ManagementPolicy)[number == 7],
            "suspended": False,
        }
        known = self.cluster.sets.get(ObjectKey("own", name))
        if known is not None:
            if not known.deleting:
                generation = known.generation + 1
                self.has_turned |= spec["management"] is ManagementPolicy.OBSERVE
                self.set_seen(replace(known, generation=generation, **spec))
            return
        self.born += 1
        self.set_seen(
            SetObject(
                key=ObjectKey("own", name),
                uid=f"set-{self.born}",
                generation=1,
                created=f"2026-01-01T00:01:{self.born:02}Z",
                settings=mails(False),
                deletion=DeletionPolicy.RESET,
                limits=Limits(removals=100),
                **spec,
            )
        )

    def named(self, name: str) -> object:
        """Return the policy of this name, or None."""
        return self.cluster.policies.get(ObjectKey("own", name))


def judge(story: SetHarness) -> None:
    """Require what the rules say of the end of a story."""
    sets = sorted(story.cluster.sets.values(), key=lambda one: one.created)
    wanted: dict[str, set[str]] = {org: set() for org in ORGS}
    for one in sets:
        assert not one.deleting, one.name
        for org, name in story.zitadel.names.items():
            if one.organizations.selects(Organization(org, name)):
                wanted[org].add(one.name)
    for org in ORGS:
        of_sets = {n for n in SETS if story.named(f"{n}-{org}") is not None}
        assert of_sets == wanted[org], (org, story.zitadel.names)
        if org in story.zitadel.removed:
            continue
        plain = story.named(f"plain-{org}") is not None
        owners = [
            one.name
            for one in sets
            if one.name in wanted[org] and one.management is ManagementPolicy.MANAGE
        ]
        value = True if plain else False if owners else None
        found = story.zitadel.own.get(org)
        # A set that turns to Observe leaves what it has set, and owns it no longer.
        is_left = found is False and value is None and story.has_turned
        assert found is value or is_left, (org, plain, owners)
        for one in sets:
            if one.name in wanted[org]:
                expected = _reason(one, plain, owners)
                made = story.policy(f"{one.name}-{org}")
                assert condition_of(made.status, "Ready").reason == expected
        if plain:
            assert story.ready(f"plain-{org}").reason == "Succeeded"


def _reason(one: SetObject, plain: bool, owners: list[str]) -> str:
    if one.management is ManagementPolicy.OBSERVE:
        return "Succeeded"
    if plain:
        return "Overridden"
    return "Succeeded" if owners[0] == one.name else "Conflict"


@pytest.fixture(scope="module", autouse=True)
def _compiled_rules() -> None:
    """Have the rules for statuses compiled: that raises Python's recursion limit.

    Hypothesis wants the limit to stand still while it runs.
    """
    complaints({"metadata": {"generation": 1}, "status": {}})


@pytest.mark.timeout(120 + 2 * STORIES)
@settings(
    max_examples=STORIES, suppress_health_check=[HealthCheck.too_slow], deadline=None
)
@given(st.lists(STEPS, min_size=2, max_size=14))
def test_whatever_happens_the_rules_hold_in_the_end(steps: list[Step]) -> None:
    """Every organization has the owner, policies and value that it must have."""

    async def live() -> None:
        story = SetHarness()
        await story.start()
        for step in steps:
            await story.make(step)
        await story.live(1500)
        judge(story)
        before = story.cluster.version
        await story.live(15)
        assert story.cluster.version == before
        await story.stop()

    run(live())
