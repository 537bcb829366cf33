"""One pass over a policy: admit, resolve, own, observe, decide, act, report.

Whatever stops it on the way is an `OperatorError` with a reason, and the report
turns it into conditions. A pass writes at most once to ZITADEL, and only what the
newest spec asks for.
"""

from dataclasses import dataclass, replace

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.decision import Action, Decision, decide
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.events import EventKind, ZitadelEvent
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.objects import Drift, PolicyObject
from zitadel_notification_operator.core.original import OriginalValue, seen
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
    is_quiet,
    suspended,
)
from zitadel_notification_operator.engine.connections import (
    Connection,
    NotCheckedYet,
)
from zitadel_notification_operator.engine.deletion_pass import DeletionPass
from zitadel_notification_operator.engine.notices import (
    of_acting,
    of_contest,
    of_correcting,
)
from zitadel_notification_operator.engine.outcome import (
    AGAIN,
    WAIT,
    Outcome,
    Superseded,
)
from zitadel_notification_operator.engine.owners import Owners
from zitadel_notification_operator.engine.policy_report import PolicyReport
from zitadel_notification_operator.engine.ports import PolicyClient
from zitadel_notification_operator.engine.resolution import Resolution
from zitadel_notification_operator.engine.room import Room

_ROUNDS = 3
"""How often a pass observes again when somebody else was there first."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What a pass is about, once it is known.

    Attributes:
        client: Makes no call once the policy may not go on.
        asked: The reconcile-requested-at token that the pass began with. One that
            comes meanwhile is for the next pass: this one may have looked before.
    """

    connection: Connection
    client: PolicyClient
    target: Target
    organization: Organization | None
    asked: str | None
    told: ZitadelEvent | None = None


