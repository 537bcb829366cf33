"""The shortest stories that show defects which were found and fixed."""

from typing import Any

from support import world_commands as c
from support import world_losses as lose
from support import world_sets as sets
from zitadel_notification_operator.core.policy import DeletionPolicy

FAST = (0.0, 0.05)
QUICK = (0.05, 0.05)
SLOW = (2.0, 0.05)
RESET, RESTORE = map(sets.ENDINGS.index, (DeletionPolicy.RESET, DeletionPolicy.RESTORE))
Story = tuple[tuple[float, float], tuple[tuple[Any, float], ...]]
"""The lags of the world, and the commands with the seconds after each."""

REGRESSIONS: dict[str, Story] = {
    "a pass over a deleted object writes its status to one of the same name": (
        QUICK,
        (
            (c.Create(0, 1, deletion=3), 5.0),
            (c.Edit(0, "value"), 0.05),
            (c.Delete(0), 0.0),
            (c.Create(0, 5), 5.0),
        ),
    ),
    "the response to a write restores a deleted object in the cache": (
        SLOW,
        (
            (c.Edit(0, "value"), 25.0),
            (c.Create(0, 0, deletion=3), 5.0),
            (c.Delete(0), 5.0),
        ),
    ),
    "a deletion event deletes a new object of the same name from the cache": (
        FAST,
        (
            (c.Create(0, 0, manages=False), 5.0),
            (c.Create(2, 0), 0.02),
            (c.Copy(0, 3), 5.0),
        ),
    ),
    "a search of events ends after its instance got another url": (
        SLOW,
        (
            (c.Create(0, 0), 5.0),
            (c.Regrant(0, 5), 0.0),
            (c.Edit(0, "foreign"), 5.0),
            (c.Instance(0, 1, 0, 1), 5.0),
        ),
    ),
    "an owner that is switched to Observe does not hand over its original": (
        FAST,
        (
            (c.Create(3, 0), 5.0),
            (c.Create(0, 0), 5.0),
            (c.Edit(0, "manages"), 5.0),
        ),
    ),
    "an owner whose grant is revoked does not hand over its original": (
        FAST,
        (
            (c.Create(3, 0, instance=1), 0.0),
            (c.Create(0, 0, suspended=True), 70.0),
            (c.Regrant(1, 2), 5.0),
            (c.Delete(0), 5.0),
        ),
    ),
    "a next owner that comes during a restore is ignored": (
        SLOW,
        (
            (c.Create(0, 0, deletion=2), 30.0),
            (c.Create(0, 0, manages=False), 30.0),
            (c.Delete(0), 0.5),
            (c.Edit(1, "manages"), 30.0),
        ),
    ),
    "a suspended policy forgets that its organization was removed": (
        FAST,
        (
            (c.Create(0, 5), 5.0),
            (c.Organization(0, "remove", "o2"), 700.0),
            (c.Edit(0, "suspended"), 5.0),
            (c.Delete(0), 5.0),
        ),
    ),
    "a restart does not see that the finalizer is missing": (
        FAST,
        (
            (c.Create(0, 0, instance=1), 5.0),
            (c.Strip(0, "finalizer"), 0.0),
            (c.Restart(), 5.0),
        ),
    ),
    "a policy by name is refused when its name and grant change organization": (
        FAST,
        (
            (c.Create(2, 5, instance=1), 5.0),
            (c.Regrant(1, 4), 0.0),
            (c.Organization(0, "remove", "o2"), 5.0),
            (c.Organization(0, "create", "o2"), 5.0),
        ),
    ),
    "a watch event in transit repeats a deletion that has ended": (
        FAST,
        (
            (c.Create(0, 0), 5.0),
            (c.Delete(0), 0.02),
            (c.Edit(0, "deletion"), 5.0),
        ),
    ),
    "a suspended policy is Reconciling when its instance gets another url": (
        FAST,
        (
            (c.Create(0, 0, instance=1), 5.0),
            (c.Edit(0, "suspended"), 5.0),
            (c.Instance(1, 1), 5.0),
        ),
    ),
    "a pass that is stopped reports a newer spec": (
        QUICK,
        (
            (c.Regrant(0, 0), 5.0),
            (c.Create(0, 1, instance=1), 0.02),
            (c.Edit(0, "suspended"), 0.0),
            (c.DeleteInstance(1), 5.0),
        ),
    ),
    "a next owner after a reset starts anew (the judge was wrong)": (
        QUICK,
        (
            (c.Create(0, 0), 5.0),
            (c.Delete(0), 0.0),
            (c.Create(0, 1), 0.02),
            (c.Create(0, 0), 5.0),
        ),
    ),
    "a resolved name is stored for another object of the same name": (
        QUICK,
        (
            (c.Create(0, 0), 5.0),
            (c.Create(0, 0), 5.0),
            (c.Create(0, 0), 5.0),
            (c.Delete(0), 5.0),
            (c.Delete(0), 5.0),
            (c.Create(0, 1), 5.0),
            (c.Create(0, 0), 5.0),
            (c.Create(0, 5), 0.02),
            (c.Copy(1, 3), 5.0),
        ),
    ),
    "a next owner after a reset records what it finds (the judge was wrong)": (
        QUICK,
        (
            (c.Create(0, 0), 5.0),
            (c.Edit(0, "value"), 5.0),
            (c.Edit(0, "value"), 5.0),
            (c.Edit(0, "value"), 700.0),
            (c.Change(0, "", value=False), 5.0),
            (c.Delete(0), 0.02),
            (c.Create(0, 1), 5.0),
        ),
    ),
    "a policy is deleted while organizations of its instance are unpinned": (
        SLOW,
        (
            (c.Create(2, 0, manages=False), 5.0),
            (c.Create(0, 0, deletion=3), 5.0),
            (c.Create(0, 0), 5.0),
            (c.Create(0, 0), 5.0),
            (c.DeleteInstance(0), 5.0),
            (c.Edit(0, "value"), 5.0),
            (c.Instance(0), 0.0),
            (c.Create(0, 0), 5.0),
            (c.Delete(0), 5.0),
        ),
    ),
    "a deletion that Kubernetes refuses gives up its original before": (
        FAST,
        (
            (c.Create(0, 0), 5.0),
            (c.Create(0, 0, deletion=3, foreign=True), 5.0),
            (c.Delete(0), 5.0),
            (c.Kubernetes("before"), 5.0),
            (c.Delete(0), 5.0),
            (c.Create(0, 0), 5.0),
        ),
    ),
    "a conflict by name keeps its organization (the judge was wrong)": (
        FAST,
        (
            (c.Create(0, 0), 5.0),
            (c.Create(0, 0), 5.0),
            (c.Create(0, 1), 5.0),
            (c.Organization(0, "rename", "o1"), 5.0),
        ),
    ),
    "a pass that loses its claim still writes annotation and finalizer": (
        QUICK,
        (
            (c.Accept(1), 5.0),
            (c.Create(1, 0), 0.07),
            (c.Create(0, 0), 5.0),
        ),
    ),
    "a status from before a change of the url is void": (
        QUICK,
        (
            (c.Create(0, 0, value=False, deletion=0), 5.0),
            (c.Instance(0, place=1, grants=0), 5.0),
            (c.Delete(0), 5.0),
            (c.Accept(0), 0.07),
            (c.Edit(0, "value", 0), 5.0),
        ),
    ),
    "the status of a policy in conflict keeps its organization": (
        FAST,
        (
            (c.Create(0, 0), 5.0),
            (c.Create(2, 1), 5.0),
            (c.Create(0, 0), 5.0),
            (c.Organization(0, "rename", "o1"), 700.0),
            (c.Delete(1), 5.0),
        ),
    ),
    "an original is removed before the status has it (the judge was wrong)": (
        FAST,
        (
            (c.Create(0, 0, suspended=True), 5.0),
            (c.Kubernetes("after"), 5.0),
            (c.Create(0, 0), 5.0),
            (c.Create(0, 0, instance=1), 5.0),
            (c.DeleteInstance(0), 0.07),
            (c.Copy(0, 0), 0.07),
            (c.Strip(2, "annotation"), 5.0),
        ),
    ),
    "a deletion without a status looks up its organization": (
        FAST,
        (
            (c.Create(0, 0), 0.0),
            (c.Create(0, 0), 0.0),
            (c.Create(1, 1), 5.0),
            (c.Restart(crash=False), 5.0),
            (c.Strip(0, "status"), 0.0),
            (c.Delete(0), 5.0),
        ),
    ),
    "an instance reports a deleted policy that another finalizer keeps": (
        FAST,
        (
            (lose.ReadSide(0, stopped=True), 5.0),
            (c.Create(2, 0, instance=1, deletion=2, foreign=True), 30.0),
            (c.Create(3, 0, value=False, suspended=True, foreign=True), 5.0),
            (c.Delete(1), 5.0),
        ),
    ),
    "Observe while a read side has stopped (the judge was wrong)": (
        FAST,
        (
            (c.Create(2, 3, deletion=3), 5.0),
            (lose.ReadSide(0, stopped=True), 5.0),
            (c.Create(1, 3, value=False, instance=1, deletion=2), 5.0),
            (c.Delete(1), 70.0),
            (c.Edit(1, "manages", 2), 5.0),
        ),
    ),
    "deprecations are known without a call (the judge was wrong)": (
        QUICK,
        (
            (c.Regrant(1, 3), 30.0),
            (c.Break(0, 7), 5.0),
        ),
    ),
    "two writes to one ZITADEL at once (the judge compared organizations)": (
        QUICK,
        (
            (c.Create(0, 0), 0.0),
            (c.Create(1, 4, instance=1), 5.0),
        ),
    ),
    "a suspended owner that is deleted hands its original to nobody": (
        FAST,
        (
            (c.Create(1, 2, value=False, deletion=3), 0.02),
            (c.Create(1, 2, value=False, deletion=3), 0.02),
            (c.Create(3, 0, instance=1, deletion=2, suspended=True), 1.0),
            (c.Delete(0), 0.0),
        ),
    ),
    "an owner that is not understood loses its status (the judge was wrong)": (
        FAST,
        (
            (c.Create(0, 0, value=False), 5.0),
            (c.Create(0, 0, value=False), 5.0),
            (c.Create(0, 0, value=False), 5.0),
            (c.Delete(0), 5.0),
            (c.Edit(0, "unread"), 5.0),
            (c.Strip(0, "status"), 5.0),
            (c.Delete(0), 5.0),
        ),
    ),
    "an owner that stops managing before its first write (the judge was wrong)": (
        (0.05, 0.5),
        (
            (c.Create(1, 6, value=True, instance=1, deletion=1, foreign=True), 0.07),
            (c.Create(2, 6, value=True, deletion=2), 0.02),
            (c.Delete(1), 0.07),
            (c.Edit(1, "manages"), 5.0),
        ),
    ),
    "a restart while the deletion of a policy waits that its set makes again": (
        SLOW,
        (
            (sets.ApplySet(0, deletion=RESET), 30.0),
            (c.Delete(0), 1.0),
            (c.Restart(), 30.0),
        ),
    ),
    "somebody switches a set's policy to Observe, and it loses its original": (
        FAST,
        (
            (sets.ApplySet(0, deletion=RESTORE), 30.0),
            (sets.ApplySet(1, value=True, deletion=RESTORE), 30.0),
            (c.Edit(0, "manages"), 5.0),
        ),
    ),
    "a policy is made again beside that of a younger set (the judge was wrong)": (
        FAST,
        (
            (sets.ApplySet(1, deletion=RESET), 5.0),
            (sets.ApplySet(2, value=True, deletion=RESET), 5.0),
            (c.Delete(0), 5.0),
        ),
    ),
    "a set's policy cannot be read (the cluster in memory was wrong)": (
        FAST,
        (
            (sets.ApplySet(1, value=True, deletion=RESET), 5.0),
            (c.Edit(0, "unread"), 1.0),
        ),
    ),
}
