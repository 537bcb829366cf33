"""Bring a target from its observed state to the spec: observe, decide, write, report.

A pass writes at most once, apart from repairs of ZITADEL's read side, and only what the
newest spec asks for. The target's writer verifies that a GET shows the result.
"""

from dataclasses import dataclass, replace

from zitadel_notification_operator.core.decision import Action, Decision, decide
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.events import EventKind
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.read_side import Attempt, Step, Write
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import Findings, is_ready_and_current
from zitadel_notification_operator.engine.calls.repairs import Repairs
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.ownership import Ownership
from zitadel_notification_operator.engine.queue.outcome import (
    Outcome,
    RequeueAfter,
    StalePass,
)

from .admission_check import AdmissionCheck
from .pending_write_events import PendingWriteEvents
from .policy_report import PolicyReport
from .status_trail import StatusTrail
from .target_writer import TargetWriter
from .targets import Work
from .unseen_events import UnseenEvents

_ROUNDS = 3
"""How many times a pass decides anew when another writer was faster."""

BEHIND_INTERVAL = 3.0
"""Seconds between two GETs while they may catch up with the event log: a pod of
ZITADEL's may only be lagging."""


@dataclass(eq=False, repr=False)
class TargetSync:
    """Brings the targets of policies in line with their specs.

    Args:
        inventory: Holds the newest records.
        admission_check: Says whether a pass may go on.
        unseen_events: Knows whether GETs are older than the event log.
        ownership: Stores the original and the finalizer before the first write.
        pending_events: Keeps the Events about writes until a GET shows the value, and
            knows which corrections have to wait.
        repairs: Records what GETs show of targets that met a contradiction.
        reports: Writes the status.
        trail: Lets more urgent writes to ZITADEL go before the status.
    """

    _inventory: Inventory
    _admission_check: AdmissionCheck
    _unseen_events: UnseenEvents
    _ownership: Ownership
    _pending_events: PendingWriteEvents
    _repairs: Repairs
    _reports: PolicyReport
    _trail: StatusTrail

    async def run(self, policy: PolicyObject, work: Work) -> Outcome:
        """Observe the target, write what differs, and report the result.

        Raises:
            RequeueAfter: The pass has to wait for the repair of another target, or for
                GETs to catch up with the event log.
            StalePass: What the pass is about has changed; it begins anew.
            OperatorError: What stopped the pass.
        """
        work = self._unseen_events.with_event(policy.key, work)
        writer = work.writer
        observed = await writer.observe()
        work = await self._unseen_events.with_doubt_resolved(policy, work, observed)
        if self._unseen_events.is_too_early(policy, work, observed):
            raise RequeueAfter(BEHIND_INTERVAL)
        unseen = await self._unseen_events.unseen_event(work, observed)
        for _ in range(_ROUNDS):
            decision = decide(policy.desired, observed)
            work = await self._check_existence(policy, work, observed)
            if policy.manages:
                # The original and the finalizer are stored before the first write.
                policy = self._admission_check.require_claim(policy, work.target)
                policy = await self._ownership.secure(policy, work.target, observed)
            held = self._pending_events.wait(policy) > 0
            settled = decision.action is Action.NONE or held
            if unseen is not None and settled and policy.manages and not held:
                # If this fails, the next pass still knows the event.
                step = Step(Write.UPDATE, policy.settings)
                change = await writer.restate(step, observed, unseen)
                observed, unseen = change.shown, None
                continue
            if settled:
                return await self._follow(policy, work, decision, observed)
            change = await self._act(policy, writer, decision, observed)
            observed = change.shown
            if change.is_as_wanted:
                decision = decide(policy.desired, observed)
                return await self._follow(policy, work, decision, observed)
            if writer.wrote:
                break
        raise TransientError(
            Reason.UNEXPECTED_ANSWER,
            "Somebody else changes the policy at the same time; it is tried again",
        )

    async def _act(
        self,
        policy: PolicyObject,
        writer: TargetWriter,
        decision: Decision,
        before: ObservedPolicy | None,
    ) -> Attempt:
        """Write, verify, and keep the Events about it until a GET shows the value."""
        repaired = False
        try:
            step = Step(Write(decision.action), policy.settings)
            change = await writer.change(step, before)
            repaired = change.repaired is not None
            return change
        finally:
            # This also covers a write that succeeded where the GET to verify it failed.
            if writer.wrote:
                self._pending_events.keep(policy, decision, before, repaired=repaired)

    async def _follow(
        self,
        policy: PolicyObject,
        work: Work,
        decision: Decision,
        observed: ObservedPolicy | None,
    ) -> Outcome:
        """Report when it is the status's turn."""
        if is_ready_and_current(policy) and not work.writer.wrote:
            # A check of a quiet policy: its status hardly ever changes.
            return await self._report(policy, work, decision, observed)
        async with self._trail.behind_writes(policy, work.target.zitadel_id):
            return await self._report(policy, work, decision, observed)

    async def _report(
        self,
        policy: PolicyObject,
        work: Work,
        decision: Decision,
        observed: ObservedPolicy | None,
    ) -> Outcome:
        """Report what was observed at last, and return when the next pass is due."""
        newest = self._inventory.require_newest(policy)
        if not self._inventory.leads_to(newest.instance, work.target.zitadel_id):
            raise StalePass  # the findings are about another ZITADEL
        if decision.in_sync:
            self._repairs.agrees(work.target, observed)
        drift = self._pending_events.tell(policy)
        contested = self._pending_events.contested_for(policy)
        left = self._unseen_events.settle(policy, work, observed, contested)
        original = policy.original.value if policy.original else None
        findings = Findings(
            decision,
            observed,
            work.target.organization_id,
            (work.organization.name if work.organization else None) or None,
            original if policy.manages else None,
            drift,
            contested=contested > 0,
        )
        outcome = await self._reports.settle(
            replace(policy, requested_at=work.asked), findings, left
        )
        self._pending_events.reported(policy.key)
        return outcome

    async def _check_existence(
        self, policy: PolicyObject, work: Work, observed: ObservedPolicy | None
    ) -> Work:
        """Make sure that an organization that inherits its policy exists.

        ZITADEL still answers for a removed organization as for one that inherits, and
        accepts a POST for it; only `orgs/me` tells the difference, as was
        tried on a real one. So a pass looks the organization up before a POST, and once
        when nothing but inheritance was ever observed.
        """
        organization = work.organization
        inherits = observed is None or observed.is_default
        if organization is None or organization.name or not inherits:
            return work
        event = work.event
        removed = event is not None and event.kind is EventKind.ORGANIZATION_REMOVED
        doubted = removed or work.doubted
        if not (policy.manages or doubted) and policy.status.organization_name:
            return work
        found = None
        if not doubted:
            found = work.connection.organization_cache.known(organization.id)
        if found is None:
            found = await work.writer.organization()
        return replace(work, organization=found)
