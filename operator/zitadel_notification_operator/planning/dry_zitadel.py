"""A ZITADEL whose reads are real, and whose writes are recorded but never sent.

A recorded write shows in the reads after it, as it would if it had been sent, so that
the engine finds its writes verified, and sees what other objects would have written.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.credentials import Credential
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.identity import Identity
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Organization,
    OrganizationPage,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.core.settings import NO_SETTINGS, Settings
from zitadel_notification_operator.engine.leader.log_context import current
from zitadel_notification_operator.engine.ports import Connector, PolicyClient


class ChangeKind(StrEnum):
    """What a write does to a policy of ZITADEL."""

    CREATE = "create"
    UPDATE = "update"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Change:
    """A write that the operator would make.

    Attributes:
        kind: What it does to what is in force then.
        namespace: The namespace of the policy object that makes it.
        name: The name of that object.
        target: The organization, or the instance.
        before: What is in force now, whatever other writes come before this one; None
            if the instance has no policy.
        after: What is in force after it. Its settings are empty if a reset makes an
            organization inherit what the credential may not read.
    """

    kind: ChangeKind
    namespace: str
    name: str
    target: Target
    before: ObservedPolicy | None
    after: ObservedPolicy

    @property
    def net_kind(self) -> ChangeKind | None:
        """What it does to what is in force now, or None if that stays as it is.

        It may have been made over an earlier recorded write.
        """
        if self.before is None:
            return ChangeKind.CREATE
        if self.target.organization_id is not None:
            if self.before.is_default:
                return None if self.after.is_default else ChangeKind.CREATE
            if self.after.is_default:
                return ChangeKind.RESET
        same = self.before.settings == self.after.settings
        return None if same else ChangeKind.UPDATE


_LOOKED_UP = 20
"""How many names of organizations are looked up one by one."""

_INSTANCE = None
"""Stands for the instance, where an organization's id is expected."""


@dataclass(slots=True)
class Overlay:
    """What recorded writes have changed, for all clients of a dry run.

    Attributes:
        changes: The recorded writes, in their order.
        found: What ZITADEL itself has shown at first, by target.
        policies: What is in force by recorded writes, by target.
        names: The names of organizations, by id, as far as they were read.
    """

    changes: list[Change] = field(default_factory=list)
    found: dict[Target, ObservedPolicy | None] = field(default_factory=dict)
    policies: dict[Target, ObservedPolicy] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def named(self, organization: Organization) -> Organization:
        """Note the name of an organization, and return it."""
        self.names[organization.id] = organization.name
        return organization


class DryConnector:
    """Creates dry clients; implements `Connector` of the engine's ports.

    Args:
        real: Creates the clients that read.

    Attributes:
        overlay: Receives the writes.
    """

    def __init__(self, real: Connector) -> None:
        self._real = real
        self._zitadels: dict[str, str] = {}
        self._clients: dict[str, PolicyClient] = {}
        self.overlay = Overlay()

    def connect(
        self,
        instance: str,
        endpoint: Endpoint,
        credential: Credential,
        roots: str | None,
    ) -> PolicyClient:
        """Return a client that reads with the real one."""
        real = self._real.connect(instance, endpoint, credential, roots)

        def identified(zitadel_id: str) -> None:
            self._zitadels[instance] = zitadel_id

        def target(organization_id: str | None) -> Target:
            return Target(self._zitadels.get(instance, instance), organization_id)

        client = DryClient(real, self.overlay, target, identified)
        self._clients[instance] = client
        return client

    async def name_targets(self) -> None:
        """Look up the names of a few organizations that are written to.

        Of most, the engine itself has read the name. If it has not for many, their ids
        have to do: a call for each would take long.
        """
        names = self.overlay.names
        of_zitadel = {
            zitadel_id: self._clients[instance]
            for instance, zitadel_id in self._zitadels.items()
        }
        missing = {
            change.target
            for change in self.overlay.changes
            if change.target.organization_id not in {None, *names}
        }
        if len(missing) > _LOOKED_UP:
            return
        for target in missing:
            with suppress(OperatorError):
                await of_zitadel[target.zitadel_id].organization(target.organization_id)

    async def disconnect(self, instance: str) -> None:
        """Close what belongs to this instance object."""
        await self._real.disconnect(instance)


