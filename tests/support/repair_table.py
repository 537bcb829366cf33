"""Every repair of a read side, carried out against one that has missed an event.

The table tests the emulator and the ZITADEL in memory, and with both the steps that
the core plans (design, section 12).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from support.settings import mailing, mails
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import ReadSideBusy
from zitadel_notification_operator.core.policy import Scope, WriteOutcome, WriteResult
from zitadel_notification_operator.core.read_side import (
    Attempt,
    Missed,
    Step,
    Write,
    after_insert,
    can_be_repaired,
    is_own,
    repair,
)
from zitadel_notification_operator.core.settings import Settings
from zitadel_notification_operator.engine.ports import PolicyClient

_ACTIONS = {Write.CREATE: Action.CREATE, Write.UPDATE: Action.UPDATE}


@dataclass(frozen=True)
class Case:
    """One row of the table, with its values.

    Attributes:
        missed: The kind of event that the read side has missed.
        value: The value of the policy that was added; or, after a change or a removal,
            of the one that GETs still show.
        wanted: The value at the end; None means inherited.
        scope: Whether it is the instance's policy or an organization's.
    """

    missed: Missed
    value: bool
    wanted: bool | None
    scope: Scope

    def __str__(self) -> str:
        """Return a name for a test."""
        return f"{self.scope}-{self.missed}-{self.value}-{self.wanted}"


def _is_in_the_table(case: Case) -> bool:
    if not can_be_repaired(case.missed, case.scope):
        return False
    if case.scope is Scope.INSTANCE and case.wanted is None:
        return False  # the instance inherits from nobody
    # Nothing reveals a missed change if GETs show the wanted value.
    return case.missed is not Missed.CHANGED or case.value is not case.wanted


CASES = [
    case
    for scope in Scope
    for missed in Missed
    for value in (True, False)
    for wanted in (True, False, None)
    if _is_in_the_table(case := Case(missed, value, wanted, scope))
]


@dataclass(frozen=True)
class Ground:
    """A new ZITADEL, whose organizations inherit the value true.

    Attributes:
        client: The client through which it is read and written, as by the engine.
        organization_id: An organization in it.
        lose: Lets the read side miss the next event of a kind at a target.
        pass_by: Lets the time pass during which ZITADEL retries an insert.
    """

    client: PolicyClient
    organization_id: str
    lose: Callable[[str, str | None], Awaitable[None]]
    pass_by: Callable[[], Awaitable[None]]


class Row:
    """Carries out one row of the table."""

    def __init__(self, ground: Ground, case: Case) -> None:
        self._ground, self._case = ground, case
        of_organization = case.scope is Scope.ORGANIZATION
        self._target = ground.organization_id if of_organization else None

    async def run(self) -> None:
        """Lose the event, detect that, repair it, and check that both sides agree."""
        await self._miss()
        await self._require_contradiction()
        before = await self._shown()
        steps = repair(
            self._case.missed,
            shown=_settings(before),
            wanted=_settings(self._case.wanted),
        )
        await self._carry_out(steps[:-1], before)
        await self._require_taken(steps[-1])
        if self._case.missed is Missed.REMOVED and self._case.wanted is not None:
            assert await self._shown() is before
            assert before is not None
            rest = after_insert(shown=mails(before), wanted=mails(self._case.wanted))
            await self._carry_out(rest[:-1], before)
            for last in rest[-1:]:
                await self._require_taken(last)
        await self._require_agreement()

    async def _miss(self) -> None:
        """Let the read side miss the event, after preparations that it projects."""
        case, create, update = self._case, Write.CREATE, Write.UPDATE
        if case.missed is not Missed.ADDED and await self._shown() is not case.value:
            first = create if case.scope is Scope.ORGANIZATION else update
            await self._require_taken(Step(first, mails(case.value)))
        await self._ground.lose(str(case.missed), self._target)
        lost = {
            Missed.ADDED: Step(create, mails(case.value)),
            Missed.CHANGED: Step(update, mails(not case.value)),
            Missed.REMOVED: Step(Write.RESET),
        }
        await self._require_taken(lost[case.missed])

    async def _require_contradiction(self) -> None:
        """Check that the response to the wanted write reveals what was missed.

        A DELETE that succeeds reveals nothing, and is the whole repair.
        """
        case, own = self._case, await self._shown() is not None
        step = Step(Write.UPDATE if own else Write.CREATE, _settings(case.wanted))
        if case.wanted is None:
            if case.missed is not Missed.REMOVED:
                return
            step = Step(Write.RESET)
        result = await self._send(step)
        shown = await self._ground.client.observe(self._target)
        assert Attempt(step, result, shown, case.scope).missed is case.missed
        if case.missed is Missed.ADDED:
            # A change succeeds as well, but no GET shows a row that does not exist.
            await self._require_taken(Step(Write.UPDATE, mails(not case.value)))
            assert await self._shown() is None

    async def _carry_out(self, steps: tuple[Step, ...], before: bool | None) -> None:
        """Carry out steps before the last one: GETs show nothing new after them."""
        for step in steps:
            await self._require_taken(step)
            assert await self._shown() is before

    async def _require_taken(self, step: Step) -> None:
        """Carry out a step, which must succeed.

        An insert over an existing row makes all GETs fail for a while.
        """
        over_a_row = step.write is Write.CREATE and await self._shown() is not None
        assert (await self._send(step)).answer is WriteOutcome.WRITTEN
        if over_a_row:
            with pytest.raises(ReadSideBusy):
                await self._shown()
            await self._ground.pass_by()

    async def _send(self, step: Step) -> WriteResult:
        client, target = self._ground.client, self._target
        if step.write is Write.RESET:
            assert target is not None
            return await client.reset(target)
        assert step.settings is not None
        before = await client.observe(target)
        action = _ACTIONS[step.write]
        return await client.write(target, action, settings=step.settings, before=before)

    async def _shown(self) -> bool | None:
        """Return the value of the policy that GETs show; None means inherited."""
        shown = await self._ground.client.observe(self._target)
        own = is_own(shown, self._case.scope)
        return mailing(shown.settings) if shown is not None and own else None

    async def _require_agreement(self) -> None:
        """Check that GETs and the responses to writes agree on the policy."""
        wanted = self._case.wanted
        assert await self._shown() is wanted
        expected = {
            Step(Write.CREATE, mails(True)): WriteOutcome.ALREADY_EXISTS,
            Step(Write.UPDATE, _settings(wanted)): WriteOutcome.NOT_CHANGED,
        }
        if wanted is None:
            expected = {
                Step(Write.UPDATE, mails(True)): WriteOutcome.NOT_FOUND,
                Step(Write.RESET): WriteOutcome.NOT_FOUND,
            }
        for step, answer in expected.items():
            assert (await self._send(step)).answer is answer


def _settings(value: bool | None) -> Settings | None:
    """Return the settings of a step, or None for a reset."""
    return None if value is None else mails(value)
