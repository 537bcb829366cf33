"""What the watch told, in compact records, and who claims what.

The inventory is the only memory of the cluster. It takes records from watch events,
from our own writes and from the periodic LIST, whichever is newest, and answers who
owns a target. It decides nothing about ZITADEL.
"""

from collections import defaultdict

from zitadel_notification_operator.core.claims import (
    Claim,
    PolicyKey,
    Target,
    owner_of,
)
from zitadel_notification_operator.core.grants import Admission, admit
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.core.original import Original
from zitadel_notification_operator.core.policy import Scope


class Inventory:
    """Records by key; claims by target; both for the watched namespaces only."""

    def __init__(self, own_namespace: str) -> None:
        self.own_namespace = own_namespace
        self.policies: dict[PolicyKey, PolicyObject] = {}
        self.instances: dict[str, InstanceObject] = {}
        self._of_instance: dict[str, set[PolicyKey]] = defaultdict(set)
        self._zitadel_ids: dict[str, str] = {}
        self._resolved: dict[PolicyKey, str] = {}
        self._targets: dict[PolicyKey, frozenset[Target]] = {}
        self._claims: dict[Target, dict[PolicyKey, Claim]] = defaultdict(dict)
        self._originals: dict[PolicyKey, Original] = {}
        self._carriers: dict[Target, set[PolicyKey]] = defaultdict(set)

    def users_of(self, instance: str) -> frozenset[PolicyKey]:
        """Return the policies that name this instance, admitted or not."""
        return frozenset(self._of_instance.get(instance, ()))

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
            and every policy whose claim it wins or loses against. Empty for an echo.
        """
        known = self.policies.get(policy.key)
        if known is not None and known.uid != policy.uid:
            concerned = self.drop_policy(policy.key)
            return concerned | self.put_policy(policy)
        if known is not None and _is_older(policy, known):
            return set()
        self.policies[policy.key] = policy
        if known == policy:
            return set()
        self._of_instance[policy.instance].add(policy.key)
        self._carry(policy.key, policy.original, policy.uid)
        return {policy.key} | self._claim_anew(policy.key)

    def drop_policy(self, key: PolicyKey) -> set[PolicyKey]:
        """Forget a policy that is gone; return whom that concerns."""
        policy = self.policies.pop(key, None)
        self._resolved.pop(key, None)
        if policy is None:
            return set()
        self._of_instance[policy.instance].discard(key)
        self._carry(key, None, policy.uid)
        return self._claim_anew(key) - {key}

    def put_instance(self, instance: InstanceObject) -> set[PolicyKey] | None:
        """Take a record; None: an echo or an old one; else whose claims moved."""
        known = self.instances.get(instance.name)
        if known is not None and known.uid != instance.uid:
            self._zitadel_ids.pop(instance.name, None)
        elif known is not None and (known == instance or _is_older(instance, known)):
            if known == instance:
                self.instances[instance.name] = instance
            return None
        self.instances[instance.name] = instance
        return self._claim_for(instance.name)

    def drop_instance(self, name: str) -> set[PolicyKey]:
        """Forget an instance that is gone; return whose claims moved."""
        self.instances.pop(name, None)
        self._zitadel_ids.pop(name, None)
        return self._claim_for(name)

    def identified(self, instance: str, zitadel_id: str) -> set[PolicyKey]:
        """Note which ZITADEL an instance reaches; return whose claims moved."""
        if self._zitadel_ids.get(instance) == zitadel_id:
            return set()
        self._zitadel_ids[instance] = zitadel_id
        return self._claim_for(instance)

    def resolved(self, key: PolicyKey, organization_id: str) -> set[PolicyKey]:
        """Note which organization a reference means; return whose claims moved."""
        if self._resolved.get(key) == organization_id:
            return set()
        self._resolved[key] = organization_id
        return self._claim_anew(key)

    def admission(self, policy: PolicyObject) -> Admission:
        """Return whether the policy may use its instance; absent reads unknown."""
        instance = self.instances.get(policy.instance)
        if instance is None:
            return Admission.NAMESPACE_UNKNOWN
        return admit(
            instance.grants, self.own_namespace, policy.key.namespace, policy.scope
        )

    def organization_of(self, policy: PolicyObject) -> str | None:
        """Return the organization a policy means, as far as it is known now."""
        return (
            policy.organization_id
            or self._resolved.get(policy.key)
            or policy.status.organization_id
        )

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

    def original_at(self, target: Target) -> Original | None:
        """Return the original that a present or former owner carries."""
        carriers = sorted(self._carriers.get(target, ()))
        return self._originals[carriers[0]] if carriers else None

    def _carry(self, key: PolicyKey, original: Original | None, uid: str) -> None:
        before = self._originals.pop(key, None)
        if before is not None:
            carriers = self._carriers[before.target]
            carriers.discard(key)
            if not carriers:
                del self._carriers[before.target]
        if original is not None and original.uid == uid:
            self._originals[key] = original
            self._carriers[original.target].add(key)

    def _zitadel_id(self, instance: str) -> str | None:
        known = self._zitadel_ids.get(instance)
        record = self.instances.get(instance)
        return known or (record.status.instance_id if record else None)

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
                claims.pop(key, None)
                if not claims:
                    del self._claims[target]
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


def _is_older(
    new: PolicyObject | InstanceObject, known: PolicyObject | InstanceObject
) -> bool:
    if not (new.resource_version.isdigit() and known.resource_version.isdigit()):
        return False
    return int(new.resource_version) < int(known.resource_version)
