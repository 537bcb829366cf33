"""A cache of our objects in compact records, and the claims between policies.

The inventory is the only memory of the cluster. It stores the newest of the records
from watch events, from our own writes and from the periodic LIST, and it answers who
owns a target. It decides nothing about ZITADEL.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from zitadel_notification_operator.core.claims import Claim, PolicyKey, Target
from zitadel_notification_operator.core.grants import (
    NOT_REFUSED,
    Admission,
    Lookup,
    references_in,
)
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import (
    INSTANCE,
    POLICY,
    SET,
    Kind,
    ObjectKey,
)
from zitadel_notification_operator.core.objects import Own, OwnObject
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.engine.queue.outcome import StalePass

from .admissions import Admissions
from .claim_book import ClaimBook
from .deleted_uids import DeletedUids
from .originals import Originals, value_carried
from .records import (
    as_number,
    claims_may_differ,
    had_its_target,
    is_older,
    recorded_target,
)
from .set_book import SetBook
from .zitadel_ids import ZitadelIds


class Inventory:
    """Records by key and claims by target, for the watched namespaces only."""

    def __init__(self, own_namespace: str) -> None:
        self.own_namespace = own_namespace
        self.policies: dict[PolicyKey, PolicyObject] = {}
        self.instances: dict[str, InstanceObject] = {}
        self._by_kind: defaultdict[Kind, dict[Any, Any]] = defaultdict(dict)
        self.set_book = SetBook()
        self._by_kind |= {
            POLICY: self.policies,
            INSTANCE: self.instances,
            SET: self.set_book.sets,
        }
        self._of_instance: dict[str, set[PolicyKey]] = defaultdict(set)
        self._zitadel_ids = ZitadelIds(self.instances)
        self._lookups: dict[str, Lookup] = {}
        self.admissions = Admissions(
            own_namespace, self.instances, self._lookups, self.organization_of
        )
        self._resolved: dict[PolicyKey, Target] = {}
        self._claims = ClaimBook(
            self._target_claimed_by, self._claim_of, self._bequeath, self._unclaimed
        )
        self.originals = Originals()
        self.deleted_uids = DeletedUids()

    def of(self, kind: Kind) -> Iterable[OwnObject]:
        """Return all objects of a kind."""
        return self._by_kind[kind].values()

    def find(self, kind: Kind, key: ObjectKey) -> OwnObject | None:
        """Return the object that has this name now, if any."""
        return self._by_kind[kind].get(_name_of(kind, key))

    def users_of(self, instance: str) -> frozenset[PolicyKey]:
        """Return the policies that name this instance, admitted or not."""
        return frozenset(self._of_instance.get(instance, ()))

    def instances_named(self) -> list[str]:
        """Return the names of instances that policies name, whether these exist."""
        return [name for name, users in self._of_instance.items() if users]

    def count_users(self, instance: str) -> int:
        """Return how many policies name this instance, admitted or not."""
        return len(self._of_instance.get(instance, ()))

    def policies_of(self, instance: str) -> list[PolicyObject]:
        """Return the records of the policies that name this instance."""
        return [self.policies[key] for key in self.users_of(instance)]

    def tidy(self) -> frozenset[str]:
        """Drop what is no longer needed.

        Returns:
            The names of instances that exist or that a policy uses.
        """
        self.deleted_uids.age()
        named = {name for name, users in self._of_instance.items() if users}
        used = named | self.instances.keys()
        used |= {one.instance for one in self.set_book.sets.values()}
        self._zitadel_ids.keep(frozenset(used))
        kept: tuple[dict[str, Any], ...] = (self._of_instance, self._lookups)
        for by_name in kept:
            for name in by_name.keys() - used:
                del by_name[name]
        return frozenset(used)

    def begin_anew(self) -> None:
        """Accept whatever comes next as newer: Kubernetes has gone back to older data.

        An object that was known to be gone may exist again, with its old uid.
        """
        self.deleted_uids.forget()
        for objects in self._by_kind.values():
            for key, record in objects.items():
                objects[key] = replace(record, resource_version="")

    def newest(self, one: Own) -> Own | None:
        """Return the newest record of this very object, or None if it is gone."""
        known: Any = self.find(one.kind, one.key)
        return known if known is not None and known.uid == one.uid else None

    def require_newest(self, one: Own) -> Own:
        """Return the newest record of this very object.

        Raises:
            StalePass: The object is gone; a different one may have its name.
        """
        newest = self.newest(one)
        if newest is None:
            raise StalePass
        return newest

    def has(self, kind: Kind, key: ObjectKey, uid: str, resource_version: str) -> bool:
        """Return whether this version, or a newer one, of the object is known."""
        known = self.find(kind, key)
        if known is None or known.uid != uid:
            return False
        return 0 < as_number(resource_version) <= as_number(known.resource_version)

    def put(self, one: OwnObject) -> set[PolicyKey] | None:
        """Store a record unless it is older than ours, or of an object that is gone.

        Returns:
            The other policies that this affects, or None if it is not stored or does
            not differ from what was known.
        """
        known: Any = self.find(one.kind, one.key)
        if one.uid in self.deleted_uids or (known and is_older(one, known)):
            return None
        affected: set[PolicyKey] = set()
        if known is not None and known.uid != one.uid:
            affected, known = self._forget(known), None
        self._by_kind[one.kind][_name_of(one.kind, one.key)] = one
        if known == one:
            return None
        if isinstance(one, PolicyObject):
            affected |= self._claims_of_policy(known, one)
        elif isinstance(one, InstanceObject):
            if known is None or claims_may_differ(known, one):
                affected |= self._claim_for(one.name)
        elif isinstance(one, SetObject):
            self.set_book.put(one)
            if known is None:
                # Its policies may have been known before it, without its age.
                affected |= self._claims.renew(self.set_book.policies_of(one))
        return affected

    def policies_of_set(self, one: SetObject) -> list[PolicyObject]:
        """Return the policies that a set controls, by their ownerReferences."""
        return [self.policies[key] for key in self.set_book.policies_of(one)]

    def select(
        self, one: SetObject, targets: Mapping[PolicyKey, Target]
    ) -> set[PolicyKey]:
        """Store what a set claims now; see `SetBook.select`.

        Returns:
            The policies whose claims changed.
        """
        was_undecided = self.set_book.is_undecided(one.uid)
        affected = self._claims.renew(self.set_book.select(one.uid, targets))
        if was_undecided and not any(map(self.set_book.is_undecided, self._set_uids())):
            # Each set that may have wanted a deleted policy again has said so.
            self.originals.keep_bequests(lambda target: bool(self._claims.of(target)))
        return affected

    def _set_uids(self) -> Iterable[str]:
        return (one.uid for one in self.set_book.sets.values())

    def _claims_of_policy(
        self, known: PolicyObject | None, policy: PolicyObject
    ) -> set[PolicyKey]:
        if known is not None and known.instance != policy.instance:
            # The present schema allows no such edit: instanceRef cannot be read now, or
            # could not be read before.
            self._of_instance[known.instance].discard(policy.key)
        self._of_instance[policy.instance].add(policy.key)
        self.set_book.join(policy, known)
        self.originals.put(policy)
        affected = self._claims.renew_one(policy.key)
        target = recorded_target(policy)
        if target is not None and self.owner(target) == policy.key:
            self.originals.forget_bequest(target)
        return affected - {policy.key}

    def drop(self, kind: Kind, key: ObjectKey) -> set[PolicyKey]:
        """Forget an object that is gone; return the policies that this affects."""
        known = self.find(kind, key)
        affected = self._forget(known) if known is not None else set()
        if kind is INSTANCE:
            self._forget_zitadel(key.name)
            affected |= self.users_of(key.name) | self._claim_for(key.name)
        return affected

    def set_aside(self, one: OwnObject) -> set[PolicyKey]:
        """Forget an object that exists, because another operator serves it.

        Returns:
            The policies that this affects.
        """
        affected = self.drop(one.kind, one.key)
        self.deleted_uids.discard(one.uid)
        return affected

    def _forget(self, known: OwnObject) -> set[PolicyKey]:
        """Forget a record.

        Returns:
            The policies that claim the target of a policy, or use an instance.
        """
        affected: set[PolicyKey] = set()
        if isinstance(known, PolicyObject):
            # While its status is still known.
            affected = self._claims.give_up(known.key)
            self._resolved.pop(known.key, None)
            self._of_instance[known.instance].discard(known.key)
            self.set_book.leave(known)
            self.originals.drop(known.key)
        elif isinstance(known, InstanceObject):
            affected = set(self.users_of(known.name))
            self._forget_zitadel(known.name)
        elif isinstance(known, SetObject):
            affected = self.select(known, {})
            self.set_book.drop(known)
        del self._by_kind[known.kind][_name_of(known.kind, known.key)]
        self.deleted_uids.add(known.uid)
        if isinstance(known, PolicyObject):
            affected |= self._claims.renew_one(known.key)  # its set may still want it
        return affected

    def identified(self, instance: str, zitadel_id: str) -> set[PolicyKey]:
        """Record which ZITADEL an instance reaches.

        Returns:
            The policies whose claims changed.
        """
        if not self._zitadel_ids.found(instance, zitadel_id):
            return set()
        self._lookups.pop(instance, None)
        return self._claim_for(instance)

    def forget_bequests(self, instance: str) -> None:
        """Forget what owners have left at a ZITADEL that another operator writes to.

        Args:
            instance: An instance that reaches that ZITADEL.
        """
        zitadel_id = self._zitadel_ids.of(instance)
        self.originals.keep_bequests(lambda target: target.zitadel_id != zitadel_id)

    def leads_elsewhere(self, instance: str) -> set[PolicyKey]:
        """Record that an instance leads to another ZITADEL: its policies claim nothing.

        Returns:
            The policies whose claims changed.
        """
        self._zitadel_ids.lost(instance)
        return self._claim_for(instance)

    def _forget_zitadel(self, instance: str) -> None:
        """Forget what is known of the ZITADEL of an instance that is gone."""
        self._zitadel_ids.forget(instance)
        self._lookups.pop(instance, None)

    def leads_to(self, instance: str, zitadel_id: str) -> bool:
        """Return whether the instance reaches this ZITADEL, as far as is known."""
        return self._zitadel_ids.of(instance) == zitadel_id

    def resolved(self, key: PolicyKey, target: Target) -> set[PolicyKey]:
        """Record which organization a reference means.

        Returns:
            The policies whose claims changed.
        """
        if self._resolved.get(key) == target or key not in self.policies:
            return set()
        self._resolved[key] = target
        return self._claims.renew_one(key)

    def looked_up(self, instance: str, lookup: Lookup) -> set[PolicyKey] | None:
        """Record what the names and domains in grants mean.

        Returns:
            The policies whose claims changed, or None if all meanings are as before.
        """
        if self._lookups.get(instance, {}) == lookup:
            return None
        self._lookups[instance] = lookup
        return self._claim_for(instance)

    def meant(self, instance: str, reference: Reference) -> str | None:
        """Return the organization that a name or domain in grants means, if known."""
        return self._lookups.get(instance, {}).get(reference)

    def to_look_up(self, instance: InstanceObject) -> frozenset[Reference]:
        """Return the names and domains in an instance's grants not looked up yet."""
        known = self._lookups.get(instance.name, {})
        return references_in(instance.grants) - known.keys()

    def admission(self, policy: PolicyObject) -> Admission:
        """Return whether the policy may use its instance; see `Admissions.decide`."""
        return self.admissions.decide(policy)

    def granted(self, policy: PolicyObject) -> frozenset[Reference] | None:
        """Return the organizations that the policy's namespace may set; None for any.

        None also if its instance does not exist.
        """
        return self.admissions.granted(policy)

    def organization_of(self, policy: PolicyObject) -> str | None:
        """Return the id of the policy's organization, as far as it is known now.

        None also for a policy of the instance.
        """
        if policy.scope is Scope.INSTANCE or policy.organization_id is not None:
            return policy.organization_id
        zitadel_id = self._zitadel_ids.of(policy.instance)
        found = self._resolved.get(policy.key)
        if found is not None and found.zitadel_id == zitadel_id:
            return found.organization_id
        known = policy.status.organization_id
        if known is None and not policy.can_read("organization"):
            recorded = recorded_target(policy)
            if recorded is not None and recorded.zitadel_id == zitadel_id:
                return recorded.organization_id
        return known

    def target_of(self, policy: PolicyObject) -> Target | None:
        """Return the policy's target, if ZITADEL and organization are known."""
        zitadel_id = self._zitadel_ids.of(policy.instance)
        if zitadel_id is None:
            return None
        if policy.scope is Scope.INSTANCE:
            return Target(zitadel_id, None)
        organization_id = self.organization_of(policy)
        if not organization_id:
            return None
        target = Target(zitadel_id, organization_id)
        recorded = recorded_target(policy)
        # Equal ones are kept once: most policies have recorded their target.
        return recorded if recorded == target else target

    def owner(self, target: Target) -> PolicyKey | None:
        """Return the policy whose claim to the target wins, if any."""
        return self._claims.owner(target)

    def zitadel_ids_seen(self, instance: str) -> set[str]:
        """Return the ids of ZITADELs that a recreated instance may have led to.

        If this process knew the earlier object of that name, only its id counts. After
        a restart there are only the annotations of policies that have managed. Anybody
        who may edit such a policy can hold an instance up with one, but cannot lead it
        to another ZITADEL.
        """
        users = self.policies_of(instance)
        former = self._zitadel_ids.former(instance)
        if former is not None:
            bound = any(p.status.organization_id or p.status.original for p in users)
            return {former} if bound else set()
        return {
            target.zitadel_id
            for policy in users
            if (target := recorded_target(policy)) is not None
            and policy.status.original is not None
            and self.admission(policy) in NOT_REFUSED
        }

    def _bequeath(self, key: PolicyKey, target: Target) -> None:
        """Keep the original of an owner whose claim ends, for others who claim too."""
        policy = self.policies.get(key)
        if policy is None:
            return  # only its set claimed the target, and recorded nothing
        is_alone = self._claims.of(target) == {key}
        if is_alone and not self._may_follow(policy, target):
            return  # nobody follows
        original = value_carried(policy, target)
        if original is not None:
            only = None if policy.status.original is not None else key.namespace
            self.originals.bequeath(target, original, only)

    def _unclaimed(self, key: PolicyKey, target: Target) -> None:
        """Forget what an owner has left, because nobody claims the target any more."""
        policy = self.policies.get(key)
        if policy is None or not self._may_follow(policy, target):
            self.originals.forget_bequest(target)

    def _may_follow(self, policy: PolicyObject, target: Target) -> bool:
        wanted = self.set_book.may_want_again(policy)
        return wanted or self.may_yet_be_selected(target)

    def may_yet_be_selected(self, target: Target) -> bool:
        """Return whether a set that is new to this process may select the target."""
        if target.organization_id is None:
            return False
        possible = {None, target.zitadel_id}
        newcomers = self.set_book.newcomers()
        return any(self._zitadel_ids.of(one.instance) in possible for one in newcomers)

    def _claim_for(self, instance: str) -> set[PolicyKey]:
        return self._claims.renew(self.users_of(instance))

    def _claim_of(self, key: PolicyKey) -> Claim:
        """Return the claim of a policy, or that of the set that makes it."""
        policy, selected = self.policies.get(key), self.set_book.selected(key)
        uid = policy.set_uid if policy is not None else None
        if policy is None and selected is not None:
            uid = selected.set_uid
        made_by = self.set_book.by_uid(uid)
        if made_by is not None:
            return Claim(
                is_of_set=True, created=made_by.created, holder=made_by.key, key=key
            )
        created = policy.created if policy is not None else ""
        return Claim(is_of_set=uid is not None, created=created, holder=key, key=key)

    def _target_claimed_by(self, key: PolicyKey) -> Target | None:
        policy, selected = self.policies.get(key), self.set_book.selected(key)
        if selected and (policy is None or policy.set_uid == selected.set_uid):
            return selected.target
        if policy is None or policy.deleting or not policy.may_own:
            return None
        if not policy.can_read("instanceRef"):
            return recorded_target(policy) if had_its_target(policy) else None
        return self.target_of(policy) if self.admissions.may_claim(policy) else None


def _name_of(kind: Kind, key: ObjectKey) -> ObjectKey | str:
    """Return what an object is stored by; instances are by their names alone."""
    return key if kind.namespaced else key.name
