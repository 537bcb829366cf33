"""Stories in which ZITADEL's read side misses one event, and how each must end.

A test runs a story with a whole engine on a virtual clock: with a process that is never
killed, or with one that is killed at any of its calls to the outside.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from support.engines import INSTANCE, Harness, policy, with_spec
from support.fakes import OTHERS
from support.settings import mails
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.policy import DeletionPolicy, Scope
from zitadel_notification_operator.core.policy_object import PolicyObject

Act = Callable[[Harness], None]


def nothing(_: Harness) -> None:
    """Prepare nothing."""


def create(harness: Harness) -> None:
    """Create a policy object that wants false, where the instance's value is true."""
    harness.seen(policy("p"))


def edit(harness: Harness) -> None:
    """Edit the spec to true, where false is in force."""
    harness.seen(replace(harness.policy("p"), settings=mails(True), generation=2))


def delete(harness: Harness) -> None:
    """Delete the object; its deletionPolicy says what follows."""
    harness.seen(replace(harness.policy("p"), deleting=True))


def _reading_events(harness: Harness, wanted: PolicyObject) -> None:
    harness.cluster.put_instance(with_spec(INSTANCE, method=DriftMethod.AUTO))
    harness.cluster.put(wanted)


def managed(harness: Harness) -> None:
    """Begin with a policy that is in force, and read the instance's events."""
    _reading_events(harness, policy("p"))


def restoring(before: bool | None) -> Act:
    """Begin with a policy whose deletion restores the value `before`."""

    def act(harness: Harness) -> None:
        if before is not None:
            harness.zitadel.own["o"] = before
        restore = replace(policy("p"), deletion=DeletionPolicy.RESTORE)
        harness.cluster.put(restore)

    return act


def _whole() -> PolicyObject:
    """Return a policy that wants false for the whole instance."""
    whole = replace(policy("p"), scope=Scope.INSTANCE, organization=None)
    return replace(whole, deletion=DeletionPolicy.RESTORE)


def of_instance(harness: Harness) -> None:
    """Begin with the instance's policy, false."""
    harness.cluster.put(_whole())


def managed_instance(harness: Harness) -> None:
    """Begin with the instance's policy, false, and read the instance's events."""
    _reading_events(harness, _whole())


def create_for_instance(harness: Harness) -> None:
    """Create a policy object that wants false for the whole instance."""
    harness.seen(_whole())


def others(value: bool | None, of: str = "o") -> Act:
    """Let somebody else change a policy, or remove it (None)."""

    def act(harness: Harness) -> None:
        harness.zitadel.change(of, value, OTHERS)

    return act


def loses(kind: str, of: str = "o") -> Act:
    """Let the read side miss the next event of a kind."""
    return lambda harness: harness.zitadel.to_lose.append((kind, of))


def one_by_one(*acts: Act) -> Act:
    """Do several things at once, before the operator can react."""

    def act(harness: Harness) -> None:
        for one in acts:
            one(harness)

    return act


def stale_row(value: bool) -> Act:
    """Begin with a row that GETs show, but that is removed according to the log."""

    def act(harness: Harness) -> None:
        harness.zitadel.own["o"] = value
        harness.zitadel.lost["o"] = None

    return act


def hidden_policy(value: bool) -> Act:
    """Begin with an own policy that is in the log, but that no GET shows."""

    def act(harness: Harness) -> None:
        harness.zitadel.lost["o"] = value

    return act


def hidden_change(shown: bool) -> Act:
    """Begin with an own policy whose last change no GET shows."""

    def act(harness: Harness) -> None:
        harness.zitadel.own["o"] = shown
        harness.zitadel.lost["o"] = not shown

    return act


def hidden_change_of_instance(harness: Harness) -> None:
    """Begin with an instance's policy, true, whose last change no GET shows."""
    harness.zitadel.lost[""] = not harness.zitadel.default


@dataclass(frozen=True)
class LossStory:
    """Which event is lost, when, and how the story must end.

    Attributes:
        begin: Prepares the state before the operator starts.
        loses: Kind and organization of the event that the read side misses next. None:
            it has missed one before, or `then` says which one it will miss.
        then: What happens after that.
        value: The value of the own policy, or of the instance's, at the end; None means
            inherited.
        is_reported: Whether a repair is reported. It is not if one write is the whole
            repair and GETs show it at once: then nothing was ever seen to be wrong.
        of: "o", or "" for the instance's policy.
        ends: Whether the object is deleted in the story.
    """

    begin: Act
    loses: tuple[str, str] | None
    then: Act
    value: bool | None
    is_reported: bool = True
    of: str = "o"
    ends: bool = False


