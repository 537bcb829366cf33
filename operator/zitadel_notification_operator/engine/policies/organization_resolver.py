"""Resolves a policy's organization once, and pins it to its id.

A rename moves no policy. Only if the pinned organization is known to be removed, and
the name or domain means another one, does the policy follow
(docs/concepts/ownership.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.errors import NoOrganization, TransientError
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import unpinned
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.calls.instance_state import Connection
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.wakeups import Wakeups
from zitadel_notification_operator.engine.reporting.event_messages import (
    organization_event,
)


@dataclass(eq=False, repr=False)
class OrganizationResolver:
    """Resolves the references of policies, and remembers the result.

    Args:
        inventory: Remembers what references mean.
        connections: Know how each instance is reached.
        writes: Clears what a status holds of an organization that is gone.
        wakeups: Queues the policies whose claims change.
        now: Returns the wall-clock time.
    """

    _inventory: Inventory
    _connections: Connections
    _writes: OwnWrites
    _wakeups: Wakeups
    _now: Callable[[], datetime]

    async def run(
        self, policy: PolicyObject, connection: Connection
    ) -> Organization | None:
        """Return the policy's organization, or None for the instance scope.

        If it was known already, only its id is set.

        Raises:
            StalePass: The policy is gone.
            NoOrganization: ZITADEL does not have it.
            OperatorError: Any other error of ZITADEL.
        """
        reference = policy.organization
        if reference is None:
            return None
        known = self._inventory.organization_of(policy)
        if known is not None:
            return Organization(known)
        if reference.is_search:
            found = await connection.organization_cache.find(
                reference, lambda: self._unresolved(policy.instance)
            )
        else:
            found = await connection.client.organization(None)
        self._pin(policy, connection, found)
        return found

    async def follow(self, policy: PolicyObject, connection: Connection) -> bool:
        """Move to the organization that the reference means now; the old one is gone.

        Returns:
            Whether there is another one. If so, everything that the policy holds of the
            old one was cleared, before anything is done about the new one.

        Raises:
            StalePass: The policy is gone.
            OperatorError: Any error of ZITADEL or Kubernetes.
        """
        reference = policy.organization
        known = self._inventory.organization_of(policy)
        if reference is None or not reference.is_search or known is None:
            return False
        try:
            found = await connection.organization_cache.search(reference)
        except NoOrganization:
            return False
        if found.id == known or not self._inventory.admissions.may_set(
            policy, found.id
        ):
            # An organization that is not granted is treated like none.
            return False
        failure = TransientError(
            Reason.ORGANIZATION_NOT_FOUND,
            f"Organization {known} has been removed; the policy begins anew with the "
            f"{reference} that there is now",
        )
        status = unpinned(policy, failure, self._now())
        notice = organization_event(known, reference, found)
        await self._writes.report_over(policy, status, [notice])
        self._pin(policy, connection, found)
        return True

    async def follow_refused(self, policy: PolicyObject) -> bool:
        """Move a policy whose organization is refused, if the grant uses its name.

        A grant by name follows the name at once, so the pinned organization may not be
        granted any longer. ZITADEL is only called if the name means an organization
        that is granted.

        Returns:
            As `follow`; also False if the organization is not refused, or if nothing
            can be looked up now.

        Raises:
            StalePass: The policy is gone.
            OperatorError: Any error of ZITADEL or Kubernetes.
        """
        inventory, reference = self._inventory, policy.organization
        if inventory.admission(policy) is not Admission.ORGANIZATION_MISSING:
            return False
        state = self._connections.state(policy.instance)
        connection = state.proven
        if state.failure is not None or connection is None:
            return False
        meant = inventory.meant(policy.instance, reference) if reference else None
        known = inventory.organization_of(policy)
        if meant in {None, known} or not inventory.admissions.may_set(
            policy, meant or ""
        ):
            return False
        try:
            await connection.client.organization(known)
        except NoOrganization:
            return await self.follow(self._inventory.require_newest(policy), connection)
        return False

    def _unresolved(self, instance: str) -> int:
        """Return how many policies name an organization that is not known yet."""
        return sum(
            user.organization is not None
            and user.organization.is_search
            and self._inventory.organization_of(user) is None
            for user in self._inventory.policies_of(instance)
        )

    def _pin(
        self, policy: PolicyObject, connection: Connection, found: Organization
    ) -> None:
        """Record the policy's organization; raise StalePass if the policy is gone."""
        self._inventory.require_newest(policy)
        target = Target(connection.zitadel_id, found.id)
        self._wakeups.affected(
            self._inventory.resolved(policy.key, target) - {policy.key}
        )
