"""One pass over a policy: admit, resolve, own, observe, decide, act, report.

Whatever stops a pass is raised as an `OperatorError` with a reason, and the report
turns that into conditions. Apart from repairs of ZITADEL's read side a pass writes at
most once to ZITADEL, and only what the newest spec asks for.
"""

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import (
    suspended,
)
from zitadel_notification_operator.engine.connections import (
    NotCheckedYet,
)
from zitadel_notification_operator.engine.converging import Converging, Work
from zitadel_notification_operator.engine.crds import Crds
from zitadel_notification_operator.engine.deletion_pass import DeletionPass
from zitadel_notification_operator.engine.grant_lookup import require
from zitadel_notification_operator.engine.not_understood import require_understood
from zitadel_notification_operator.engine.outcome import (
    AGAIN,
    WAIT,
    Outcome,
    Superseded,
)
from zitadel_notification_operator.engine.owners import Owners
from zitadel_notification_operator.engine.policy_report import PolicyReport
from zitadel_notification_operator.engine.resolution import Resolution
from zitadel_notification_operator.engine.room import Room
from zitadel_notification_operator.engine.standing import Standing
from zitadel_notification_operator.engine.target_client import TargetClient


class PolicyPass:
    """Runs passes over policies."""

    def __init__(self, room: Room, owners: Owners, crds: Crds) -> None:
        self._room = room
        self._owners = owners
        self._deletion = DeletionPass(room, owners, crds)
        self._reports = PolicyReport(room)
        self._resolution = Resolution(room)
        self._standing = Standing(room)
        self._converging = Converging(room, self._reports, self._standing)

    async def run(self, policy: PolicyObject, failures: int) -> Outcome:
        """Bring the target of one policy in line with its spec, or report why not.

        Args:
            policy: The record as the inventory holds it.
            failures: The number of consecutive passes over it that have failed.

        Raises:
            ClusterError: Kubernetes did not accept a write; nothing was reported.
        """
        self._room.ask_as_requested(policy)
        if policy.deleting:
            return await self._deletion.run(policy)
        if policy.suspended and policy.not_understood is None:
            if not policy.manages:
                # In Observe there is nothing to undo, and an original that it kept
                # would be out of date once the policy manages again.
                policy = await self._room.ownership.leave(policy)
            await self._reports.write(policy, suspended(policy, self._room.now()))
            return WAIT
        try:
            require_understood(policy)
            return await self._work(policy)
        except NotCheckedYet:
            self._room.connections.wait_for_verdict(policy.instance, policy.key)
            return WAIT
        except Superseded:
            return AGAIN
        except OperatorError as trouble:
            if trouble.reason is Reason.CLUSTER_UNAVAILABLE:
                raise
            told = self._as_told_to_tenant(policy, trouble)
            return await self._reports.trouble(policy, told, failures)

    async def _work(self, policy: PolicyObject) -> Outcome:
        if self._room.inventory.admission(policy) is Admission.ORGANIZATION_MISSING:
            await self._follow_refused(policy)
        self._require_admission(policy)
        connection = self._room.connections.usable(policy.instance)
        organization = await self._resolution.run(policy, connection)
        self._require_admission(policy)
        organization_id = organization.id if organization else None
        target = Target(connection.zitadel_id, organization_id)
        async with self._room.turn(target):
            policy = self._standing.newest(policy)
            guarded = connection.client.guarded(
                lambda: self._standing.require_claim(policy, target)
            )
            client = TargetClient(self._room, policy, guarded)
            asked = policy.requested_at
            work = Work(connection, client, target, organization, asked)
            if policy.manages:
                await self._require_ownership(policy, target)
            else:
                policy = await self._room.ownership.leave(policy)
            try:
                return await self._converging.run(policy, work)
            except TerminalError as error:
                if error.reason is Reason.ORGANIZATION_NOT_FOUND:
                    await self._follow(policy, work)
                raise

    async def _follow(self, policy: PolicyObject, work: Work) -> None:
        """Move to another organization if the policy's reference means that one now.

        Raises:
            Superseded: It does; the next pass begins there.
        """
        if await self._resolution.follow(
            self._standing.newest(policy), work.connection
        ):
            raise Superseded

    async def _follow_refused(self, policy: PolicyObject) -> None:
        """Move to another organization if both name and grant mean that one now.

        Raises:
            Superseded: They do; the next pass begins there.
        """
        line = self._room.connections.line(policy.instance)
        if line.trouble is not None or line.proven is None:
            return  # nothing can be looked up now, so the refusal stands
        if await self._resolution.follow_refused(policy, line.proven):
            raise Superseded

    def _require_admission(self, policy: PolicyObject) -> None:
        match self._room.inventory.admission(policy):
            case Admission.GRANTED:
                require(self._room, policy)
            case Admission.NAMESPACE_UNKNOWN:
                raise TransientError(
                    Reason.INSTANCE_NOT_FOUND,
                    f"There is no ZitadelInstance {policy.instance!r} that this "
                    "namespace may use; ask a cluster administrator to create it or "
                    "to grant it in spec.grants",
                )
            case Admission.SCOPE_MISSING:
                raise TerminalError(
                    Reason.NOT_GRANTED,
                    f"ZitadelInstance {policy.instance!r} does not grant scope "
                    f"{policy.scope} to this namespace; ask a cluster administrator "
                    "to name the scope in spec.grants",
                )
            case Admission.ORGANIZATION_MISSING:
                raise self._not_granted(policy)
            case Admission.UNDECIDED:
                # If the instance has trouble, this reports it; else its next verdict
                # decides.
                self._room.connections.usable(policy.instance)
                require(self._room, policy)
                raise NotCheckedYet
        instance = self._room.inventory.instances[policy.instance]
        if instance.deleting and policy.original is None:
            raise TransientError(
                Reason.INSTANCE_NOT_READY,
                f"ZitadelInstance {policy.instance!r} is being deleted",
            )

    def _not_granted(self, policy: PolicyObject) -> TerminalError:
        return TerminalError(
            Reason.NOT_GRANTED,
            f"ZitadelInstance {policy.instance!r} does not grant this namespace "
            f"{policy.organization}, or there is none; ask a cluster administrator to "
            "name it in the organizations of spec.grants",
        )

    def _as_told_to_tenant(
        self, policy: PolicyObject, trouble: OperatorError
    ) -> OperatorError:
        """Return the error to report to the policy's author.

        For a namespace that may set certain organizations only, one that does not exist
        and one that is not granted read the same, so that nobody can probe for names.
        """
        unknown = trouble.reason is Reason.ORGANIZATION_NOT_FOUND
        if unknown and self._room.inventory.is_restricted(policy):
            return self._not_granted(policy)
        return trouble

    async def _require_ownership(self, policy: PolicyObject, target: Target) -> None:
        owner = await self._owners.other(policy, target)
        if owner is None:
            return
        if not await self._room.ownership.hand_over(policy, target):
            raise Superseded  # the owner has just gone
        await self._room.ownership.strip(policy)
        name = "in another namespace"
        if owner.namespace == policy.key.namespace:
            name = repr(owner.name)
        what = "organization" if target.organization_id else "instance"
        raise TerminalError(
            Reason.CONFLICT,
            f"The older NotificationPolicy {name} owns this {what}; "
            "delete one of the two",
        )
