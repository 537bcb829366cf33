"""Decides who may use an instance, by its grants and their present meaning.

An instance whose spec is not understood admits nobody. It refuses the policies that its
grants refuse, as far as these can be read, and leaves all others undecided: nothing is
done for them, and nothing is undone as if it were not granted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zitadel_notification_operator.core.grants import (
    Admission,
    Lookup,
    admit,
    admit_organization,
    granted_organizations,
)
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.references import Reference

from .records import had_its_target


@dataclass(eq=False, repr=False)
class Admissions:
    """Decides about policies and their instances.

    Args:
        own_namespace: The namespace of the operator itself.
        instances: The instances by name; they may change.
        lookups: What names and domains in grants mean, by instance; it may change.
        organization_of: Returns the id of a policy's organization, as far as it is
            known; None for a policy of the instance.
    """

    _own_namespace: str
    _instances: Mapping[str, InstanceObject]
    _lookups: Mapping[str, Lookup]
    _organization_of: Callable[[PolicyObject], str | None]

    def decide(self, policy: PolicyObject) -> Admission:
        """Return whether the policy may use its instance.

        A missing instance reads like one that does not admit the namespace. While the
        organization is not known, it cannot be refused; the caller must check again
        later.
        """
        admission = self._by_grants(policy)
        instance = self._instances.get(policy.instance)
        understood = instance is None or instance.not_understood is None
        if admission is Admission.GRANTED and not understood:
            return Admission.UNDECIDED
        return admission

    def may_claim(self, policy: PolicyObject) -> bool:
        """Return whether a policy's claim counts.

        If it is not known what the grants mean, as right after a restart, the policy
        that had a target keeps it, so that no other takes it over meanwhile.
        """
        admission = self._by_grants(policy)
        if admission is Admission.UNDECIDED:
            return had_its_target(policy)
        return admission is Admission.GRANTED

    def may_set(self, policy: PolicyObject, organization_id: str) -> bool:
        """Return whether the policy's namespace may set this organization."""
        admission = self.to_organization(
            policy.instance, policy.key.namespace, organization_id
        )
        return admission is Admission.GRANTED

    def of_namespace(self, instance_name: str, namespace: str) -> Admission:
        """Return whether a namespace may set organizations of an instance at all."""
        instance = self._instances.get(instance_name)
        if instance is None:
            return Admission.NAMESPACE_UNKNOWN
        if instance.not_understood is not None:
            return Admission.UNDECIDED
        return admit(
            instance.grants, self._own_namespace, namespace, Scope.ORGANIZATION
        )

    def to_organization(
        self, instance_name: str, namespace: str, organization_id: str
    ) -> Admission:
        """Return whether a namespace may set an organization."""
        instance = self._instances.get(instance_name)
        if instance is None:
            return Admission.NAMESPACE_UNKNOWN
        return admit_organization(
            instance.grants,
            self._own_namespace,
            namespace,
            organization_id,
            self._lookups.get(instance.name, {}),
        )

    def granted(self, policy: PolicyObject) -> frozenset[Reference] | None:
        """Return the organizations that the policy's namespace may set; None for any.

        None also if its instance does not exist.
        """
        instance = self._instances.get(policy.instance)
        if instance is None:
            return None
        namespace = policy.key.namespace
        return granted_organizations(instance.grants, self._own_namespace, namespace)

    def _by_grants(self, policy: PolicyObject) -> Admission:
        instance, namespace = self._instances.get(policy.instance), policy.key.namespace
        if instance is None:
            return Admission.NAMESPACE_UNKNOWN
        if not instance.can_read("grants"):
            return Admission.UNDECIDED
        admission = admit(instance.grants, self._own_namespace, namespace, policy.scope)
        organization_id = self._organization_of(policy)
        if admission is not Admission.GRANTED or organization_id is None:
            return admission
        return self.to_organization(instance.name, namespace, organization_id)
