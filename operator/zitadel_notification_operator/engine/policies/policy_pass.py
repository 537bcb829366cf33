"""One pass over a policy: admit, own, observe, decide, act, verify, report.

The steps, in this order, and where each of them is:

    admit     AdmissionCheck           the grant, the connection and the organization
    own       Ownership                no older policy owns the target
    observe   TargetSync               a GET, and what the event log says beyond it
    decide    core.decision            what differs
    act       TargetWriter             the write, when it is its turn
    verify    TargetWriter             a GET shows the written value
    report    PolicyReport             the status, its Events, and the next pass

Whatever stops a pass is raised as an `OperatorError` with a reason, and the report
turns that into conditions. Apart from repairs of ZITADEL's read side a pass writes at
most once to ZITADEL, and only what the newest spec asks for.
"""

from dataclasses import dataclass

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.errors import NoOrganization, OperatorError
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.instance_state import Connection
from zitadel_notification_operator.engine.claims.ownership import Ownership
from zitadel_notification_operator.engine.claims.records import require_understood
from zitadel_notification_operator.engine.queue.outcome import Outcome, StalePass

from .admission_check import AdmissionCheck
from .organization_resolver import OrganizationResolver
from .policy_report import PolicyReport
from .target_sync import TargetSync
from .targets import Targets, Work


@dataclass(eq=False, repr=False)
class PolicyPass:
    """Runs passes over policies.

    Args:
        admission_check: Admits the policy to its instance, and says if it may go on.
        resolver: Resolves the policy's organization.
        targets: Give the pass its turn at the target.
        ownership: Makes sure that the policy owns the target.
        sync: Brings the target in line with the spec.
        reports: Reports how the pass ends.
    """

    _admission_check: AdmissionCheck
    _resolver: OrganizationResolver
    _targets: Targets
    _ownership: Ownership
    _sync: TargetSync
    _reports: PolicyReport

    async def run(self, policy: PolicyObject, failures: int) -> Outcome:
        """Bring the target of one policy in line with its spec, or report why not.

        Args:
            policy: The record as the inventory holds it.
            failures: The number of consecutive passes over it that have failed.

        Raises:
            NotCheckedYet: The instance has no verdict yet; nothing was reported.
            StalePass: What the pass is about has changed; it begins anew.
            RequeueAfter: The pass has to wait for ZITADEL.
            ClusterError: Kubernetes did not accept a write; nothing was reported.
        """
        if policy.suspended and policy.not_understood is None:
            if not policy.manages:
                policy = await self._ownership.leave(policy)
            return await self._reports.suspend(policy)
        try:
            require_understood(policy)
            connection, organization = await self._admit(policy)
            return await self._work(policy, connection, organization)
        except OperatorError as failure:
            if failure.reason is Reason.CLUSTER_UNAVAILABLE:
                raise
            shown = self._admission_check.as_tenants_see_it(policy, failure)
            return await self._reports.failure(policy, shown, failures)

    async def _admit(
        self, policy: PolicyObject
    ) -> tuple[Connection, Organization | None]:
        """Return how to reach the policy's ZITADEL, and its organization there.

        Raises:
            StalePass: A policy that was refused moves to another organization, because
                both its name and the grant mean that one now.
        """
        if await self._resolver.follow_refused(policy):
            raise StalePass
        connection = self._admission_check.admit(policy)
        organization = await self._resolver.run(policy, connection)
        self._admission_check.require(policy)  # the grant may name the organization
        return connection, organization

    async def _work(
        self,
        policy: PolicyObject,
        connection: Connection,
        organization: Organization | None,
    ) -> Outcome:
        """Own the target and bring it in line with the spec, when it is its turn.

        Raises:
            StalePass: The reference means another organization now; the next pass
                begins there.
        """
        organization_id = organization.id if organization else None
        target = Target(connection.zitadel_id, organization_id)
        async with self._targets.turn(target):
            policy = self._admission_check.newest(policy)
            asked = policy.requested_at
            policy = await self._ownership.own(policy, target)
            writer = self._targets.writer(policy, target, connection)
            work = Work(connection, writer, target, organization, asked)
            try:
                return await self._sync.run(policy, work)
            except NoOrganization as error:
                newest = self._admission_check.newest(policy)
                if await self._resolver.follow(newest, connection):
                    raise StalePass from error
                raise
