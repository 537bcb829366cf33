"""What the watch told, in compact records, and who claims what.

The inventory is the only memory of the cluster. It takes records from watch events,
from our own writes and from the periodic LIST, whichever is newest, and answers who
owns a target. It decides nothing about ZITADEL.
"""

from collections import defaultdict
from typing import Any

from zitadel_notification_operator.core.claims import (
    Claim,
    PolicyKey,
    Target,
    owner_of,
)
from zitadel_notification_operator.core.conditions import STALLED, is_true
from zitadel_notification_operator.core.grants import (
    POSSIBLE,
    Admission,
    Lookup,
    admit,
    admit_organization,
    granted_organizations,
    references_in,
)
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.engine.ended import Ended
from zitadel_notification_operator.engine.originals import Originals


class Inventory:
    """Records by key; claims by target; both for the watched namespaces only."""

    def __init__(self, own_namespace: str) -> None:
        self.own_namespace = own_namespace
        self.policies: dict[PolicyKey, PolicyObject] = {}
        self.instances: dict[str, InstanceObject] = {}
        self._of_instance: dict[str, set[PolicyKey]] = defaultdict(set)
        # None: it leads to another ZITADEL, and nobody has accepted that.
        self._zitadel_ids: dict[str, str | None] = {}
        self._former_ids: dict[str, str] = {}
        self._lookups: dict[str, Lookup] = {}
        self._resolved: dict[PolicyKey, Target] = {}
        self._targets: dict[PolicyKey, frozenset[Target]] = {}
        self._claims: dict[Target, dict[PolicyKey, Claim]] = defaultdict(dict)
        self._originals = Originals()
        self.ended = Ended()

    def users_of(self, instance: str) -> frozenset[PolicyKey]:
        """Return the policies that name this instance, admitted or not."""
        return frozenset(self._of_instance.get(instance, ()))

    def tidy(self) -> frozenset[str]:
        """Drop what nobody needs any longer.

        Returns:
            The names of instances that there are, or that a policy uses.
        """
        self.ended.age()
        named = {name for name, users in self._of_instance.items() if users}
        used = named | self.instances.keys()
        kept: tuple[dict[str, Any], ...] = (self._of_instance, self._zitadel_ids)
        kept += (self._former_ids, self._lookups)
        for by_name in kept:
            for name in by_name.keys() - used:
                del by_name[name]
        return frozenset(used)

    def newest(self, policy: PolicyObject) -> PolicyObject | None:
        """Return this very object as it is known now; None when it is gone."""
        known = self.policies.get(policy.key)
        return known if known is not None and known.uid == policy.uid else None

    def has_policy(self, key: PolicyKey, uid: str, resource_version: str) -> bool:
        """Return whether this version, or a newer one, of the object is known."""
        known = self.policies.get(key)
        return (
            known is not None
            and known.uid == uid
            and known.resource_version.isdigit()
            and resource_version.isdigit()
            and int(known.resource_version) >= int(resource_version)
        )

    def put_policy(self, policy: PolicyObject) -> set[PolicyKey]:
        """Take a record unless it is older than ours; return whom it concerns.

        Returns:
            The keys to look at again: the policy itself when the record differs,
            and every policy whose claim it wins or loses against. Empty for an echo,
            and for an object that is known to be gone.
        """
        known = self.policies.get(policy.key)
        if policy.uid in self.ended or (known and is_older(policy, known)):
            return set()
        if known is not None and known.uid != policy.uid:
            concerned = self.drop_policy(policy.key)
            return concerned | self.put_policy(policy)
        self.policies[policy.key] = policy
        if known == policy:
            return set()
        self._of_instance[policy.instance].add(policy.key)
        self._originals.put(policy)
        concerned = {policy.key} | self._claim_anew(policy.key)
        original = self._originals.of(policy.key)
        if original is not None and self.owner(original.target) == policy.key:
            self._originals.forget_bequest(original.target)
        return concerned

    def drop_policy(self, key: PolicyKey) -> set[PolicyKey]:
        """Forget a policy that is gone; return whom that concerns."""
        policy = self.policies.get(key)
        if policy is None:
            return set()
        del self.policies[key]
        self.ended.add(policy.uid)
        self._resolved.pop(key, None)
        self._of_instance[policy.instance].discard(key)
        concerned = self._claim_anew(key) - {key}
        self._originals.drop(key)
        return concerned

    def put_instance(self, instance: InstanceObject) -> set[PolicyKey] | None:
        """Take a record; None: an echo or an old one; else whose claims moved."""
        known = self.instances.get(instance.name)
        if instance.uid in self.ended or (known and is_older(instance, known)):
            return None
        if known is not None and known.uid != instance.uid:
            self.ended.add(known.uid)
            self._zitadel_ids.pop(instance.name, None)
            self._lookups.pop(instance.name, None)
        elif known == instance:
            self.instances[instance.name] = instance
            return None
        self.instances[instance.name] = instance
        return self._claim_for(instance.name)

    def drop_instance(self, name: str) -> set[PolicyKey]:
        """Forget an instance that is gone; return whose claims moved."""
        known = self.instances.pop(name, None)
        if known is not None:
            self.ended.add(known.uid)
        self._zitadel_ids.pop(name, None)
        self._lookups.pop(name, None)
        return self._claim_for(name)

    def identified(self, instance: str, zitadel_id: str) -> set[PolicyKey]:
        """Note which ZITADEL an instance reaches; return whose claims moved."""
        if self._zitadel_ids.get(instance) == zitadel_id:
            return set()
        self._lookups.pop(instance, None)
        self._zitadel_ids[instance] = zitadel_id
        self._former_ids[instance] = zitadel_id
        return self._claim_for(instance)

    def mistaken(self, instance: str) -> set[PolicyKey]:
        """Note that an instance leads to another ZITADEL: its policies claim nothing.

        Returns:
            Whose claims moved.
        """
        self._zitadel_ids[instance] = None
        return self._claim_for(instance)

    def leads_to(self, instance: str, zitadel_id: str) -> bool:
        """Return whether the instance reaches this ZITADEL, as far as it is known."""
        return self._zitadel_id(instance) == zitadel_id

    def resolved(self, key: PolicyKey, target: Target) -> set[PolicyKey]:
        """Note which organization a reference means; return whose claims moved."""
        if self._resolved.get(key) == target or key not in self.policies:
            return set()
        self._resolved[key] = target
        return self._claim_anew(key)

    def looked_up(self, instance: str, lookup: Lookup) -> set[PolicyKey] | None:
        """Note what names and domains in grants mean.

        Returns:
            Whose claims moved; None when all mean what they meant before.
        """
        if self._lookups.get(instance, {}) == lookup:
            return None
        self._lookups[instance] = lookup
        return self._claim_for(instance)

    def meant(self, instance: str, reference: Reference) -> str | None:
        """Return the organization that a name or domain in grants means, if known."""
        return self._lookups.get(instance, {}).get(reference)

    def to_look_up(self, instance: InstanceObject) -> frozenset[Reference]:
        """Return what an instance's grants name that was not looked up yet."""
        known = self._lookups.get(instance.name, {})
        return references_in(instance.grants) - known.keys()

    def unresolved(self, instance: str) -> int:
        """Return how many policies name an organization that is not known yet."""
        users = (self.policies[key] for key in self.users_of(instance))
        return sum(
            user.organization is not None
            and user.organization.is_search
            and self.organization_of(user) is None
            for user in users
        )

    def admission(self, policy: PolicyObject) -> Admission:
        """Return whether the policy may use its instance; absent reads unknown.

        An organization that is not known yet cannot be refused; look again then.
        """
        instance = self.instances.get(policy.instance)
        if instance is None:
            return Admission.NAMESPACE_UNKNOWN
        namespace = policy.key.namespace
        admission = admit(instance.grants, self.own_namespace, namespace, policy.scope)
        if admission is not Admission.GRANTED or policy.scope is Scope.INSTANCE:
            return admission
        organization_id = self.organization_of(policy)
        if organization_id is None:
            return admission
        return self._admit_organization(policy, organization_id)

    def may_set(self, policy: PolicyObject, organization_id: str) -> bool:
        """Return whether the policy's namespace may set this organization."""
        if policy.instance not in self.instances:
            return False
        admission = self._admit_organization(policy, organization_id)
        return admission is Admission.GRANTED

    def _admit_organization(
        self, policy: PolicyObject, organization_id: str
    ) -> Admission:
        return admit_organization(
            self.instances[policy.instance].grants,
            self.own_namespace,
            policy.key.namespace,
            organization_id,
            self._lookups.get(policy.instance, {}),
        )

    def is_restricted(self, policy: PolicyObject) -> bool:
        """Return whether the policy's namespace may set certain organizations only."""
        instance = self.instances.get(policy.instance)
        return (
            instance is not None
            and policy.scope is Scope.ORGANIZATION
            and (
                granted_organizations(
                    instance.grants, self.own_namespace, policy.key.namespace
                )
                is not None
            )
        )

    def organization_of(self, policy: PolicyObject) -> str | None:
        """Return the organization a policy means, as far as it is known now."""
        if policy.organization_id is not None:
            return policy.organization_id
        found = self._resolved.get(policy.key)
        if found is not None and found.zitadel_id == self._zitadel_id(policy.instance):
            return found.organization_id
        return policy.status.organization_id

    def target_of(self, policy: PolicyObject) -> Target | None:
        """Return the policy's target, if ZITADEL and organization are known."""
        zitadel_id = self._zitadel_id(policy.instance)
        if zitadel_id is None:
            return None
        if policy.scope is Scope.INSTANCE:
            return Target(zitadel_id, None)
        organization_id = self.organization_of(policy)
        return Target(zitadel_id, organization_id) if organization_id else None

    def owner(self, target: Target) -> PolicyKey | None:
        """Return whose claim to the target wins."""
        return owner_of(self._claims.get(target, {}).values())

    def original_at(self, target: Target) -> OriginalValue | None:
        """Return what a present or former owner of the target has recorded.

        An annotation is anybody's to write, so it counts only on a policy that may
        use its instance, manages, and is about this very target.
        """
        bequest = self._originals.bequest(target)
        if bequest is not None:
            return bequest
        for key, value in self._originals.at(target):
            if self._may_carry(self.policies[key], target):
                return value
        return None

    def disown(self, key: PolicyKey) -> None:
        """Forget a policy's original: what it owed is done, so nobody inherits it."""
        self._originals.drop(key)

    def zitadel_ids_seen(self, instance: str) -> set[str]:
        """Return the ids of ZITADELs that a recreated instance may have led to.

        What this process knew of its namesake counts alone. After a restart there are
        only the annotations of policies that have managed; anybody who may edit such
        a policy can hold an instance up with one, but not lead it astray.
        """
        users = [self.policies[key] for key in self.users_of(instance)]
        former = self._former_ids.get(instance)
        if former is not None:
            bound = any(p.status.organization_id or p.status.original for p in users)
            return {former} if bound else set()
        return {
            policy.original.target.zitadel_id
            for policy in users
            if policy.original is not None
            and policy.original.uid == policy.uid
            and policy.status.original is not None
            and self.admission(policy) in POSSIBLE
        }

    def _may_carry(self, policy: PolicyObject, target: Target) -> bool:
        return (
            policy.manages
            and self.admission(policy) is Admission.GRANTED
            and self._organization_meant(policy) == target.organization_id
        )

    def _organization_meant(self, policy: PolicyObject) -> str | None:
        if policy.scope is Scope.INSTANCE:
            return None
        return self.organization_of(policy)

    def _bequeath(self, key: PolicyKey, target: Target) -> None:
        """Keep the original of an owner whose claim goes, where others claim, too."""
        original = self._originals.of(key)
        claims = self._claims[target]
        if len(claims) > 1 and original is not None and original.target == target:
            policy = self.policies.get(key)
            told = policy.status.original if policy is not None else None
            self._originals.bequeath(target, told or original.value)

    def _zitadel_id(self, instance: str) -> str | None:
        if instance in self._zitadel_ids:
            return self._zitadel_ids[instance]
        record = self.instances.get(instance)
        if record is None:
            return None
        lost = is_true(record.status.conditions, STALLED, Reason.INSTANCE_CHANGED)
        return None if lost else record.status.instance_id

    def _claim_for(self, instance: str) -> set[PolicyKey]:
        concerned: set[PolicyKey] = set()
        for key in self.users_of(instance):
            concerned |= self._claim_anew(key)
        return concerned

    def _claim_anew(self, key: PolicyKey) -> set[PolicyKey]:
        before = self._targets.get(key, frozenset())
        after = self._targets_claimed_by(key)
        if before == after:
            return set()
        concerned: set[PolicyKey] = set()
        for target in before | after:
            claims = self._claims[target]
            concerned |= claims.keys()
            if target in after:
                claims[key] = Claim(self.policies[key].created, key)
            else:
                if owner_of(claims.values()) == key:
                    self._bequeath(key, target)
                claims.pop(key, None)
                if not claims:
                    del self._claims[target]
                    self._originals.forget_bequest(target)
        if after:
            self._targets[key] = after
        else:
            self._targets.pop(key, None)
        return concerned | {key}

    def _targets_claimed_by(self, key: PolicyKey) -> frozenset[Target]:
        policy = self.policies.get(key)
        if policy is None or policy.deleting or not policy.manages:
            return frozenset()
        if self.admission(policy) is not Admission.GRANTED:
            return frozenset()
        target = self.target_of(policy)
        return frozenset({target} if target else ())


def is_older(
    new: PolicyObject | InstanceObject, known: PolicyObject | InstanceObject
) -> bool:
    """Return whether a record is of an older version than the one that is known."""
    if not (new.resource_version.isdigit() and known.resource_version.isdigit()):
        return False
    return int(new.resource_version) < int(known.resource_version)
