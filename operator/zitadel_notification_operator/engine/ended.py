"""Which objects are known to be gone, so that late news brings none of them back.

The watch, our own calls and the LIST overtake each other: an event that was sent before
an object's end, or the answer to a write, may come after it. Kubernetes never uses a
uid twice, so what is gone stays gone.
"""

from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject


class Ended:
    """Uids of objects that are gone, as long as something about them may be on its way.

    That is until the second `age` after the end.
    """

    def __init__(self) -> None:
        self._lately: set[str] = set()
        self._before: set[str] = set()

    def __contains__(self, uid: str) -> bool:
        """Return whether the object with this uid is gone."""
        return uid in self._lately or uid in self._before

    def add(self, uid: str) -> None:
        """Note that an object is gone."""
        self._lately.add(uid)

    def is_of_another(
        self, known: PolicyObject | InstanceObject | None, uid: str
    ) -> bool:
        """Take an end; return whether the object known by that name is another one.

        Args:
            known: What has the name now.
            uid: Of what is gone; empty: whatever had the name.
        """
        if uid:
            self.add(uid)
        return known is not None and bool(uid) and known.uid != uid

    def age(self) -> None:
        """Forget what was gone already at the last call."""
        self._before, self._lately = self._lately, set()
