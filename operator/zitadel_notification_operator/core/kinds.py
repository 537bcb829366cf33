"""The kinds of the operator's own objects: the only place that spells their names."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """What all parts of the operator need to know of a kind; each is one object.

    Attributes:
        name: Its name, as objects carry it.
        plural: Its name in paths of the Kubernetes API.
        namespaced: Whether its objects are in namespaces.
        short: The short name by which kubectl knows it.
    """

    name: str
    plural: str
    namespaced: bool
    short: str = ""

    def __str__(self) -> str:
        """Return the name."""
        return self.name


POLICY = Kind(
    "NotificationPolicy", "notificationpolicies", namespaced=True, short="znp"
)
INSTANCE = Kind("ZitadelInstance", "zitadelinstances", namespaced=False, short="zni")

SET = Kind(
    "NotificationPolicySet", "notificationpolicysets", namespaced=True, short="znps"
)

KINDS = (SET, POLICY, INSTANCE)
"""All kinds. Objects of one may need objects of those after it."""


class ObjectKey(NamedTuple):
    """Identifies an object of a kind. Keys sort by namespace, then by name.

    The namespace is empty if the kind has none.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return `namespace/name`, or the name alone, as kubectl users write it."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name
