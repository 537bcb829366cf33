"""Whether a namespace may use an instance, for a given scope and organization.

Access is closed by default. The operator's own namespace may use every instance; any
other namespace needs a grant on the ZitadelInstance
(docs/how-to/share-one-operator-among-teams.md). Organizations are compared by id,
however they are referenced. The instance's pass looks up the ids of the organizations
that grants name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from .policy import Scope
from .references import By, Reference

Lookup = Mapping[Reference, str | None]
"""The ids of the organizations that grants reference, as far as they are known.

The value is None if there is no such organization. A reference without an entry has not
been looked up yet.
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """One entry of `spec.grants`.

    Attributes:
        namespaces: Names, prefixes that end in `*`, or `*` alone for all namespaces.
        scopes: The scopes that these namespaces may set. Instance is granted only if it
            is named.
        organizations: The organizations whose policies they may set; None means any.
    """

    namespaces: tuple[str, ...]
    scopes: frozenset[Scope] = frozenset({Scope.ORGANIZATION})
    organizations: frozenset[Reference] | None = None

    def covers(self, namespace: str) -> bool:
        """Return whether this grant applies to the namespace."""
        return any(_matches(pattern, namespace) for pattern in self.namespaces)


class Admission(StrEnum):
    """Whether a namespace may use an instance, and if not, why."""

    GRANTED = "Granted"
    NAMESPACE_UNKNOWN = "NamespaceUnknown"
    SCOPE_MISSING = "ScopeMissing"
    ORGANIZATION_MISSING = "OrganizationMissing"
    UNDECIDED = "Undecided"
    """An organization in a grant has not been looked up yet, so nothing is decided.

    Until then the policy neither uses its target nor gives it up.
    """


NOT_REFUSED = frozenset({Admission.GRANTED, Admission.UNDECIDED})
"""Granted, or not decided yet: a Ready policy is left alone until more is known."""


def admit(
    grants: Iterable[Grant], own_namespace: str, namespace: str, scope: Scope
) -> Admission:
    """Decide whether a policy of this namespace and scope may use the instance.

    Args:
        grants: The instance's `spec.grants`.
        own_namespace: The operator's own namespace.
        namespace: The policy's namespace.
        scope: The policy's scope.

    Returns:
        GRANTED, NAMESPACE_UNKNOWN or SCOPE_MISSING. To a tenant, NAMESPACE_UNKNOWN must
        look as if the instance did not exist. Only a namespace that has some grant may
        learn that it lacks a scope.
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
    """Decide whether the grants of a namespace include this organization.

    Args:
        grants: The instance's `spec.grants`.
        own_namespace: The operator's own namespace.
        namespace: The policy's namespace.
        organization_id: ZITADEL's id of the policy's organization.
        lookup: The ids of the organizations that grants reference by name or domain.

    Returns:
        GRANTED, ORGANIZATION_MISSING, or UNDECIDED if a reference that might include
        the organization has not been looked up yet.
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
    """Return the organizations that a namespace may set, or None if it may set any."""
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
    """Return the references that must be looked up before all grants can be decided."""
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
