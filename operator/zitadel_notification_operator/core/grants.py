"""May this namespace use that instance, for this scope and organization?

Closed by default: the operator's own namespace always may; everybody else needs a
grant on the ZitadelInstance (design, section 4). Organizations are compared by id,
whatever names them; what a grant names is looked up by the instance's pass.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.references import By, Reference

Lookup = Mapping[Reference, str | None]
"""What the references of grants mean: an id, or None where there is no such
organization; one that is missing was not looked up yet."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One entry of `spec.grants`.

    Attributes:
        namespaces: Names, prefixes that end in `*`, or `*` alone for all.
        scopes: What they may set; Instance must be named to be granted.
        organizations: Whose policies they may set; None means any.
    """

    namespaces: tuple[str, ...]
    scopes: frozenset[Scope] = frozenset({Scope.ORGANIZATION})
    organizations: frozenset[Reference] | None = None

    def covers(self, namespace: str) -> bool:
        """Return whether this grant speaks about the namespace."""
        return any(_matches(pattern, namespace) for pattern in self.namespaces)


class Admission(StrEnum):
    """The answer to whether a namespace may."""

    GRANTED = "Granted"
    NAMESPACE_UNKNOWN = "NamespaceUnknown"
    SCOPE_MISSING = "ScopeMissing"
    ORGANIZATION_MISSING = "OrganizationMissing"
    UNDECIDED = "Undecided"
    """What a grant names was not looked up yet: neither use nor give up."""


POSSIBLE = frozenset({Admission.GRANTED, Admission.UNDECIDED})
"""With these a settled policy stays as it is until something else is known."""


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


def admit_organization(
    grants: Iterable[Grant],
    own_namespace: str,
    namespace: str,
    organization_id: str,
    lookup: Lookup,
) -> Admission:
    """Decide whether a namespace that is granted organizations is granted this one.

    Args:
        grants: The instance's `spec.grants`.
        own_namespace: Where the operator itself lives.
        namespace: Where the policy lives.
        organization_id: ZITADEL's id of the policy's organization.
        lookup: What names and domains in grants mean now.

    Returns:
        GRANTED, ORGANIZATION_MISSING, or UNDECIDED where the lookup lacks something
        that might grant it.
    """
    granted = granted_organizations(grants, own_namespace, namespace)
    if granted is None:
        return Admission.GRANTED
    if Reference(By.ID, organization_id) in granted:
        return Admission.GRANTED
    searched = [reference for reference in granted if reference.is_search]
    if any(lookup.get(reference) == organization_id for reference in searched):
        return Admission.GRANTED
    if all(reference in lookup for reference in searched):
        return Admission.ORGANIZATION_MISSING
    return Admission.UNDECIDED


def granted_organizations(
    grants: Iterable[Grant], own_namespace: str, namespace: str
) -> frozenset[Reference] | None:
    """Return which organizations a namespace may set; None: any."""
    if namespace == own_namespace:
        return None
    named: set[Reference] = set()
    for grant in grants:
        if grant.covers(namespace) and Scope.ORGANIZATION in grant.scopes:
            if grant.organizations is None:
                return None
            named |= grant.organizations
    return frozenset(named)


def references_in(grants: Iterable[Grant]) -> frozenset[Reference]:
    """Return what has to be looked up before all grants can be decided."""
    return frozenset(
        reference
        for grant in grants
        for reference in grant.organizations or ()
        if reference.is_search
    )


def _matches(pattern: str, namespace: str) -> bool:
    if pattern.endswith("*"):
        return namespace.startswith(pattern[:-1])
    return pattern == namespace
