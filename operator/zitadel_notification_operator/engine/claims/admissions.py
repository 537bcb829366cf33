"""Decides who may use an instance, by its grants and their present meaning.

An instance whose spec is not understood admits nobody. It refuses the policies that its
grants refuse, as far as these can be read, and leaves all others undecided: nothing is
done for them, and nothing is undone as if it were not granted.
"""

from collections.abc import Mapping

from zitadel_notification_operator.core.grants import (
    Admission,
    Lookup,
    admit,
    admit_organization,
)
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject

from .records import had_its_target


class Admissions:
    """Decides about policies and their instances.

    Args:
        own_namespace: The namespace of the operator itself.
        lookups: What names and domains in grants mean, by instance; it may change.
    """

    def __init__(self, own_namespace: str, lookups: Mapping[str, Lookup]) -> None:
        self._own_namespace = own_namespace
        self._lookups = lookups

    def decide(
        self,
        policy: PolicyObject,
        instance: InstanceObject,
        organization_id: str | None,
    ) -> Admission:
        """Return whether a policy may use its instance now.

        Args:
            policy: The policy.
            instance: Its instance.
            organization_id: The organization that it sets; None if that is not known,
                or for the instance's policy.
        """
        admission = self._by_grants(policy, instance, organization_id)
        if instance.not_understood is not None and admission is Admission.GRANTED:
            return Admission.UNDECIDED
        return admission

    def may_claim(
        self,
        policy: PolicyObject,
        instance: InstanceObject,
        organization_id: str | None,
    ) -> bool:
        """Return whether a policy's claim counts; arguments as for `decide`.

        If it is not known what the grants mean, as right after a restart, the policy
        that had a target keeps it, so that no other takes it over meanwhile.
        """
        admission = self._by_grants(policy, instance, organization_id)
        if admission is Admission.UNDECIDED:
            return had_its_target(policy)
        return admission is Admission.GRANTED

    def may_set(
        self, policy: PolicyObject, instance: InstanceObject, organization_id: str
    ) -> bool:
        """Return whether the policy's namespace may set this organization."""
        admission = self._of_organization(policy, instance, organization_id)
        return admission is Admission.GRANTED

    def _by_grants(
        self,
        policy: PolicyObject,
        instance: InstanceObject,
        organization_id: str | None,
    ) -> Admission:
        if not instance.can_read("grants"):
            return Admission.UNDECIDED
        namespace = policy.key.namespace
        admission = admit(instance.grants, self._own_namespace, namespace, policy.scope)
        if admission is not Admission.GRANTED or organization_id is None:
            return admission
        return self._of_organization(policy, instance, organization_id)

    def _of_organization(
        self, policy: PolicyObject, instance: InstanceObject, organization_id: str
    ) -> Admission:
        return admit_organization(
            instance.grants,
            self._own_namespace,
            policy.key.namespace,
            organization_id,
            self._lookups.get(instance.name, {}),
        )