@dataclass(frozen=True, slots=True)
class DryClient:
    """Implements `PolicyClient` of the engine's ports.

    Args:
        real: Makes the reads.
        overlay: Receives the writes.
        target: Returns the target for an organization's id.
        identified: Receives ZITADEL's own id once it is known.
        checks: Are called before a write is recorded.
    """

    _real: PolicyClient
    _overlay: Overlay
    _target: Callable[[str | None], Target]
    _identified: Callable[[str], None]
    _checks: tuple[Callable[[], None], ...] = ()

    def guarded(self, check: Callable[[], None]) -> PolicyClient:
        """Return a client that calls `check` before each call."""
        real, checks = self._real.guarded(check), (*self._checks, check)
        return replace(self, _real=real, _checks=checks)

    async def identify(self) -> Identity:
        """Return who answers and who asks."""
        identity = await self._real.identify()
        self._identified(identity.zitadel_id)
        return identity

    async def authenticate(self) -> None:
        """Make one call that needs a valid credential and no role."""
        await self._real.authenticate()

    async def deprecation(self) -> Deprecation | None:
        """Return which calls were marked as deprecated so far."""
        return await self._real.deprecation()

    async def organizations(self, offset: int, limit: int) -> OrganizationPage:
        """Return a page of the organizations that the credential may see."""
        page = await self._real.organizations(offset, limit)
        for organization in page.organizations:
            self._overlay.named(organization)
        return page

    async def search(self, reference: Reference) -> Organization | None:
        """Return the organization with this name or verified domain, if any."""
        found = await self._real.search(reference)
        return found and self._overlay.named(found)

    async def events(self, since: str | None, limit: int) -> list[ZitadelEvent]:
        """Return the events after a moment, oldest first."""
        return await self._real.events(since, limit)

    async def has_events(self) -> bool:
        """Return whether the log shows any event."""
        return await self._real.has_events()

    async def newest_event(self) -> ZitadelEvent | None:
        """Return the last event there is, or None if there is none."""
        return await self._real.newest_event()

    async def last_policy_event(
        self, organization_id: str | None
    ) -> ZitadelEvent | None:
        """Return the newest event of one policy, or None."""
        return await self._real.last_policy_event(organization_id)

    async def organization(self, organization_id: str | None) -> Organization:
        """Return an organization that exists."""
        return self._overlay.named(await self._real.organization(organization_id))

    async def observe(self, organization_id: str | None) -> ObservedPolicy | None:
        """Return what would be in force after the recorded writes."""
        policies, target = self._overlay.policies, self._target(organization_id)
        recorded = policies.get(target)
        if recorded is not None:
            return recorded
        shown = await self._real.observe(organization_id)
        self._overlay.found.setdefault(target, shown)
        inherits = shown is None or shown.is_default
        default = policies.get(self._target(_INSTANCE))
        if organization_id is not None and inherits and default is not None:
            return replace(default, is_default=True)
        return shown

    async def write(
        self,
        organization_id: str | None,
        action: Action,
        *,
        settings: Settings,
        before: ObservedPolicy | None,
    ) -> WriteResult:
        """Record a write."""
        for check in self._checks:
            check()
        target = self._target(organization_id)
        owner = organization_id or target.zitadel_id
        found = before.settings if before else _all_off(settings)
        after = ObservedPolicy(
            is_default=organization_id is None,
            settings=settings.merged_into(found),
            sequence=_next(before),
            resource_owner=owner,
            unknown_members=before.unknown_members if before else {},
        )
        kind = ChangeKind.CREATE if action is Action.CREATE else ChangeKind.UPDATE
        return self._record(kind, target, before, after)

    async def reset(self, organization_id: str) -> WriteResult:
        """Record a removal, unless the organization inherits already."""
        before = await self.observe(organization_id)
        if before is None or before.is_default:
            return WriteResult(WriteOutcome.NOT_FOUND)
        for check in self._checks:
            check()
        inherited = await self._default()
        after = ObservedPolicy(
            is_default=True,
            settings=inherited.settings if inherited else NO_SETTINGS,
            sequence=inherited.sequence if inherited else "",
            resource_owner=self._target(_INSTANCE).zitadel_id,
        )
        target = self._target(organization_id)
        return self._record(ChangeKind.RESET, target, before, after)

    async def _default(self) -> ObservedPolicy | None:
        """Return the instance's policy, or None if it cannot be read."""
        try:
            return await self.observe(_INSTANCE)
        except OperatorError:
            return None  # a role in one organization may not read it

    def _record(
        self,
        kind: ChangeKind,
        target: Target,
        before: ObservedPolicy | None,
        after: ObservedPolicy,
    ) -> WriteResult:
        about = current()
        if about is None:
            raise AssertionError("a write that belongs to no pass")
        found = self._overlay.found.get(target, before)
        change = Change(kind, about.namespace, about.name, target, found, after)
        self._overlay.changes.append(change)
        self._overlay.policies[target] = after
        owner = target.organization_id or target.zitadel_id
        return WriteResult(WriteOutcome.WRITTEN, _next(before), owner)


def _next(before: ObservedPolicy | None) -> str:
    """Return a sequence that is newer than what was read."""
    return str(int(before.sequence or "0") + 1 if before else 1)


def _all_off(settings: Settings) -> Settings:
    """Return the values that ZITADEL takes for flags that a write leaves out."""
    return Settings.of(dict.fromkeys(settings.by_name(), False))
