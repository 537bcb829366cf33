"""The texts of `znp release`: what it does to objects, and what stays in ZITADEL.

These are pure functions. They use the object alone, because `znp release` does not call
ZITADEL. The values are those that were observed last, and the texts say so.
"""

from dataclasses import dataclass
from datetime import datetime

from .claims import PolicyKey
from .lease import Lease
from .names import is_label, is_name
from .original import OriginalValue
from .policy import DeletionPolicy, ManagementPolicy, Scope
from .policy_object import PolicyObject

NOTHING_LEFT = "nothing is left in ZITADEL"
OF_INSTANCE = (
    f"{NOTHING_LEFT} by the instance itself, which sets nothing; see its policies"
)
OF_SET = f"{NOTHING_LEFT} by the set itself, which sets nothing; see its policies"
NEVER_MANAGED = f"{NOTHING_LEFT}: it never managed its target"
COPIED = (
    f"{NOTHING_LEFT} by this object: the original that it carries is another one's, "
    "as on a copy or a restored backup"
)
UNREADABLE = (
    "it is unknown what is left in ZITADEL: the object's own record of it cannot be "
    "read"
)
WARNING = (
    "it is not being deleted: an operator that runs, now or later, would take it up "
    "again"
)


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
        instance: The name of the ZitadelInstance that it is, or that it names.
        deleting: Whether the object is being deleted.
        others: The finalizers of others.
    """

    title: str
    path: str
    uid: str
    finalizer: bool
    original: bool
    left: tuple[str, ...]
    instance: str = ""
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
        marks = ["finalizer"] * self.finalizer + ["original"] * self.original
        done = "would be released" if dry_run else "released"
        if not self.deleting:
            fate = "it stays"
        elif self.others:
            fate = f"another finalizer keeps it: {', '.join(self.others)}"
        else:
            fate = "it would go with that" if dry_run else "it is gone with that"
        return f"{self.title}: {done} ({', '.join(marks)}); {fate}"


def parse_policy_name(text: str) -> PolicyKey:
    """Parse `NAMESPACE/NAME`.

    Raises:
        ValueError: The text does not have this form. The message says what is expected.
    """
    namespace, _, name = text.partition("/")
    if not is_label(namespace) or not is_name(name):
        raise ValueError(
            f"{text!r} is not NAMESPACE/NAME, such as team-a/acme; a ZitadelInstance "
            "is named with --instance"
        )
    return PolicyKey(namespace, name)


def tell_left(policy: PolicyObject) -> tuple[str, ...]:
    """Describe what stays in ZITADEL, and what was there before."""
    original = _original_of(policy)
    if original is None:
        if policy.original is not None:
            return (COPIED,)
        return (UNREADABLE if policy.original_text else NEVER_MANAGED,)
    lines = [f"left in ZITADEL{_which(policy)}: {_setting(policy)}"]
    undoes = policy.management is ManagementPolicy.MANAGE
    if undoes and policy.ending is not DeletionPolicy.RETAIN:
        lines.append(f"deletionPolicy {policy.ending} was not carried out")
    return (*lines, f"before it was managed, {_value(policy, original)}")


def _original_of(policy: PolicyObject) -> OriginalValue | None:
    """Return the recorded original. As in the operator, the status comes first."""
    record = policy.own_original
    return policy.status.original or (record.value if record else None)


def _which(policy: PolicyObject) -> str:
    """Name the ZITADEL by its own id, if the object knows it, and by our object."""
    record = policy.own_original
    own = f" {record.target.zitadel_id}" if record else ""
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
        f"An operator runs: {lease.holder} holds the Lease {where}. While it runs, "
        "delete the objects with kubectl: it undoes their settings and removes the "
        "finalizers. If a deletion waits for ZITADEL, set spec.deletionPolicy to "
        "Retain. To release objects, stop the operator first (its Lease ends 15 "
        "seconds after a crash), or say --force"
    )


def summarize(released: int, nothing: int, failed: int, *, dry_run: bool) -> str:
    """Summarize how many objects were released, had nothing to release, or failed."""
    objects = "1 object" if released == 1 else f"{released} objects"
    parts = [f"{objects} {'to be released' if dry_run else 'released'}"]
    if nothing:
        parts.append(f"{nothing} had nothing of ours")
    if failed:
        parts.append(f"{failed} not released")
    return ", ".join(parts)
