"""Which policy owns a target: the one with the oldest claim. Only the owner writes.

A target is identified by ZITADEL's own ids. Two ZitadelInstance objects that reach
the same ZITADEL therefore share its targets (design, section 3, "Target and claims").
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from .kinds import ObjectKey

PolicyKey = ObjectKey
"""Identifies a NotificationPolicy."""


class Target(NamedTuple):
    """What a policy sets: one organization of a ZITADEL, or its instance (None)."""

    zitadel_id: str
    organization_id: str | None


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """A policy's claim to a target. Claims sort by age, then by namespace and name.

    Attributes:
        created: `metadata.creationTimestamp`, RFC 3339 in UTC with whole seconds. Texts
            of this form sort by time.
        key: The policy that makes the claim.
    """

    created: str
    key: PolicyKey


def owner_of(claims: Iterable[Claim]) -> PolicyKey | None:
    """Return the policy with the oldest claim, or None if there are no claims."""
    oldest = min(claims, default=None)
    return oldest.key if oldest else None
