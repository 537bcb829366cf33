"""Reads what `znp status` shows, with the person's own rights, rung by rung.

What cannot be read is left out, and the reason is kept: a person who may read no more
than the object itself still learns what that says.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from zitadel_notification_operator.cli.connecting.cluster_options import ClusterOptions
from zitadel_notification_operator.cli.connecting.zitadel_access import open_zitadel
from zitadel_notification_operator.cli.connecting.zitadel_options import ZitadelOptions
from zitadel_notification_operator.cluster.calls import ApiClient, Forbidden
from zitadel_notification_operator.cluster.inspection import (
    RIGHTS,
    NotPermitted,
    SeenEvent,
    Stored,
    events_of,
    list_objects,
    policies_about,
    read_object,
)
from zitadel_notification_operator.core.errors import ClusterError, OperatorError
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import (
    INSTANCE,
    POLICY,
    SET,
    ObjectKey,
)
from zitadel_notification_operator.core.object_names import Named
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.other_claims import (
    RankedClaim,
    rank,
    target_of,
)
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.zitadel.client import ZitadelClient

from .ladder import InZitadel, Ladder, NotShown

PATIENCE = 15.0
"""Seconds after which ZITADEL's policy is left out."""


@dataclass(frozen=True, slots=True)
class StatusReader:
    """Reads the rungs of one object, or many objects.

    Args:
        api: Makes the calls to Kubernetes.
        cluster: The options that name the cluster.
        zitadel: How ZITADEL is reached; the instance is added to it.
    """

    api: ApiClient
    cluster: ClusterOptions
    zitadel: ZitadelOptions
    _missing: list[NotShown] = field(default_factory=list, init=False)

    async def objects(self, namespace: str) -> list[Stored]:
        """Return the objects of all kinds that the person may list.

        Args:
            namespace: The namespace; empty for all. Of the instances, which are in
                none, those are returned that the objects of the namespace need.

        Raises:
            ClusterError: No kind could be listed.
        """
        self._missing.clear()
        found: list[Stored] = []
        refused: list[ClusterError] = []
        kinds = (SET, POLICY, INSTANCE)
        for kind in kinds:
            where = namespace if kind.namespaced else ""
            try:
                found += await list_objects(
                    self.api, kind, where, self.cluster.selector
                )
            except NotPermitted as error:
                refused.append(error)
                self._leave_out(kind.plural, error.message)
        if len(refused) == len(kinds):
            raise refused[0]
        needed = {one.record.needed_instance for one in found}
        return [
            one
            for one in found
            if one.record.kind is not INSTANCE
            or not namespace
            or one.record.name in needed
        ]

    @property
    def not_shown(self) -> tuple[NotShown, ...]:
        """What the last call of a method has left out, and why."""
        return tuple(self._missing)

    async def object(self, named: Named, namespace: str) -> Stored:
        """Return one object.

        Raises:
            ClusterError: It cannot be read; the text says what to do.
        """
        return await read_object(self.api, named.kind, named.key(namespace))

    async def ladder(self, stored: Stored) -> Ladder:
        """Return everything about an object that the person may know."""
        self._missing.clear()
        one: OwnObject = stored.record
        instance = await self._instance(one)
        return Ladder(
            stored=stored,
            instance=instance,
            in_zitadel=await self._in_zitadel(one, instance),
            claims=await self._claims(one),
            events=await self._events(one),
            not_shown=self.not_shown,
        )

    def _leave_out(self, part: str, why: str) -> None:
        self._missing.append(NotShown(part, why))

    async def _instance(self, one: OwnObject) -> Stored | None:
        if one.needed_instance is None:
            return None
        key = ObjectKey("", one.needed_instance)
        try:
            return await read_object(self.api, INSTANCE, key)
        except ClusterError as error:
            self._leave_out("instance", error.message)
            return None

    async def _in_zitadel(
        self, one: OwnObject, instance: Stored | None
    ) -> InZitadel | None:
        """Return ZITADEL's policy for the target of a policy, or of an instance."""
        organization_id = None
        if isinstance(one, PolicyObject) and one.scope is Scope.ORGANIZATION:
            organization_id = one.status.organization_id or one.organization_id
            if organization_id is None:
                self._leave_out("zitadel", "the organization's id is not known yet")
                return None
        record = (
            one if isinstance(one, InstanceObject) else instance and instance.record
        )
        if isinstance(one, PolicyObject | InstanceObject) and record is not None:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await self._ask(record, one, organization_id)
            except TimeoutError:
                why = f"ZITADEL did not answer within {PATIENCE:g} s"
                self._leave_out("zitadel", why)
            except OperatorError as error:
                self._leave_out("zitadel", self._why_not_reached(record, error))
        return None

    async def _ask(
        self, instance: InstanceObject, one: OwnObject, organization_id: str | None
    ) -> InZitadel | None:
        options = self.zitadel.of_instance(instance.name)
        async with open_zitadel(options, self.cluster) as (client, _):
            if options.url and await self._is_another(client, instance):
                return None
            policy = await client.observe(organization_id)
            if organization_id and (policy is None or policy.is_default):
                # A removed organization still shows what the instance has.
                await client.organization(organization_id)
            owner = None if policy and policy.is_default else organization_id
            change = None
            try:
                change = await client.last_policy_event(owner)
            except OperatorError as error:
                self._leave_out("lastChange", error.message)
        as_declared = None
        if isinstance(one, PolicyObject) and policy is not None:
            inherits = organization_id is not None and policy.is_default
            differs = one.settings.differs_from(policy.settings)
            as_declared = not (inherits or differs)
        return InZitadel(
            policy, change, as_declared, of_instance=organization_id is None
        )

    async def _is_another(
        self, client: ZitadelClient, instance: InstanceObject
    ) -> bool:
        """Return whether `--url` leads to another ZITADEL than the operator reaches."""
        found = (await client.identify()).zitadel_id
        known = instance.status.instance_id
        if known in {None, found}:
            return False
        why = f"--url leads to ZITADEL {found}, and zni/{instance.name} to {known}"
        self._leave_out("zitadel", why)
        return True

    def _why_not_reached(self, instance: InstanceObject, error: OperatorError) -> str:
        if isinstance(error.__cause__, Forbidden):
            where = self.zitadel.operator_namespace
            return (
                f"You may not read the Secret of zni/{instance.name} in the namespace "
                f"{where}, so the operator's own status has to do; {RIGHTS}"
            )
        return error.message

    async def _claims(self, one: OwnObject) -> tuple[RankedClaim, ...] | None:
        if not isinstance(one, PolicyObject):
            return None
        ids = await self._zitadel_ids()
        target = target_of(one, ids)
        if target is None:
            self._leave_out("claims", "the organization's id is not known yet")
            return None
        try:
            policies = await self._policies_about(one, target.organization_id)
        except ClusterError as error:
            self._leave_out("claims", error.message)
            return None
        same = [
            p
            for p in policies
            if isinstance(p, PolicyObject) and target_of(p, ids) == target
        ]
        return tuple(rank(same, await self._sets_created(same)))

    async def _policies_about(
        self, one: PolicyObject, organization_id: str | None
    ) -> list[OwnObject]:
        try:
            return await policies_about(self.api, "", organization_id)
        except NotPermitted:
            namespace = one.key.namespace
            found = await policies_about(self.api, namespace, organization_id)
            self._leave_out(
                "claims",
                f"of other namespaces than {namespace}: you may not list "
                f"{POLICY.plural} of the whole cluster",
            )
            return found

    async def _zitadel_ids(self) -> dict[str, str | None]:
        """Return ZITADEL's own id by the name of the instance, if they may be read."""
        found: list[Stored] = []
        with suppress(ClusterError):
            found = await list_objects(self.api, INSTANCE, "")
        return {one.record.name: one.record.status.instance_id for one in found}

    async def _sets_created(self, policies: Iterable[PolicyObject]) -> dict[str, str]:
        """Return the creation of the sets that have made policies, by their uid."""
        keys = {
            ObjectKey(policy.key.namespace, policy.controller.name)
            for policy in policies
            if policy.controller is not None and policy.controller.name
        }
        created = {}
        for key in keys:
            with suppress(ClusterError):
                found = (await read_object(self.api, SET, key)).record
                created[found.uid] = found.created
        return created

    async def _events(self, one: OwnObject) -> tuple[SeenEvent, ...] | None:
        try:
            return tuple(await events_of(self.api, one))
        except ClusterError as error:
            self._leave_out("events", error.message)
            return None
