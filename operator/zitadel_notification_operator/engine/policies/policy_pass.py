"""One pass over a policy: admit, own, observe, decide, act, verify, report.

The steps, in this order, and where each of them is:

    admit     Admittance, Resolution   the grant, the connection and the organization
    own       Ownership                no older policy owns the target
    observe   Converging               a GET, and what the event log says beyond it
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
from zitadel_notification_operator.core.errors import OperatorError, TerminalError
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.connections import Connection
from zitadel_notification_operator.engine.claims.ownership import Ownership
from zitadel_notification_operator.engine.claims.records import require_understood
from zitadel_notification_operator.engine.policies.admittance import Admittance
from zitadel_notification_operator.engine.policies.converging import Converging
from zitadel_notification_operator.engine.policies.policy_report import PolicyReport
from zitadel_notification_operator.engine.policies.resolution import Resolution
from zitadel_notification_operator.engine.policies.targets import Targets, Work
from zitadel_notification_operator.engine.queue.outcome import Outcome, Superseded


@dataclass(eq=False, repr=False)
class PolicyPass:
    """Runs passes over policies.

    Args:
        admittance: Admits the policy to its instance, and says if it may go on.
        resolution: Resolves the policy's organization.
        targets: Give the pass its turn at the target.
        ownership: Makes sure that the policy owns the target.
        converging: Brings the target in line with the spec.
        reports: Reports how the pass ends.
    """

    _admittance: Admittance
    _resolution: Resolution
    _targets: Targets
    _ownership: Ownership
    _converging: Converging
    _reports: PolicyReport

    async def run(self, policy: PolicyObject, failures: int) -> Outcome:
        """Bring the target of one policy in line with its spec, or report why not.

        Args:
            policy: The record as the inventory holds it.
            failures: The number of consecutive passes over it that have failed.

        Raises:
            NotCheckedYet: The instance has no verdict yet; nothing was reported.
            Superseded: What the pass is about has changed; it begins anew.
            LookAgain: The pass has to wait for ZITADEL.
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
        except OperatorError as trouble:
            if trouble.reason is Reason.CLUSTER_UNAVAILABLE:
                raise
            told = self._admittance.as_told_to_tenant(policy, trouble)
            return await self._reports.trouble(policy, told, failures)

    async def _admit(
        self, policy: PolicyObject
    ) -> tuple[Connection, Organization | None]:
        """Return how to reach the policy's ZITADEL, and its organization there.

        Raises:
            Superseded: A policy that was refused moves to another organization, because
                both its name and the grant mean that one now.
        """
        if await self._resolution.follow_refused(policy):
            raise Superseded
        connection = self._admittance.admit(policy)
        organization = await self._resolution.run(policy, connection)
        self._admittance.require(policy)  # the grant may name the organization
        return connection, organization

    async def _work(
        self,
        policy: PolicyObject,
        connection: Connection,
        organization: Organization | None,
    ) -> Outcome:
        """Own the target and bring it in line with the spec, when it is its turn.

        Raises:
            Superseded: The reference means another organization now; the next pass
                begins there.
        """
        organization_id = organization.id if organization else None
        target = Target(connection.zitadel_id, organization_id)
        async with self._targets.turn(target):
            policy = self._admittance.newest(policy)
            writer = self._targets.writer(
                policy,
                target,
                connection,
                lambda: self._admittance.require_claim(policy, target),
            )
            work = Work(connection, writer, target, organization, policy.requested_at)
            policy = await self._ownership.own(policy, target)
            try:
                return await self._converging.run(policy, work)
            except TerminalError as error:
                if error.reason is Reason.ORGANIZATION_NOT_FOUND:
                    newest = self._admittance.newest(policy)
                    if await self._resolution.follow(newest, connection):
                        raise Superseded from error
                raise
