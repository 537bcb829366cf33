"""Random stories of users, administrators and faults: ownership under fire.

After each step the judge (`support.world_judge`) has seen every write; at the end all
is mended and everything must be as the design says. To search for longer:

    ZNP_STORIES=5000 .venv/bin/python -m pytest tests/unit/test_engine_machine.py

A failing story is printed by hypothesis, with what happened; paste its `Story(...)`
into a test that calls `run(run_story(story))`.
"""

import os
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support import world_choices as of
from support import world_commands as c
from support import world_losses as lose
from support import world_sets as sets
from support.oracle import complaints
from support.virtual_time import run
from support.world import World, steady_order
from support.world_end import (
    DAY,
    LONG,
    check_end,
    check_quiet,
    check_sizes,
    end_faults,
    has_changed_in_silence,
    has_losses,
    is_contested,
    wrong_ones,
)
from support.world_regressions import REGRESSIONS

STORIES = int(os.environ.get("ZNP_STORIES", "150"))
LENGTH = int(os.environ.get("ZNP_STORY_LENGTH", "25"))
LAGS = ((0.0, 0.05), (0.05, 0.05), (0.05, 0.5), (2.0, 0.05))
WAITS = (5.0, 0.0, 0.02, 0.07, 1.0, 30.0, 70.0, 700.0)


@dataclass(frozen=True)
class Quiet:
    """Nothing happens for an hour; in its second half nothing may be written."""


Step = tuple[Any, float]


@dataclass(frozen=True)
class Story:
    """A story: the latency of calls and watch, and commands with a pause after each."""

    lags: tuple[float, float]
    steps: tuple[Step, ...]


def any_of(count: int) -> st.SearchStrategy[int]:
    """Return an index."""
    return st.integers(0, count - 1)


KEY = any_of(len(of.KEYS))
NAME = any_of(len(of.INSTANCES))
PLACE = any_of(len(of.PLACES))
FLAG = st.booleans()
RARELY = st.sampled_from([False, False, False, True])
MOSTLY = st.sampled_from([True, True, True, False])
ORG = st.sampled_from(["o1", "o2"])

CREATE = st.builds(
    c.Create,
    KEY,
    any_of(len(of.REFERENCES)),
    FLAG,
    NAME,
    MOSTLY,
    any_of(len(of.DELETIONS)),
    RARELY,
    RARELY,
)
EDIT = st.builds(
    c.Edit,
    KEY,
    st.sampled_from(
        [
            *("value", "deletion", "manages", "suspended", "token", "foreign"),
            *("value", "unread"),
        ]
    ),
    any_of(len(of.DELETIONS)),
)
DELETE = st.builds(c.Delete, KEY)
DELETE_CRD = st.just(c.DeleteCrd())
COPY = st.builds(c.Copy, KEY, KEY)
STRIP = st.builds(
    c.Strip, KEY, st.sampled_from(["annotation", "status", "both", "finalizer"])
)
INSTANCE = st.builds(
    c.Instance, NAME, PLACE, any_of(len(of.GRANTS)), any_of(len(of.METHODS))
)
REGRANT = st.builds(c.Regrant, NAME, any_of(len(of.GRANTS)))
DROP = st.builds(c.DeleteInstance, NAME)
ACCEPT = st.builds(c.Accept, NAME)
SECRET = st.builds(c.Secret, st.sampled_from(["good", "gone", "bad", "revoke"]))
BREAK = st.builds(
    c.Break, PLACE, any_of(len(of.ERRORS)), any_of(len(of.KINDS)), RARELY, RARELY
)
MENDED = st.builds(c.Break, PLACE)
CHANGE = st.builds(
    c.Change,
    PLACE,
    st.sampled_from(["o1", "o1", "o2", ""]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, None, True, False]),
)
LOSE = st.builds(
    lose.Lose,
    PLACE,
    st.sampled_from(["added", "changed", "changed", "removed"]),
    st.sampled_from(["o1", "o1", "o2", ""]),
)
READ_SIDE = st.builds(lose.ReadSide, PLACE, FLAG)
ORGANIZATION = st.builds(
    c.Organization, PLACE, st.sampled_from(["rename", "remove", "create"]), ORG
)
CLUSTER = st.builds(
    c.Kubernetes, st.sampled_from([None, "before", "after"]), st.booleans()
)
CALM = st.just(c.Kubernetes())
KILL = st.builds(c.Kill, st.integers(0, 6), FLAG)
RESTART = st.builds(c.Restart, FLAG)
QUIET = st.just(Quiet())
SET = any_of(len(sets.SETS))
APPLY_SET = st.builds(
    sets.ApplySet,
    SET,
    any_of(len(sets.SELECTORS)),
    FLAG,
    any_of(len(sets.ENDINGS)),
    MOSTLY,
    RARELY,
    st.sampled_from([0, 0, 0, 1]),
)
DELETE_SET = st.builds(sets.DeleteSet, SET)
RENAME_SET = st.builds(sets.RenameSet, SET, SET)
TOUCH_SET = st.builds(sets.TouchSet, SET)
DISOWN = st.builds(c.Strip, KEY, st.just("owner"))

