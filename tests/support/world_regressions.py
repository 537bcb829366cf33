"""The shortest stories that show defects which were found and fixed."""

from typing import Any

from support import world_commands as c
from support import world_losses as lose

FAST = (0.0, 0.05)
QUICK = (0.05, 0.05)
SLOW = (2.0, 0.05)
Story = tuple[tuple[float, float], tuple[tuple[Any, float], ...]]
"""The lags of the world, and the commands with the seconds after each."""

REGRESSIONS: dict[str, Story] = {
    "a pass over an object that is gone writes its status to the namesake": (
        QUICK,
        (
            (c.Create(0, 1, deletion=3), 5.0),
            (c.Edit(0, "value"), 0.05),
            (c.Delete(0), 0.0),
            (c.Create(0, 5), 5.0),
        ),
    ),
    "the answer to a write brings back an object that is gone": (
        SLOW,
        (
            (c.Edit(0, "value"), 25.0),
            (c.Create(0, 0, deletion=3), 5.0),
            (c.Delete(0), 5.0),
        ),
    ),
    "the end of an object is taken for that of its namesake": (
        FAST,
        (
            (c.Create(0, 0, manages=False), 5.0),
            (c.Create(2, 0), 0.02),
            (c.Copy(0, 3), 5.0),
        ),
    ),
    "a search of events ends after its instance was led elsewhere": (
        SLOW,
        (
            (c.Create(0, 0), 5.0),
            (c.Regrant(0, 5), 0.0),
            (c.Edit(0, "foreign"), 5.0),
            (c.Instance(0, 1, 0, 1), 5.0),
        ),
    ),
    "an owner that turns to Observe does not give its original first": (
        FAST,
        (
            (c.Create(3, 0), 5.0),
            (c.Create(0, 0), 5.0),
            (c.Edit(0, "manages"), 5.0),
        ),
    ),
    "an owner whose grant is gone does not give its original first": (
        FAST,
        (
            (c.Create(3, 0, instance=1), 0.0),
            (c.Create(0, 0, suspended=True), 70.0),
            (c.Regrant(1, 2), 5.0),
            (c.Delete(0), 5.0),
        ),
    ),
    "an heir that comes while an owner restores is not respected": (
        SLOW,
        (
            (c.Create(0, 0, deletion=2), 30.0),
            (c.Create(0, 0, manages=False), 30.0),
            (c.Delete(0), 0.5),
            (c.Edit(1, "manages"), 30.0),
        ),
    ),
    "a suspended policy forgets that its organization is gone": (
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
    "a policy by name is refused when name and grant mean another organization": (
        FAST,
        (
            (c.Create(2, 5, instance=1), 5.0),
            (c.Regrant(1, 4), 0.0),
            (c.Organization(0, "remove", "o2"), 5.0),
            (c.Organization(0, "create", "o2"), 5.0),
        ),
    ),
    "an event on its way repeats a deletion that has ended": (
        FAST,
        (
            (c.Create(0, 0), 5.0),
            (c.Delete(0), 0.02),
            (c.Edit(0, "deletion"), 5.0),
        ),
    ),
    "a suspended policy is Reconciling when its instance moves": (
        FAST,
        (
            (c.Create(0, 0, instance=1), 5.0),
            (c.Edit(0, "suspended"), 5.0),
            (c.Instance(1, 1), 5.0),
        ),
    ),
    "a pass that is stopped tells of a spec that came meanwhile": (
        QUICK,
        (
            (c.Regrant(0, 0), 5.0),
            (c.Create(0, 1, instance=1), 0.02),
            (c.Edit(0, "suspended"), 0.0),
            (c.DeleteInstance(1), 5.0),
        ),
    ),
    "an heir that comes after the reset begins anew (the judge was wrong)": (
        QUICK,
        (
            (c.Create(0, 0), 5.0),
            (c.Delete(0), 0.0),
            (c.Create(0, 1), 0.02),
            (c.Create(0, 0), 5.0),
        ),
    ),
    "what a name means is noted for a namesake of who asked": (
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
    "an heir that comes after the reset records what it finds (the judge was wrong)": (
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
    "a policy goes while those of its instance are unpinned": (
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
    "an end that Kubernetes does not take gives up its original before": (
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
    "a loser by name keeps its pin over a rename (the judge was wrong)": (
        FAST,
        (
            (c.Create(0, 0), 5.0),
            (c.Create(0, 0), 5.0),
            (c.Create(0, 1), 5.0),
            (c.Organization(0, "rename", "o1"), 5.0),
        ),
    ),
    "a pass that loses its claim on the way still makes its mark": (
        QUICK,
        (
            (c.Accept(1), 5.0),
            (c.Create(1, 0), 0.07),
            (c.Create(0, 0), 5.0),
        ),
    ),
    "what a pass writes while its instance turns to another ZITADEL is void": (
        QUICK,
        (
            (c.Create(0, 0, value=False, deletion=0), 5.0),
            (c.Instance(0, place=1, grants=0), 5.0),
            (c.Delete(0), 5.0),
            (c.Accept(0), 0.07),
            (c.Edit(0, "value", 0), 5.0),
        ),
    ),
    "what a loser's name means is kept in its status": (
        FAST,
        (
            (c.Create(0, 0), 5.0),
            (c.Create(2, 1), 5.0),
            (c.Create(0, 0), 5.0),
            (c.Organization(0, "rename", "o1"), 700.0),
            (c.Delete(1), 5.0),
        ),
    ),
    "a mark taken off before the status tells of it (the judge was wrong)": (
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
    "a deletion whose status somebody took off looks its organization up": (
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
    "an instance speaks of one that has ended and is kept by somebody else": (
        FAST,
        (
            (lose.ReadSide(0, stopped=True), 5.0),
            (c.Create(2, 0, instance=1, deletion=2, foreign=True), 30.0),
            (c.Create(3, 0, value=False, suspended=True, foreign=True), 5.0),
            (c.Delete(1), 5.0),
        ),
    ),
    "one that observes while a read side stands still (the judge was wrong)": (
        FAST,
        (
            (c.Create(2, 3, deletion=3), 5.0),
            (lose.ReadSide(0, stopped=True), 5.0),
            (c.Create(1, 3, value=False, instance=1, deletion=2), 5.0),
            (c.Delete(1), 70.0),
            (c.Edit(1, "manages", 2), 5.0),
        ),
    ),
    "what headers have told is known without a call (the judge was wrong)": (
        QUICK,
        (
            (c.Regrant(1, 3), 30.0),
            (c.Break(0, 7), 5.0),
        ),
    ),
    "two writes to one ZITADEL at once (the judge looked at organizations only)": (
        QUICK,
        (
            (c.Create(0, 0), 0.0),
            (c.Create(1, 4, instance=1), 5.0),
        ),
    ),
    "a suspended owner that goes gives its original to nobody": (
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
}
