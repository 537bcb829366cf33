"""The policies and sets that another operator serves: kept, and nothing done for them.

An instance may become this operator's at any time, and its policies with it. Then they
are all here, and need not be read from Kubernetes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.kinds import KINDS, POLICY, Kind, ObjectKey
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy_object import PolicyObject

from .originals import Originals
from .records import as_number, is_older


class UnservedObjects:
    """Records of policies and sets, by the instance that they name."""

    def __init__(self) -> None:
        self._originals = Originals()
        self._records: dict[tuple[Kind, ObjectKey], OwnObject] = {}
        self._of_instance: defaultdict[str, set[tuple[Kind, ObjectKey]]] = defaultdict(
            set
        )

    def put(self, one: OwnObject) -> None:
        """Store a record, unless a newer one of this object is known."""
        known = self.find(one.kind, one.key)
        if known is not None:
            if known.uid == one.uid and is_older(one, known):
                return
            self.drop(one.kind, one.key)
        self._records[one.kind, one.key] = one
        self._of_instance[one.needed_instance or ""].add((one.kind, one.key))
        if isinstance(one, PolicyObject):
            self._originals.put(one)

    def drop(self, kind: Kind, key: ObjectKey, uid: str = "") -> None:
        """Forget an object, unless the name is another one's than `uid` says."""
        known = self.find(kind, key)
        if known is None or (uid and known.uid != uid):
            return
        del self._records[kind, key]
        if isinstance(known, PolicyObject):
            self._originals.drop(known.key)
        name = known.needed_instance or ""
        self._of_instance[name].discard((kind, key))
        if not self._of_instance[name]:
            del self._of_instance[name]

    def find(self, kind: Kind, key: ObjectKey) -> OwnObject | None:
        """Return the object of this name, if it is here."""
        return self._records.get((kind, key))

    def of(self, kind: Kind) -> Iterable[OwnObject]:
        """Return all objects of a kind."""
        return [one for one in self._records.values() if one.kind is kind]

    def has(self, kind: Kind, key: ObjectKey, uid: str, resource_version: str) -> bool:
        """Return whether this version of an object, or a newer one, is here."""
        known = self.find(kind, key)
        if known is None or known.uid != uid:
            return False
        return 0 < as_number(resource_version) <= as_number(known.resource_version)

    def of_instance(self, instance: str) -> list[OwnObject]:
        """Return what names an instance, policies before sets."""
        names = sorted(
            self._of_instance.get(instance, ()),
            key=lambda name: (-KINDS.index(name[0]), name[1]),
        )
        return [self._records[name] for name in names]

    def carriers_of(self, target: Target) -> Iterator[PolicyObject]:
        """Yield the policies whose annotation has an original of the target."""
        for key, _ in self._originals.at(target):
            policy = self._records[POLICY, key]
            if isinstance(policy, PolicyObject):
                yield policy

    def begin_anew(self) -> None:
        """Accept whatever comes next as newer: Kubernetes has gone back."""
        for name, one in self._records.items():
            self._records[name] = replace(one, resource_version="")
