"""May this namespace use that instance, for this scope? Closed by default.

The operator's own namespace always may; everybody else needs a grant on the
ZitadelInstance (design, section 4).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from zitadel_notification_operator.core.policy import Scope


@dataclass(frozen=True, slots=True)
class Grant:
    """One entry of `spec.grants`.

    Attributes:
        namespaces: Names, prefixes that end in `*`, or `*` alone for all.
        scopes: What they may set; Instance must be named to be granted.
    """

    namespaces: tuple[str, ...]
    scopes: frozenset[Scope] = frozenset({Scope.ORGANIZATION})

    def covers(self, namespace: str) -> bool:
        """Return whether this grant speaks about the namespace."""
        return any(_matches(pattern, namespace) for pattern in self.namespaces)


class Admission(StrEnum):
    """The answer to whether a namespace may."""

    GRANTED = "Granted"
    NAMESPACE_UNKNOWN = "NamespaceUnknown"
    SCOPE_MISSING = "ScopeMissing"


def admit(
    grants: Iterable[Grant], own_namespace: str, namespace: str, scope: Scope
) -> Admission:
    """Decide whether a policy of this namespace and scope may use the instance.

    Args:
        grants: The instance's `spec.grants`.
        own_namespace: Where the operator itself lives.
        namespace: Where the policy lives.
        scope: What it wants to set.

    Returns:
        NAMESPACE_UNKNOWN must read like an absent instance to a tenant; only who
        is granted something learns that a scope is missing.
    """
    if namespace == own_namespace:
        return Admission.GRANTED
    covering = [grant for grant in grants if grant.covers(namespace)]
    if not covering:
        return Admission.NAMESPACE_UNKNOWN
    if any(scope in grant.scopes for grant in covering):
        return Admission.GRANTED
    return Admission.SCOPE_MISSING


def _matches(pattern: str, namespace: str) -> bool:
    if pattern.endswith("*"):
        return namespace.startswith(pattern[:-1])
    return pattern == namespace
