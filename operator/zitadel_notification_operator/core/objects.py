"""What objects of all the operator's kinds have in common, as compact records.

`cluster.resources` converts them from and to JSON. The records of each kind have a
module of their own: `policy_object` and `instance_object`. Two records of one object
are equal exactly when they agree in everything that matters to the operator. The
comparison therefore ignores `resource_version`.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from .conditions import Condition
from .kinds import Kind, ObjectKey

FINALIZER = "zitadel-notification.dev/cleanup"


class NotUnderstood(NamedTuple):
    """Why this version of the operator cannot understand a stored object.

    The record holds a default for each field that could not be read. Nothing may be
    decided by such a default.

    Attributes:
        sentence: The explanation for people: which field, what is wrong with it, and
            what to do. It never contains a value of the object.
        fields: The fields that could not be read: the top-level names of fields of the
            spec, and `metadata.creationTimestamp`.
        problems: What is wrong with which field, without the rest of the sentence.
    """

    sentence: str
    fields: frozenset[str]
    problems: str = ""


@dataclass(frozen=True, slots=True)
class OwnStatus:
    """`status` of an object of any kind; None means that the field is absent."""

    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    last_handled_reconcile_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class OwnObject:
    """An object of any of the operator's kinds.

    Attributes:
        kind: Its kind.
        written: The fields that the operator writes.
        key: Its namespace and name.
        created: `metadata.creationTimestamp`, RFC 3339 in UTC.
        requested_at: The value of the reconcile-requested-at annotation; None if it is
            absent.
        not_understood: Why this version does not understand it; None if it does.
    """

    # The records of the kinds have a slot for each field. If this base had them, they
    # could not derive from another record as well.
    __slots__ = ()

    kind: ClassVar[Kind]
    written: ClassVar[tuple[str, ...]] = ("status", "finalizers")

    key: ObjectKey
    uid: str
    generation: int
    created: str
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    requested_at: str | None = None
    status: OwnStatus = field(default_factory=OwnStatus)
    not_understood: NotUnderstood | None = None
    resource_version: str = field(default="", compare=False)

    def is_same_request(self, other: Self) -> bool:
        """Return whether two records differ at most in what the operator writes."""
        ours: dict[str, Any] = {name: getattr(other, name) for name in self.written}
        return replace(self, **ours) == other

    def can_read(self, field_name: str) -> bool:
        """Return whether a field of the spec was understood, by its top-level name."""
        return self.not_understood is None or (
            field_name not in self.not_understood.fields
        )

    @property
    def name(self) -> str:
        """The object's name in its namespace."""
        return self.key.name

    @property
    def held(self) -> bool:
        """Whether the object has our finalizer."""
        return FINALIZER in self.finalizers

    @property
    def needed_instance(self) -> str | None:
        """The name of the ZitadelInstance that the object needs, if it needs one."""
        return None


Own = TypeVar("Own", bound=OwnObject)
"""An object of one of the kinds: what comes back is of the same kind."""


class ObjectList(NamedTuple):
    """The result of a LIST of the objects of a kind.

    Attributes:
        objects: All objects that have a name and a uid.
        unread: The namespaces that could not be listed.
        version: The resourceVersion of the LIST itself, or the lowest if there were
            several LISTs. Empty if it is unknown.
    """

    objects: list[OwnObject]
    unread: frozenset[str] = frozenset()
    version: str = ""
