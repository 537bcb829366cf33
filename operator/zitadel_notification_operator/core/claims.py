"""Which policy owns a target: the one whose claim comes first. Only the owner writes.

A target is identified by ZITADEL's own ids. Two ZitadelInstance objects that reach
the same ZITADEL therefore share its targets (docs/concepts/ownership.md).
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
    """A policy's claim to a target, in the order in which claims win.

    A policy that no set made goes before a set's, whatever their age. Then the older
    object wins: the policy, or the set that made it (docs/concepts/sets.md).

    Attributes:
        is_of_set: Whether a NotificationPolicySet makes the claim.
        created: `metadata.creationTimestamp` of the policy or the set, RFC 3339 in UTC
            with whole seconds. Texts of this form sort by time.
        holder: The name of the policy or the set.
        key: The policy that makes the claim, or that the set will make.
    """

    is_of_set: bool
    created: str
    holder: ObjectKey
    key: PolicyKey


def owner_of(claims: Iterable[Claim]) -> PolicyKey | None:
    """Return the policy whose claim wins, or None if there are no claims."""
    first = min(claims, default=None)
    return first.key if first else None
