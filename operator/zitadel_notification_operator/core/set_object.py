"""A NotificationPolicySet, reduced to what the operator needs."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from .claims import PolicyKey
from .kinds import SET, Kind
from .names import is_name
from .objects import OwnObject, OwnStatus
from .policy import DeletionPolicy, ManagementPolicy
from .selection import Selector
from .settings import Settings

LONGEST_NAME = 63
"""The longest name of a set: it becomes the value of a label of its policies."""

_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """`spec.limits`.

    Attributes:
        organizations: The most organizations that the set may select.
        removals: The most policies that it may remove without an approval, if that
            undoes anything in ZITADEL.
    """

    organizations: int = 1000
    removals: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSpec:
    """`spec` of a NotificationPolicySet.

    Attributes:
        instance: The name in `instanceRef`.
        organizations: What it selects.
        deletion: What the removal of one of its policies does in ZITADEL.
        suspended: Whether it adds and removes nothing; its policies are suspended, too.
    """

    instance: str = "default"
    organizations: Selector
    settings: Settings
    management: ManagementPolicy = ManagementPolicy.MANAGE
    deletion: DeletionPolicy = DeletionPolicy.RETAIN
    suspended: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCounts:
    """`status.organizations`: matched is the sum of the next four.

    Attributes:
        matched: The organizations that are selected.
        ready: Those whose policy is Ready.
        overridden: Those whose setting another policy makes.
        failed: Those whose policy cannot be reconciled, or cannot be created.
        pending: All others.
        drifted: Those of the ready ones whose InSync is False.
        removing: The policies of organizations that are no longer selected.
    """

    matched: int = 0
    ready: int = 0
    overridden: int = 0
    failed: int = 0
    pending: int = 0
    drifted: int = 0
    removing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFailure:
    """One entry of `status.failures`."""

    organization_id: str
    organization_name: str
    policy: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """`status.removal`: what waits for an approval.

    Attributes:
        count: The number of policies.
        digest: Identifies exactly these removals; an approval repeats it.
    """

    count: int
    digest: str


@dataclass(frozen=True, slots=True)
class SetStatus(OwnStatus):
    """`status` of a NotificationPolicySet."""

    organizations: SetCounts | None = None
    failures: tuple[SetFailure, ...] = ()
    removal: Removal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetObject(SetSpec, OwnObject):
    """A NotificationPolicySet.

    Attributes:
        approved: The value of the approve-removal annotation; None if it is absent.
    """

    kind: ClassVar[Kind] = SET

    approved: str | None = None
    status: SetStatus = field(default_factory=SetStatus)

    @property
    def needed_instance(self) -> str:
        """The name in `instanceRef`."""
        return self.instance

    def policy_key(self, organization_id: str) -> PolicyKey:
        """Return the name of the policy that the set makes for an organization.

        It is `<set>-<id>` where that is a valid name. Otherwise the id is replaced by
        the beginning of its SHA-256.
        """
        name = f"{self.name}-{organization_id}"
        if not is_name(name):
            digest = hashlib.sha256(organization_id.encode()).hexdigest()
            name = f"{self.name}-{digest[:_DIGITS]}"
        return PolicyKey(self.key.namespace, name)

    def removal_digest(self, organization_ids: Iterable[str]) -> str:
        """Return what an approval of the removal of these organizations must repeat.

        An approval must not cover other organizations, another spec, or another set
        that has the same name later.
        """
        parts = (self.uid, str(self.generation), *sorted(organization_ids))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGITS]