class PolicyPass:
    """Runs passes over policies."""

    def __init__(self, room: Room, owners: Owners) -> None:
        self._room = room
        self._owners = owners
        self._deletion = DeletionPass(room, owners)
        self._reports = PolicyReport(room)
        self._resolution = Resolution(room)

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
            if not policy.manages:
                # In Observe nothing is owed; what was seen before would be stale.
                policy = await self._room.ownership.leave(policy)
            await self._reports.write(policy, suspended(policy, self._room.now()))
            return WAIT
        try:
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
            policy = self._newest(policy)
            client = connection.client.guarded(
                lambda: self._require_claim(policy, target)
            )
            asked = policy.requested_at
            work = _Work(connection, client, target, organization, asked)
            if policy.manages:
                await self._require_ownership(policy, target)
            else:
                policy = await self._room.ownership.leave(policy)
            try:
                return await self._converge(policy, work)
            except TerminalError as error:
                if error.reason is Reason.ORGANIZATION_NOT_FOUND:
                    await self._follow(policy, work)
                raise

    async def _follow(self, policy: PolicyObject, work: _Work) -> None:
        """Turn to another organization, where the reference means one now.

        Raises:
            Superseded: The policy begins anew there.
        """
        if await self._resolution.follow(self._newest(policy), work.connection):
            raise Superseded

    async def _follow_refused(self, policy: PolicyObject) -> None:
        """Turn to another organization, where name and grant mean that one now.

        Raises:
            Superseded: The policy begins anew there.
        """
        line = self._room.connections.line(policy.instance)
        if line.trouble is not None or line.proven is None:
            return  # nobody can tell; the refusal stands
        if await self._resolution.follow_refused(policy, line.proven):
            raise Superseded

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
            case Admission.ORGANIZATION_MISSING:
                raise self._not_granted(policy)
            case Admission.UNDECIDED:
                # Trouble of the instance is told; else the next verdict decides.
                self._room.connections.usable(policy.instance)
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
        """Return the trouble; absent and not granted organizations read the same."""
        unknown = trouble.reason is Reason.ORGANIZATION_NOT_FOUND
        if unknown and self._room.inventory.is_restricted(policy):
            return self._not_granted(policy)
        return trouble

    async def _require_ownership(self, policy: PolicyObject, target: Target) -> None:
        owner = await self._owners.other(policy, target)
        if owner is None:
            return
        if not await self._room.ownership.hand_over(policy, target):
            raise Superseded  # it has just gone
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
        client = work.client
        organization_id = work.target.organization_id
        told = self._room.drift.told(policy.key)
        work = replace(work, told=told)
        for _ in range(_ROUNDS):
            observed = await client.observe(organization_id)
            _require_news(observed, told)
            decision = decide(policy.desired, observed)
            work = await self._check_existence(policy, work, observed)
            if policy.manages:
                self._require_claim(policy, work.target)
                policy = self._newest(policy)
                policy = await self._room.ownership.secure(
                    policy, work.target, observed
                )
            held = self._room.contests.wait(policy) > 0
            if decision.action is Action.NONE or held:
                return await self._settle(policy, work, decision, observed)
            policy = self._newest(policy)
            wanted = policy.password_change
            result = await client.write(
                organization_id, decision.action, password_change=wanted
            )
            if result.answer is Answer.WRITTEN:
                drift = self._tell(policy, decision, observed)
                observed = after_write(observed, policy.scope, result, wanted=wanted)
                decision = decide(policy.desired, observed)
                return await self._settle(policy, work, decision, observed, drift)
        raise TransientError(
            Reason.UNEXPECTED_ANSWER,
            "Somebody else changes the policy at the same time; it is tried again",
        )

    def _tell(
        self,
        policy: PolicyObject,
        decision: Decision,
        before: ObservedPolicy | None,
    ) -> Drift | None:
        """Tell what was written; return it as drift where nobody here asked for it."""
        if not is_quiet(policy):
            self._room.tell(policy, of_acting(policy, decision, before))
            return None
        told = self._room.drift.told(policy.key)
        drift = Drift(
            f"{self._room.now():%Y-%m-%dT%H:%M:%SZ}",
            told.editor if told else None,
            seen(before),
            OriginalValue(policy.scope is Scope.INSTANCE, policy.password_change),
        )
        self._room.tell(policy, of_correcting(drift))
        self._room.meter.corrected()
        if self._room.contests.corrected(policy):
            self._room.tell(policy, of_contest())
        return drift

    async def _settle(
        self,
        policy: PolicyObject,
        work: _Work,
        decision: Decision,
        observed: ObservedPolicy | None,
        drift: Drift | None = None,
    ) -> Outcome:
        newest = self._room.newest(policy)  # nothing of this is about a namesake
        if not self._room.inventory.leads_to(newest.instance, work.target.zitadel_id):
            raise Superseded  # nor about another ZITADEL
        if work.told is not None:
            self._room.drift.forget(policy.key, work.told)
        left = self._room.contests.left(policy)
        original = policy.original.value if policy.original else None
        findings = Findings(
            decision,
            observed,
            work.target.organization_id,
            (work.organization.name if work.organization else None) or None,
            original if policy.manages else None,
            self._room.drift.corrected(policy.key, drift),
            contested=left > 0,
        )
        outcome = await self._reports.settle(
            replace(policy, requested_at=work.asked), findings, left
        )
        self._room.drift.reported(policy.key)
        return outcome

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
        told = work.told
        doubted = told is not None and told.kind is EventKind.ORGANIZATION_REMOVED
        if not (policy.manages or doubted) and policy.status.organization_name:
            return work
        found = None
        if not doubted:
            found = work.connection.directory.known(organization.id)
        if found is None:
            found = await work.client.organization(organization.id)
        return replace(work, organization=found)

    def _require_claim(self, policy: PolicyObject, target: Target) -> None:
        """Do nothing while the pass may go on; asked right before each call.

        Raises:
            Superseded: The object has changed, its grant is gone, or the target is
                somebody else's by now.
        """
        newest = self._newest(policy)
        if newest.manages and self._room.inventory.owner(target) != newest.key:
            raise Superseded

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


def _require_news(observed: ObservedPolicy | None, told: ZitadelEvent | None) -> None:
    """Do nothing unless an answer is older than the event that made us ask.

    With several pods ZITADEL may answer from a projection that lags behind its log
    (notes on ZITADEL, "Consistency").

    Raises:
        TransientError: `UnexpectedAnswer`; it is asked again.
    """
    if observed is None or told is None or not observed.sequence.isdigit():
        return
    same = observed.resource_owner == told.id.aggregate
    if same and int(observed.sequence) < told.id.sequence:
        raise TransientError(
            Reason.UNEXPECTED_ANSWER,
            "ZITADEL's answer is older than its own events; it is asked again",
        )
