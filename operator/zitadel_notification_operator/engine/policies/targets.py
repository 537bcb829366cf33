"""Gives each pass its turn at a target, and what it reads and writes it with."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.identity import Capabilities
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.engine.calls.instance_state import Connection
from zitadel_notification_operator.engine.calls.lease_guard import is_verifying
from zitadel_notification_operator.engine.ports import PolicyClient

from .admission_check import AdmissionCheck
from .target_client import TargetClient
from .target_writer import TargetWriter

ClientOf = Callable[[PolicyObject, Target, PolicyClient], TargetClient]
"""Makes the client of one pass."""

WriterOf = Callable[[PolicyObject, Target, TargetClient, Capabilities], TargetWriter]
"""Makes the writer of one pass."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one pass works on.

    Attributes:
        connection: The connection to the instance's ZITADEL.
        writer: Reads and writes the target; its client refuses each call once the
            policy may not go on.
        target: The target.
        organization: The organization, or None for the instance's policy.
        asked: The reconcile-requested-at token that the pass began with. A token that
            arrives later belongs to the next pass, because this one may have observed
            before it.
        event: The last event about the policy that no pass has handled yet, or None.
        doubted: Whether there may be later events of it that are not known.
    """

    connection: Connection
    writer: TargetWriter
    target: Target
    organization: Organization | None
    asked: str | None
    event: ZitadelEvent | None = None
    doubted: bool = False


@dataclass(eq=False, repr=False)
class Targets:
    """The targets that passes work on now.

    Args:
        admission_check: Says whether a pass may still make a call.
        client_of: Makes the client of one pass.
        writer_of: Makes the writer of one pass.
    """

    _admission_check: AdmissionCheck
    _client_of: ClientOf
    _writer_of: WriterOf
    _turns: dict[Target, tuple[asyncio.Lock, int]] = field(
        default_factory=dict, init=False
    )

    def __len__(self) -> int:
        """Return the number of targets that passes work on or wait for."""
        return len(self._turns)

    @asynccontextmanager
    async def turn(self, target: Target) -> AsyncIterator[None]:
        """Lock the target, so that no two passes work on one organization at once."""
        lock, waiting = self._turns.get(target, (asyncio.Lock(), 0))
        self._turns[target] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns[target]
            if waiting == 1:
                del self._turns[target]
            else:
                self._turns[target] = (lock, waiting - 1)

    def writer(
        self, policy: PolicyObject, target: Target, connection: Connection
    ) -> TargetWriter:
        """Return what a pass reads and writes its target with.

        Right before each call it is checked that the pass may go on. Only a read that
        verifies a write is always allowed, because the write has to be reported.

        Args:
            policy: The policy of the pass.
            target: Its target, which the pass has locked.
            connection: The connection to the target's ZITADEL.
        """

        def guard() -> None:
            if not is_verifying():
                self._admission_check.require_claim(policy, target)

        client = self._client_of(policy, target, connection.client.guarded(guard))
        capabilities = connection.identity.capabilities
        return self._writer_of(policy, target, client, capabilities)
