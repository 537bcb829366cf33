"""The texts of `znp release`: what it does to objects, and what stays in ZITADEL.

These are pure functions. They use the object alone, because `znp release` does not call
ZITADEL. The values are those that were observed last, and the texts say so.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.lease import Lease
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.core.reasons import Reason

NOTHING_LEFT = "nothing is left in ZITADEL"
OF_INSTANCE = (
    f"{NOTHING_LEFT}: the object only told where it is; what its policies have set, "
    "they tell"
)
NEVER_MANAGED = f"{NOTHING_LEFT}: it never managed its target"
COPIED = (
    f"{NOTHING_LEFT} by this object: the original that it carries is another one's, "
    "as on a copy or a restored backup"
)
UNREADABLE = (
    "what is left in ZITADEL cannot be told: the object's own record of it cannot be "
    "read"
)
WARNING = (
    "it is not being deleted: an operator that runs, now or later, would take it up "
    "again"
)

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LONGEST_LABEL = 63
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class Marked:
    """An object of either kind as it was read, with the operator's marks, if any.

    Attributes:
        title: Kind and name, as people write them.
        path: The path of the object in the Kubernetes API.
        uid: The uid of the object that was read.
        finalizer: Whether it has the operator's finalizer.
        original: Whether it has the operator's annotation `original`.
        left: Sentences about what stays in ZITADEL.
        deleting: Whether the object is being deleted.
        others: The finalizers of others.
    """

    title: str
    path: str
    uid: str
    finalizer: bool
    original: bool
    left: tuple[str, ...]
    deleting: bool = False
    others: tuple[str, ...] = ()

    @property
    def is_marked(self) -> bool:
        """Whether there is anything to release."""
        return self.finalizer or self.original

    def describe_release(self, *, dry_run: bool) -> str:
        """Describe what was or would be done, and what happens to the object next."""
        if not self.is_marked:
            return f"{self.title}: nothing of ours is on it"
        marks = [
            name
            for name, there in (
                ("finalizer", self.finalizer),
                ("original", self.original),
            )
            if there
        ]
        done = "would be released" if dry_run else "released"
        fate = "it would go with that" if dry_run else "it is gone with that"
        if not self.deleting:
            fate = "it stays"
        elif self.others:
            fate = f"another finalizer keeps it: {', '.join(self.others)}"
        return f"{self.title}: {done} ({', '.join(marks)}); {fate}"


def parse_policy_name(text: str) -> PolicyKey:
    """Parse `NAMESPACE/NAME`.

    Raises:
        ValueError: The text does not have this form. The message says what is expected.
    """
    namespace, _, name = text.partition("/")
    if not _is_namespace(namespace) or not is_name(name):
        raise ValueError(
            f"{text!r} is not NAMESPACE/NAME, such as team-a/acme; a ZitadelInstance "
            "is named with --instance"
        )
    return PolicyKey(namespace, name)


def is_name(text: str) -> bool:
    """Return whether this is a valid name of a Kubernetes object."""
    return len(text) <= _LONGEST_NAME and bool(_NAME.fullmatch(text))


def _is_namespace(text: str) -> bool:
    return len(text) <= _LONGEST_LABEL and bool(_NAMESPACE.fullmatch(text))


def tell_left(policy: PolicyObject) -> tuple[str, ...]:
    """Describe what stays in ZITADEL, and what a deletion would have done."""
    original = _original_of(policy)
    if original is None:
        if policy.original is not None:
            return (COPIED,)
        return (UNREADABLE if policy.original_text else NEVER_MANAGED,)
    return (
        f"left in ZITADEL{_which(policy)}: {_setting(policy)}",
        f"{_ending(policy, original)}",
        f"before it was managed, {_value(policy, original)}",
    )


def _original_of(policy: PolicyObject) -> OriginalValue | None:
    """Return the recorded original. As in the operator, the status comes first."""
    if policy.status.original is not None:
        return policy.status.original
    if policy.original is not None and policy.original.uid == policy.uid:
        return policy.original.value
    return None


def _which(policy: PolicyObject) -> str:
    """Name the ZITADEL by its own id, if the object knows it, and by our object."""
    own = ""
    if policy.original is not None and policy.original.uid == policy.uid:
        own = f" {policy.original.target.zitadel_id}"
    return f"{own} (ZitadelInstance {policy.instance})"


def _target(policy: PolicyObject) -> str:
    if policy.scope is Scope.INSTANCE:
        return "the instance"
    recorded = policy.original.target.organization_id if policy.original else None
    known = policy.status.organization_id or recorded or policy.organization_id
    if known is None and policy.organization is None:
        return "an organization that cannot be read"
    if known is None:
        return f"{policy.organization}"
    name = policy.status.organization_name
    return f"organization {known}" + (f" ({name})" if name else "")


def _setting(policy: PolicyObject) -> str:
    """Describe what is in force, according to the status."""
    status = policy.status
    if status.settings.is_empty:
        return f"{_target(policy)} with a setting that the status does not tell"
    value = OriginalValue(bool(status.is_default), status.settings)
    return f"{_value(policy, value, _target(policy))}, as observed last"


def _value(policy: PolicyObject, value: OriginalValue, whose: str = "") -> str:
    """Describe what is, or was, in force for a target."""
    instance = policy.scope is Scope.INSTANCE
    had = "has" if whose else "had"
    whose = whose or ("the instance" if instance else "the organization")
    if value.settings.is_empty:
        return f"{whose} {had} no setting"
    word = value.settings.describe()
    if instance:
        return f"{whose} {had} {word}"
    if value.is_default:
        inherits = "inherits" if had == "has" else "inherited"
        return f"{whose} {inherits} {word} from the instance"
    return f"{whose} {had} a setting of its own, {word}"


def _ending(policy: PolicyObject, original: OriginalValue) -> str:
    """Describe what the deletion would have done, judging by spec and last status."""
    ready = find(policy.status.conditions, READY)
    refused = {Reason.INSTANCE_NOT_FOUND, Reason.NOT_GRANTED}
    if policy.management is ManagementPolicy.OBSERVE:
        return "managementPolicy Observe: its deletion would have undone nothing"
    if not policy.can_read("deletionPolicy"):
        return "its deletion would have left it so: spec.deletionPolicy cannot be read"
    would = f"deletionPolicy {policy.ending} would have {_deed(policy, original)}"
    if ready is not None and ready.reason in refused:
        would += f"; not while the policy is {ready.reason}, as it was told last"
    return would


def _deed(policy: PolicyObject, original: OriginalValue) -> str:
    reset = "removed it, so that the organization inherits from the instance"
    if policy.status.is_default:
        reset = "changed nothing, as the organization inherits already"
    match policy.ending:
        case DeletionPolicy.RETAIN:
            return "left it so, too"
        case DeletionPolicy.RESET:
            return reset
        case DeletionPolicy.RESTORE:
            if policy.scope is Scope.ORGANIZATION and original.is_default:
                return reset
            if original.settings.is_empty:
                return "left it so: there was none before, and none can be removed"
            return f"set it to what was before, {original.settings.describe()}"


def is_fresh(lease: Lease, now: datetime) -> bool:
    """Return whether a holder has renewed the lease within its duration."""
    if not lease.holder or lease.renewed is None:
        return False
    return (now - lease.renewed).total_seconds() < lease.duration


def describe_running(lease: Lease, where: str) -> str:
    """Say which replica holds the lease, and what to do about it.

    Args:
        lease: The lease as it was read.
        where: Its namespace and name.
    """
    return (
        f"An operator runs: {lease.holder} holds the Lease {where}. While it does, "
        "delete the objects, and it ends them properly; where that waits for ZITADEL, "
        "set spec.deletionPolicy to Retain. To release them, stop it first, or say "
        "--force"
    )


def summarize(released: int, nothing: int, failed: int, *, dry_run: bool) -> str:
    """Summarize how many objects were released, had nothing to release, or failed."""
    parts = [f"{_objects(released)} {'to be released' if dry_run else 'released'}"]
    if nothing:
        parts.append(f"{nothing} had nothing of ours")
    if failed:
        parts.append(f"{failed} not released")
    return ", ".join(parts)


def _objects(count: int) -> str:
    return "1 object" if count == 1 else f"{count} objects"
