"""Remembers deleted objects, so that a late event brings none of them back.

The watch, our own calls and the LIST overtake each other: an event that was sent before
an object's deletion, or the answer to a write, may arrive after it. Kubernetes never
uses a uid twice, so a deleted object stays deleted, unless its etcd is restored from a
backup.
"""

from zitadel_notification_operator.core.objects import OwnObject


class DeletedUids:
    """Uids of deleted objects, kept while something about them may still arrive.

    That is until the second call of `age` after the deletion.
    """

    def __init__(self) -> None:
        self._lately: set[str] = set()
        self._before: set[str] = set()

    def __contains__(self, uid: str) -> bool:
        """Return whether the object with this uid is gone."""
        return uid in self._lately or uid in self._before

    def add(self, uid: str) -> None:
        """Record that an object is gone."""
        self._lately.add(uid)

    def discard(self, uid: str) -> None:
        """Record that an object exists after all."""
        self._lately.discard(uid)
        self._before.discard(uid)

    def forget(self) -> None:
        """Forget all: Kubernetes has gone back, and may hold any of them again."""
        self._lately.clear()
        self._before.clear()

    def is_of_another(self, known: OwnObject | None, uid: str) -> bool:
        """Record that `uid` was deleted.

        Args:
            known: The object that has its name now, if any.
            uid: The uid of the deleted object; empty for whichever had the name.

        Returns:
            Whether the name now belongs to a different object.
        """
        if uid:
            self.add(uid)
        return known is not None and bool(uid) and known.uid != uid

    def age(self) -> None:
        """Forget the objects that were gone already at the last call."""
        self._before, self._lately = self._lately, set()