PEOPLE = [CREATE, CREATE, CREATE, EDIT, EDIT, DELETE, DELETE]
FLEET = [APPLY_SET, APPLY_SET, APPLY_SET, DELETE_SET, RENAME_SET, TOUCH_SET, DISOWN]
FLEET += [CREATE, EDIT, DELETE, ORGANIZATION]
UNUSUAL = [COPY, STRIP, INSTANCE, REGRANT, DROP, ACCEPT, SECRET, BREAK, MENDED]
UNUSUAL += [CHANGE, ORGANIZATION, CLUSTER, CALM, KILL, RESTART, DELETE_CRD]
UNUSUAL += [LOSE, READ_SIDE]
THEMES: list[list[st.SearchStrategy[Any]]] = [
    [*PEOPLE],
    [*PEOPLE, RESTART, KILL, KILL],
    [*PEOPLE, COPY, STRIP, RESTART],
    [*PEOPLE, INSTANCE, REGRANT, DROP, ACCEPT],
    [*PEOPLE, BREAK, MENDED, SECRET, CHANGE],
    [*PEOPLE, ORGANIZATION, CHANGE, REGRANT],
    [*PEOPLE, LOSE, LOSE, LOSE, CHANGE, RESTART, KILL],
    [*PEOPLE, LOSE, LOSE, READ_SIDE, CHANGE, BREAK, MENDED, REGRANT],
    [*PEOPLE, CLUSTER, CALM, KILL],
    [*PEOPLE, DELETE_CRD, CLUSTER, CALM, KILL, RESTART],
    [*PEOPLE, *UNUSUAL, QUIET],
]
SETS_THEMES: list[list[st.SearchStrategy[Any]]] = [
    [*FLEET],
    [*FLEET, RESTART, KILL, KILL, DELETE],
    [*FLEET, COPY, STRIP, RESTART, ORGANIZATION],
    [*FLEET, INSTANCE, REGRANT, DROP, ACCEPT],
    [*FLEET, BREAK, MENDED, SECRET, CHANGE, RESTART],
    [*FLEET, CLUSTER, CALM, KILL],
    [*FLEET, LOSE, READ_SIDE, CHANGE, RESTART, KILL],
    [*FLEET, *[one for one in UNUSUAL if one is not DELETE_CRD], QUIET],
]


@st.composite
def stories(
    draw: st.DrawFn,
    themes: list[list[st.SearchStrategy[Any]]],
    made_first: st.SearchStrategy[Any],
) -> Story:
    """Draw a story of one theme, or of all; unneeded steps become `Nothing`."""
    theme = draw(st.sampled_from(themes))
    step = st.tuples(st.one_of(st.just(c.Nothing()), *theme), st.sampled_from(WAITS))
    first = draw(st.lists(st.tuples(made_first, st.sampled_from(WAITS)), max_size=3))
    steps = draw(st.lists(step, min_size=LENGTH, max_size=LENGTH))
    return Story(draw(st.sampled_from(LAGS)), (*first, *steps))


