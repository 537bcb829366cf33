"""Bring a target from its observed state to the spec: observe, decide, write, report.

A pass writes at most once, apart from repairs of ZITADEL's read side, and only what the
newest spec asks for. `engine.target_writer` verifies that a GET shows the result.
"""

from dataclasses import dataclass, replace

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.decision import Action, Decision, decide
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.events import EventKind, ZitadelEvent
from zitadel_notification_operator.core.objects import Drift, PolicyObject
from zitadel_notification_operator.core.original import OriginalValue, seen
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Organization,
    Scope,
)
from zitadel_notification_operator.core.read_side import Step, Write, is_behind
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import Findings, is_quiet
from zitadel_notification_operator.engine.accounts import Account
from zitadel_notification_operator.engine.connections import Connection
from zitadel_notification_operator.engine.notices import (
    of_acting,
    of_contest,
    of_correcting,
)
from zitadel_notification_operator.engine.outcome import (
    LookAgain,
    Outcome,
    Superseded,
)
from zitadel_notification_operator.engine.policy_report import PolicyReport
from zitadel_notification_operator.engine.room import Room
from zitadel_notification_operator.engine.standing import Standing
from zitadel_notification_operator.engine.target_client import TargetClient
from zitadel_notification_operator.engine.target_writer import (
    Change,
    TargetWriter,
)

_ROUNDS = 3
"""How often a pass decides at most, if somebody else's changes come before its own."""

BEHIND_FOR = 30.0
"""Seconds for which GETs may be older than the event log before that counts as a
contradiction (design, section 12)."""

BEHIND_INTERVAL = 3.0
"""Seconds between two GETs in that time: a pod of ZITADEL's may only be lagging."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one pass works on, once that is known.

    Attributes:
        client: A client that refuses each call once the policy may not go on.
        asked: The reconcile-requested-at token that the pass began with. A token that
            arrives later belongs to the next pass, because this one may have observed
            before it.
        told: The last event about the policy that no pass has handled yet, or None.
    """

    connection: Connection
    client: TargetClient
    target: Target
    organization: Organization | None
    asked: str | None
    told: ZitadelEvent | None = None


