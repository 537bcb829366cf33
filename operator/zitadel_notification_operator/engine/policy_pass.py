"""One pass over a policy: admit, resolve, own, observe, decide, act, report.

Whatever stops it on the way is an `OperatorError` with a reason, and the report
turns it into conditions. A pass writes at most once to ZITADEL, and only what the
newest spec asks for.
"""

from dataclasses import dataclass, replace

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.decision import Action, decide
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.policy import (
    Answer,
    ObservedPolicy,
    Organization,
    Scope,
    after_write,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import (
    Findings,
    suspended,
)
from zitadel_notification_operator.engine.connections import (
    Connection,
    NotCheckedYet,
)
from zitadel_notification_operator.engine.deletion_pass import DeletionPass
from zitadel_notification_operator.engine.notices import (
    of_acting,
)
from zitadel_notification_operator.engine.outcome import (
    WAIT,
    Outcome,
    retry_in,
)
from zitadel_notification_operator.engine.policy_report import PolicyReport
from zitadel_notification_operator.engine.room import Room

_ROUNDS = 3
"""How often a pass observes again when somebody else was there first."""


class Superseded(Exception):
    """The object has changed while its pass ran; a new pass follows."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What a pass is about, once it is known.

    Attributes:
        asked: The reconcile-requested-at token that the pass began with. One that
            comes meanwhile is for the next pass: this one may have looked before.
    """

    connection: Connection
    target: Target
    organization: Organization | None
    asked: str | None


class PolicyPass:
    """Runs passes over policies."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._deletion = DeletionPass(room)
        self._reports = PolicyReport(room)

    async def run(self, policy: PolicyObject, failures: int) -> Outcome:
        """Bring one policy to where its spec wants it, or say why not.

        Args:
            policy: The record as the inventory holds it.
            failures: How many passes over it have failed in a row.

        Raises:
            ClusterError: Kubernetes did not take a write; nothing was reported.
        """
        if policy.deleting:
            return await self._deletion.run(policy)
        if policy.suspended:
            await self._reports.write(policy, suspended(policy, self._room.now()))
            return WAIT
        try:
            return await self._work(policy)
        except NotCheckedYet:
            self._room.connections.wait_for_verdict(policy.instance, policy.key)
            return WAIT
        except Superseded:
            return retry_in(0)
        except OperatorError as trouble:
            if trouble.reason is Reason.CLUSTER_UNAVAILABLE:
                raise
            return await self._reports.trouble(policy, trouble, failures)

    async def _work(self, policy: PolicyObject) -> Outcome:
        self._require_admission(policy)
        connection = self._room.connections.usable(policy.instance)
        organization = await self._resolve(policy, connection)
        organization_id = organization.id if organization else None
        target = Target(connection.zitadel_id, organization_id)
        async with self._room.turn(target):
            policy = self._newest(policy)
            work = _Work(connection, target, organization, policy.requested_at)
            if policy.manages:
                await self._require_ownership(policy, target)
            else:
                policy = await self._room.ownership.strip(policy)
            return await self._converge(policy, work)

    def _require_admission(self, policy: PolicyObject) -> None:
        match self._room.inventory.admission(policy):
            case Admission.GRANTED:
                pass
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
        instance = self._room.inventory.instances[policy.instance]
        if instance.deleting and policy.original is None:
            raise TransientError(
                Reason.INSTANCE_NOT_READY,
                f"ZitadelInstance {policy.instance!r} is being deleted",
            )

    async def _resolve(
        self, policy: PolicyObject, connection: Connection
    ) -> Organization | None:
        """Find the organization; a reference is resolved once, then pinned."""
        if policy.scope is Scope.INSTANCE:
            return None
        known = self._room.inventory.organization_of(policy)
        if known is not None:
            return Organization(known)
        organization = await connection.client.organization(None)
        target = Target(connection.zitadel_id, organization.id)
        self._room.news.concerned(
            self._room.inventory.resolved(policy.key, target) - {policy.key}
        )
        return organization

    async def _require_ownership(self, policy: PolicyObject, target: Target) -> None:
        owner = self._room.inventory.owner(target)
        if owner is None or owner == policy.key:
            return
        await self._room.ownership.hand_over(policy, target)
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

    async def _converge(self, policy: PolicyObject, work: _Work) -> Outcome:
        client = work.connection.client
        organization_id = work.target.organization_id
        for _ in range(_ROUNDS):
            observed = await client.observe(organization_id)
            decision = decide(policy.desired, observed)
            work = await self._check_existence(policy, work, observed)
            if policy.manages:
                policy = self._newest(policy)
                policy = await self._room.ownership.secure(
                    policy, work.target, observed
                )
            if decision.action is not Action.NONE:
                policy = self._newest(policy)
                wanted = policy.password_change
                result = await client.write(
                    organization_id, decision.action, password_change=wanted
                )
                if result.answer is not Answer.WRITTEN:
                    continue
                before = observed
                observed = after_write(observed, policy.scope, result, wanted=wanted)
                self._room.tell(policy, of_acting(policy, decision, before))
            original = policy.original.value if policy.original else None
            name = work.organization.name if work.organization else ""
            findings = Findings(
                decision
                if decision.action is Action.NONE
                else decide(policy.desired, observed),
                observed,
                organization_id,
                name or None,
                original if policy.manages else None,
            )
            return await self._reports.settle(
                replace(policy, requested_at=work.asked), findings
            )
        raise TransientError(
            Reason.UNEXPECTED_ANSWER,
            "Somebody else changes the policy at the same time; it is tried again",
        )

    async def _check_existence(
        self, policy: PolicyObject, work: _Work, observed: ObservedPolicy | None
    ) -> _Work:
        """Make sure that an inheriting organization exists.

        A removed organization still answers as one that inherits, and takes a POST
        (ZITADEL: `orgs/me` tells; notes on `x-zitadel-orgid`). So look before a
        POST, and once when nothing but inheritance was ever seen.
        """
        organization = work.organization
        inherits = observed is None or observed.is_default
        if organization is None or organization.name or not inherits:
            return work
        if not policy.manages and policy.status.organization_name:
            return work
        found = await work.connection.client.organization(organization.id)
        return replace(work, organization=found)

    def _newest(self, policy: PolicyObject) -> PolicyObject:
        """Return the record as it is now, if the pass may go on with it.

        Raises:
            Superseded: The spec, its deletion or its grant says otherwise by now.
        """
        newest = self._room.inventory.policies.get(policy.key)
        if (
            newest is None
            or newest.uid != policy.uid
            or newest.generation != policy.generation
            or newest.deleting
            or self._room.inventory.admission(newest) is not Admission.GRANTED
        ):
            raise Superseded
        return newest
