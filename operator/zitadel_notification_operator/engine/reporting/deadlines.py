"""Since when each object is failing with its present spec.

A condition's lastTransitionTime moves with its status alone (kstatus). So it
does not show when an object that was failing already got another spec. That moment
is remembered here, and the progress deadline of the new spec counts from it. After a
restart the time of the stored condition counts: no other is stored, and it is never
later than the edit, so a restart never extends the deadline.
"""

from datetime import datetime

from zitadel_notification_operator.core.conditions import RECONCILING, find
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.report import reconciling_since


class Deadlines:
    """The moments from which progress deadlines count."""

    def __init__(self) -> None:
        self._began: dict[str, tuple[int, datetime]] = {}

    def began(self, about: OwnObject, now: datetime) -> datetime:
        """Return when the failure of this generation began, which is now if it is new.

        Args:
            about: The object with its stored status.
            now: The time of the pass that has found a failure.
        """
        conditions = about.status.conditions
        known = self._began.get(about.uid)
        if find(conditions, RECONCILING) is None:
            # It was well or stalled before, so the failure, or the new try, begins now.
            since = now
        elif known is not None and known[0] == about.generation:
            return known[1]
        else:
            since = reconciling_since(conditions, about.generation) or now
        self._began[about.uid] = about.generation, since
        return since

    def keep(self, uids: frozenset[str]) -> None:
        """Forget all objects but these: the others are gone."""
        self._began = {u: at for u, at in self._began.items() if u in uids}