class Converging:
    """Brings the targets of policies in line with their specs.

    Args:
        room: What all passes share.
        reports: Writes the status.
        standing: Checks whether a pass may go on.
    """

    def __init__(self, room: Room, reports: PolicyReport, standing: Standing) -> None:
        self._room = room
        self._reports = reports
        self._standing = standing

    async def run(self, policy: PolicyObject, work: Work) -> Outcome:
        """Observe the target, write what differs, and report the result.

        Raises:
            LookAgain: The pass has to wait for the repair of another target, or for
                GETs to catch up with the event log.
            Superseded: What the pass is about has changed; it begins anew.
            OperatorError: What stopped the pass.
        """
        target = work.target
        drift = self._room.drift
        told = drift.told(policy.key) or drift.late(policy.key)
        work = replace(work, told=told)
        reads_events = work.connection.identity.capabilities.read_events
        writer = TargetWriter(
            self._room, policy, target, work.client, reads_events=reads_events
        )
        observed = await writer.observe()
        if self._is_too_early(policy, work, observed):
            raise LookAgain(BEHIND_INTERVAL)
        unseen = await self._unseen_event(work, writer, observed)
        for _ in range(_ROUNDS):
            decision = decide(policy.desired, observed)
            work = await self._check_existence(policy, work, observed)
            policy = await self._secure(policy, work, observed)
            held = self._room.contests.wait(policy) > 0
            settled = decision.action is Action.NONE or held
            if unseen is not None and settled and policy.manages and not held:
                # If this fails, the next pass still knows the event.
                change = await writer.restate(self._step(policy), observed, unseen)
                observed, unseen = change.shown, None
                continue
            if settled:
                return await self._settle(policy, work, decision, observed)
            policy = self._standing.newest(policy)
            step = Step(_WRITES[decision.action], policy.password_change)
            change = await self._change(policy, writer, step, decision, observed)
            observed = change.shown
            if change.is_done:
                decision = decide(policy.desired, observed)
                return await self._settle(policy, work, decision, observed)
            if writer.wrote:
                break
        raise TransientError(
            Reason.UNEXPECTED_ANSWER,
            "Somebody else changes the policy at the same time; it is tried again",
        )

    async def _change(
        self,
        policy: PolicyObject,
        writer: TargetWriter,
        step: Step,
        decision: Decision,
        before: ObservedPolicy | None,
    ) -> Change:
        """Write to ZITADEL and keep the Events about it until a GET shows the value."""
        repaired = False
        try:
            change = await writer.change(step, before)
            repaired = change.missed is not None
            return change
        finally:
            # This also covers a write that succeeded where the GET to verify it failed.
            if writer.wrote:
                account = self._account(policy, decision, before, repaired=repaired)
                self._room.accounts.keep(policy.key, account)

    def _account(
        self,
        policy: PolicyObject,
        decision: Decision,
        before: ObservedPolicy | None,
        *,
        repaired: bool,
    ) -> Account:
        """Compose the Events about a write.

        A write that neither the spec nor a person asked for has corrected drift. A
        repair of ZITADEL's read side counts neither as drift nor as a contest.
        """
        uid, generation = policy.uid, policy.generation
        if not is_quiet(policy):
            notice = of_acting(policy, decision, before)
            return Account(uid, generation, (notice,))
        if repaired:
            return Account(uid, generation, ())
        told = self._room.drift.told(policy.key)
        drift = Drift(
            f"{self._room.now():%Y-%m-%dT%H:%M:%SZ}",
            told.editor if told else None,
            seen(before),
            OriginalValue(policy.scope is Scope.INSTANCE, policy.password_change),
        )
        notices = [of_correcting(drift)]
        self._room.meter.corrected()
        if self._room.contests.corrected(policy):
            notices.append(of_contest())
        return Account(uid, generation, tuple(notices), drift)

    def _tell(self, policy: PolicyObject) -> Drift | None:
        """Post the Events about the last write; return the drift that it corrected."""
        account = self._room.accounts.take(policy)
        if account is None:
            return None
        for notice in account.notices:
            self._room.tell(policy, notice)
        return account.drift

    def _is_too_early(
        self, policy: PolicyObject, work: Work, observed: ObservedPolicy | None
    ) -> bool:
        """Return whether the pass should wait for GETs to show an event of the log.

        A ZITADEL of several pods may answer from a projection that lags behind its log
        (notes on ZITADEL, "Consistency").
        """
        told, repairs = work.told, self._room.repairs
        if told is None:
            return False  # events of other policies do not matter here
        if not is_behind(observed, told):
            repairs.caught_up(work.target)
            return False
        if repairs.is_accepted(work.target, told.id):
            return False
        if repairs.is_pending(work.target):
            # A write of ours has met this contradiction already and waits for its
            # repair.
            wanted = decide(policy.desired, observed)
            if wanted.action is not Action.NONE:
                return False
        shown = observed.sequence if observed else None
        return repairs.behind_for(work.target, told.id, shown) < BEHIND_FOR

    async def _unseen_event(
        self, work: Work, writer: TargetWriter, observed: ObservedPolicy | None
    ) -> ZitadelEvent | None:
        """Return the target's last event in the log, or None if GETs show it."""
        told, repairs = work.told, self._room.repairs
        if told is None or not is_behind(observed, told):
            return None
        if repairs.is_accepted(work.target, told.id):
            return None
        found, readable = await writer.last_event()
        if found is not None and is_behind(observed, found):
            return found
        is_its_own = work.target.organization_id in {None, told.id.aggregate}
        if readable and is_its_own:
            # The log shows nothing newer, so what the GET says is in force.
            repairs.accept(work.target, told.id)
        return None

    async def _secure(
        self, policy: PolicyObject, work: Work, observed: ObservedPolicy | None
    ) -> PolicyObject:
        """Store the original and the finalizer of a managing owner before it writes."""
        if not policy.manages:
            return policy
        self._standing.require_claim(policy, work.target)
        policy = self._standing.newest(policy)
        return await self._room.ownership.secure(policy, work.target, observed)

    async def _settle(
        self,
        policy: PolicyObject,
        work: Work,
        decision: Decision,
        observed: ObservedPolicy | None,
    ) -> Outcome:
        newest = self._room.newest(policy)  # raises if the name has a new object
        if not self._room.inventory.leads_to(newest.instance, work.target.zitadel_id):
            raise Superseded  # the findings are about another ZITADEL
        if decision.in_sync and self._room.repairs.agrees(work.target, observed):
            self._room.look_at_instances_of(work.target.zitadel_id)
        drift = self._tell(policy)
        if work.told is not None:
            self._room.drift.forget(policy.key, work.told)
        contested = self._room.contests.left(policy)
        left = self._look_again_in(policy, work, observed, contested)
        original = policy.original.value if policy.original else None
        findings = Findings(
            decision,
            observed,
            work.target.organization_id,
            (work.organization.name if work.organization else None) or None,
            original if policy.manages else None,
            self._room.drift.corrected(policy.key, drift),
            contested=contested > 0,
        )
        outcome = await self._reports.settle(
            replace(policy, requested_at=work.asked), findings, left
        )
        self._room.drift.reported(policy.key)
        return outcome

    def _look_again_in(
        self,
        policy: PolicyObject,
        work: Work,
        observed: ObservedPolicy | None,
        left: float,
    ) -> float:
        """Return the seconds until the next pass, or 0 if none is needed.

        GETs that are older than an event may catch up later, and no further event
        announces that. So such a target is polled as often as one without events.

        Args:
            policy: The policy of this pass.
            work: What this pass worked on.
            observed: What the last GET says.
            left: Seconds until the next pass because of a contest, or 0 without one.
        """
        told, instance = work.told, self._room.inventory.instances.get(policy.instance)
        if told is not None and (
            not is_behind(observed, told)
            or self._room.repairs.is_accepted(work.target, told.id)
        ):
            told = None
        self._room.drift.keep_late(policy.key, told)
        if told is None or instance is None:
            return left
        return min(left or instance.poll_interval, instance.poll_interval)

    async def _check_existence(
        self, policy: PolicyObject, work: Work, observed: ObservedPolicy | None
    ) -> Work:
        """Make sure that an organization that inherits its policy exists.

        ZITADEL still answers for a removed organization as for one that inherits, and
        accepts a POST for it; only `orgs/me` tells the difference (notes on ZITADEL,
        `x-zitadel-orgid`). So a pass looks the organization up before a POST, and once
        when nothing but inheritance was ever observed.
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

    @staticmethod
    def _step(policy: PolicyObject) -> Step:
        """Return the call that writes the value in force once more."""
        return Step(Write.UPDATE, policy.password_change)


_WRITES = {Action.CREATE: Write.CREATE, Action.UPDATE: Write.UPDATE}
