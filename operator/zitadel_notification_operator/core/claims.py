"""Who owns a target: the oldest claim, and nobody else ever writes.

A target is named by ZITADEL's own ids, so two ZitadelInstance objects that reach
one ZITADEL share its targets (design, section 3, "Target and claims").
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class PolicyKey(NamedTuple):
    """Names a NotificationPolicy: namespace, then name; sorts in that order."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return `namespace/name`, as kubectl users write it."""
        return f"{self.namespace}/{self.name}"


class Target(NamedTuple):
    """What is set: an organization of a ZITADEL, or the ZITADEL itself (None)."""

    zitadel_id: str
    organization_id: str | None


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """A policy's claim to a target; orders by age, then namespace and name.

    Attributes:
        created: `metadata.creationTimestamp`, RFC 3339 in UTC to the second; this
            form sorts as text.
        key: Whose claim it is.
    """

    created: str
    key: PolicyKey


def owner_of(claims: Iterable[Claim]) -> PolicyKey | None:
    """Return whose claim wins: the oldest; None when there is none."""
    oldest = min(claims, default=None)
    return oldest.key if oldest else None