async def run_story(story: Story) -> None:
    """Run a story and judge it."""
    world = World(story.lags)
    try:
        c.Instance(0).run(world)
        c.Instance(1, 0, 1, 1).run(world)
        await world.start()
        for command, pause in story.steps:
            if command == c.Nothing():
                continue
            await run_command(world, command)
            await world.live(pause)
            judged(world)
        await finish(world)
    except BaseException as error:
        error.add_note(describe(world, story))
        raise
    finally:
        await world.end()


async def run_command(world: World, command: Any) -> None:
    """Run one command."""
    if isinstance(command, Quiet):
        await world.live(2400)
        calm = world.cluster.failure is None and world.steps.kill_at < 0
        losses = has_losses(world) or has_changed_in_silence(world)
        if calm and not losses and not is_contested(world):
            await check_quiet(world, 1200)
    elif isinstance(command, c.Restart):
        await (world.crash() if command.crash else world.restart())
    else:
        command.run(world)


async def finish(world: World) -> None:
    """End all faults, wait, and check that everything is as it must be."""
    end_faults(world)
    for number in range(len(of.INSTANCES)):
        c.Accept(number).run(world)
    await world.live(LONG)
    if is_contested(world):
        await world.live(10 * 3600)
    if has_changed_in_silence(world) and wrong_ones(world):
        await world.live(DAY)
    check_end(world)
    await check_quiet(world, 1800)
    await come_to_rest(world)
    check_sizes(world)
    judged(world)


async def come_to_rest(world: World) -> None:
    """Wait for a moment at which no pass is running."""
    assert world.parts is not None
    for _ in range(1000):
        if not (world.parts.queue.active or len(world.parts.queue)):
            return
        await world.live(0.1)


def judged(world: World) -> None:
    """Fail if the judge has complaints."""
    complaints = [*world.judge.complaints, *world.cluster.complaints]
    assert not complaints, "\n".join(complaints)


def describe(world: World, story: Story) -> str:
    """Return what happened in a readable form."""
    steps = [step for step in story.steps if step[0] != c.Nothing()]
    lines = [
        f"lags {story.lags}",
        *(f"{command}; {pause} s" for command, pause in steps),
    ]
    calls = (" ".join(step) for step in world.steps.log[-40:])
    return "\n".join([*lines, "the last calls:", *calls])


@pytest.fixture(scope="module", autouse=True)
def _compiled_rules() -> None:
    """Have the rules for statuses compiled: that raises Python's recursion limit.

    Hypothesis wants the limit to stand still while it runs.
    """
    complaints({"metadata": {"generation": 1}, "status": {}})


SEARCH = settings(
    max_examples=STORIES,
    deadline=None,
    derandomize="ZNP_STORIES" not in os.environ,
    database=None,
    print_blob=False,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(600 + STORIES)
@SEARCH
@given(stories(THEMES, CREATE))
def test_no_story_makes_it_wrong_or_stuck(story: Story) -> None:
    """One writer, only wanted writes, true statuses, quiet times, and an end."""
    with steady_order():
        run(run_story(story))


@pytest.mark.timeout(600 + STORIES)
@SEARCH
@given(stories(SETS_THEMES, APPLY_SET))
def test_no_story_of_sets_makes_it_wrong_or_stuck(story: Story) -> None:
    """The same, and each set has exactly the policies that it must have."""
    with steady_order():
        run(run_story(story))


@pytest.mark.parametrize("name", REGRESSIONS)
def test_regression(name: str) -> None:
    """A defect that was fixed stays fixed."""
    with steady_order():
        run(run_story(Story(*REGRESSIONS[name])))