def ending(
    begin: Act,
    loses: tuple[str, str] | None,
    then: Act,
    value: bool | None,
    *,
    is_reported: bool = True,
    of: str = "o",
) -> LossStory:
    """Return a story at whose end the object is deleted."""
    acts = one_by_one(then, delete)
    return LossStory(begin, loses, acts, value, is_reported, of, ends=True)


REMOVED_AND_HIDDEN = one_by_one(others(None), loses("added"), others(True))
"""Somebody removes the policy and creates one that no GET shows."""

HIDDEN_CHANGE = one_by_one(loses("changed"), others(True))
"""Somebody changes the policy, and no GET shows the change."""

LOST_REMOVAL = one_by_one(loses("removed"), others(None))
"""Somebody removes the policy, but GETs show it as before."""

STORIES = {
    "create, added": LossStory(nothing, ("added", "o"), create, False),
    "edit, changed": LossStory(managed, ("changed", "o"), edit, True),
    "edit, added by others": LossStory(
        managed, None, one_by_one(REMOVED_AND_HIDDEN, edit), True
    ),
    "edit, removed by others": LossStory(
        managed, None, one_by_one(LOST_REMOVAL, edit), True
    ),
    "reset, removed": ending(managed, ("removed", "o"), nothing, None),
    "reset, added by others": ending(
        managed, None, REMOVED_AND_HIDDEN, None, is_reported=False
    ),
    "reset, changed by others": ending(
        managed, None, HIDDEN_CHANGE, None, is_reported=False
    ),
    "restore, removed": ending(restoring(None), ("removed", "o"), nothing, None),
    "restore, added by others": ending(
        restoring(None), None, REMOVED_AND_HIDDEN, None, is_reported=False
    ),
    "restore, changed by others": ending(
        restoring(None), None, HIDDEN_CHANGE, None, is_reported=False
    ),
    "restore a value, changed": ending(
        restoring(True), ("changed", "o"), nothing, True
    ),
    "restore a value, added": ending(
        restoring(True), ("added", "o"), others(None), True
    ),
    "restore a value, removed by others": ending(
        restoring(True), None, LOST_REMOVAL, True
    ),
    "drift, changed by others": LossStory(
        managed, ("changed", "o"), others(True), False
    ),
    "drift, removed by others": LossStory(
        managed, ("removed", "o"), others(None), False
    ),
    "drift, correction changed": LossStory(
        managed, None, one_by_one(others(True), loses("changed")), False
    ),
    "drift, correction added": LossStory(managed, ("added", "o"), others(None), False),
    "take-over, added before": LossStory(hidden_policy(True), None, create, False),
    "take-over, same added before": LossStory(
        hidden_policy(False), None, create, False
    ),
    "take-over, changed before": LossStory(hidden_change(True), None, create, False),
    "take-over, removed before": LossStory(stale_row(True), None, create, False),
    "instance, edit": LossStory(of_instance, ("changed", ""), edit, True, of=""),
    "instance, restore": ending(of_instance, ("changed", ""), nothing, True, of=""),
    "instance, drift": LossStory(
        managed_instance, ("changed", ""), others(True, ""), False, of=""
    ),
    "instance, drift, correction": LossStory(
        managed_instance,
        None,
        one_by_one(others(True, ""), loses("changed", "")),
        False,
        of="",
    ),
    "instance, take-over": LossStory(
        hidden_change_of_instance, None, create_for_instance, False, of=""
    ),
}


async def live(story: LossStory, harness: Harness) -> int:
    """Run a story; return the number of the first step after the loss."""
    story.begin(harness)
    await harness.start()
    await harness.live(200)
    begun = len(harness.steps.log)
    if story.loses is not None:
        harness.zitadel.to_lose.append(story.loses)
    story.then(harness)
    reads_events = story.begin in {managed, managed_instance}
    await harness.live(120 if reads_events else 60)
    return begun


def end(story: LossStory, harness: Harness) -> None:
    """Check the end of a story: both sides agree on the wanted value."""
    zitadel = harness.zitadel
    assert zitadel.written(story.of) is story.value
    if story.of:
        assert zitadel.own.get("o") is story.value
    else:
        assert zitadel.default is story.value
    left = list(harness.cluster.policies.values())
    assert left == [] if story.ends else harness.ready("p").status == "True"
