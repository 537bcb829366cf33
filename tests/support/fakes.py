"""Kubernetes and ZITADEL in memory, behind the engine's ports.

Every call to them is a step. Steps are counted, and the process can be killed at one
of them, before or after its effect.
"""

import asyncio
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from support.fake_sets import SetStore
from support.oracle import complaints
from support.settings import mailing, mails
from support.steps import Steps
from zitadel_notification_operator.cluster.records import to_json
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.credentials import AccessToken, Credential
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.errors import (
    ApiMissing,
    NoOrganization,
    ObjectChanged,
    ObjectGone,
    ReadSideBusy,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.events import (
    EventId,
    EventKind,
    ZitadelEvent,
    parse_moment,
)
from zitadel_notification_operator.core.identity import Capabilities, Identity, User
from zitadel_notification_operator.core.instance_object import (
    Endpoint,
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.kinds import POLICY, SET, Kind, ObjectKey
from zitadel_notification_operator.core.objects import (
    FINALIZER,
    ObjectList,
    Own,
    OwnObject,
    OwnStatus,
)
from zitadel_notification_operator.core.original import Original
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Organization,
    OrganizationPage,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.set_object import SetObject, SetStatus
from zitadel_notification_operator.core.settings import Settings
from zitadel_notification_operator.engine.ports import Notice, PolicyClient

Answer = TypeVar("Answer")
OURSELVES = User("u-1", "gitops")
OTHERS = User("u-2", "Somebody")
_OF_ORGANIZATIONS = {EventKind.ORGANIZATION, EventKind.ORGANIZATION_REMOVED}


class FakeCluster(SetStore):
    """A Kubernetes in memory; implements the ports for reads, writes and Secrets."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(steps)
        self.steps = steps
        self.instances: dict[str, InstanceObject] = {}
        self.secrets: dict[str, dict[str, bytes]] = {}
        self.config_maps: dict[str, dict[str, bytes]] = {}
        self.crds_ending: set[Kind] = set()

    def put_instance(self, instance: InstanceObject) -> InstanceObject:
        """Store an instance as a user would."""
        self.version += 1
        stored = replace(instance, resource_version=str(self.version))
        self.instances[instance.name] = stored
        return stored

    def _judge(self, stored: OwnObject, status: Any) -> None:
        """Check a status against Flux's rules; `Harness.stop` reports violations."""
        suspended = isinstance(stored, PolicyObject) and stored.suspended
        metadata: dict[str, Any] = {"generation": stored.generation}
        if stored.deleting:
            metadata["deletionTimestamp"] = "-"
        body = {
            "metadata": metadata,
            "spec": {"suspend": suspended},
            "status": status,
        }
        self.complaints += complaints(body)

    def _stored(self, policy: PolicyObject) -> PolicyObject:
        stored = self.policies.get(policy.key)
        if stored is None or stored.uid != policy.uid:
            raise ObjectGone(str(policy.key))
        return stored

    async def apply_status(self, about: Own, status: OwnStatus) -> Own:
        """Each kind has a method of its own, which a test may replace."""
        if isinstance(about, PolicyObject):
            assert isinstance(status, PolicyStatus)
            return _like(about, await self.apply_policy_status(about, status))
        if isinstance(about, SetObject):
            assert isinstance(status, SetStatus)
            return _like(about, await self.apply_set_status(about, status))
        assert isinstance(about, InstanceObject)
        assert isinstance(status, InstanceStatus)
        return _like(about, await self.apply_instance_status(about, status))

    async def apply_marks(
        self, about: Own, *, original: str | None = None, finalizer: bool
    ) -> Own:
        if isinstance(about, PolicyObject):
            assert original is not None
            stored = await self.apply_original(about, original, finalizer=finalizer)
            return _like(about, stored)
        if isinstance(about, SetObject):
            return _like(about, await self.hold_set(about))
        assert isinstance(about, InstanceObject)
        return _like(about, await self.hold_instance(about))

    async def strip(self, about: Own, *, finalizer: bool, original: bool) -> Own | None:
        if isinstance(about, PolicyObject):
            left = await self.strip_policy(
                about, finalizer=finalizer, original=original
            )
            return None if left is None else _like(about, left)
        if isinstance(about, SetObject):
            rest = await self.release_set(about)
            return None if rest is None else _like(about, rest)
        assert isinstance(about, InstanceObject)
        kept = await self.release_instance(about)
        return None if kept is None else _like(about, kept)

    async def list_objects(self, kind: Kind, known: Iterable[OwnObject]) -> ObjectList:
        if kind is POLICY:
            return await self.list_policies(known)
        if kind is SET:
            return ObjectList(list(self.sets.values()), version=str(self.version))
        return await self.list_instances()

    async def read(self, kind: Kind, key: ObjectKey) -> OwnObject | None:
        if kind is POLICY:
            return await self.read_policy(*key)
        if kind is SET:
            return self.sets.get(key)
        return await self.read_instance(key.name)

    async def apply_policy_status(
        self, policy: PolicyObject, status: PolicyStatus
    ) -> PolicyObject:
        def effect() -> PolicyObject:
            _require_not_older(self._stored(policy), policy)
            stored = self.put(replace(self._stored(policy), status=status))
            self._judge(stored, to_json(status))
            return stored

        return self.steps.step(effect, "status", str(policy.key))

    async def apply_original(
        self, policy: PolicyObject, original: str, *, finalizer: bool
    ) -> PolicyObject:
        def effect() -> PolicyObject:
            stored = self._stored(policy)
            held = stored.finalizers
            if finalizer and FINALIZER not in held:
                held = (*held, FINALIZER)
            parsed = Original.from_text(original)
            return self.put(
                replace(
                    stored, original=parsed, original_text=original, finalizers=held
                )
            )

        return self.steps.step(effect, "original", str(policy.key))

    async def strip_policy(
        self, policy: PolicyObject, *, finalizer: bool, original: bool
    ) -> PolicyObject | None:
        def effect() -> PolicyObject | None:
            stored = self._stored(policy)
            if finalizer:
                left = tuple(f for f in stored.finalizers if f != FINALIZER)
                stored = replace(stored, finalizers=left)
            if original:
                stored = replace(stored, original=None, original_text=None)
            self.put(stored)
            return self.policies.get(policy.key)

        return self.steps.step(effect, "strip", str(policy.key))

    async def apply_instance_status(
        self, instance: InstanceObject, status: InstanceStatus
    ) -> InstanceObject:
        def effect() -> InstanceObject:
            known = self.instances.get(instance.name)
            if known is None or known.uid != instance.uid:
                raise ObjectGone(instance.name)
            changes = status.served_by != instance.status.served_by
            is_same = instance.resource_version in {"", known.resource_version}
            if changes and not is_same:
                raise ObjectChanged("it has changed since it was read")
            if instance.status.served_by != known.status.served_by:
                raise ObjectChanged("another operator serves it")
            _require_not_older(known, instance)
            stored = self.put_instance(replace(known, status=status))
            self._judge(stored, to_json(status))
            return stored

        return self.steps.step(effect, "status", instance.name)

    async def hold_instance(self, instance: InstanceObject) -> InstanceObject:
        def effect() -> InstanceObject:
            stored = self.instances[instance.name]
            return self.put_instance(replace(stored, finalizers=(FINALIZER,)))

        return self.steps.step(effect, "hold", instance.name)

    async def release_instance(self, instance: InstanceObject) -> InstanceObject | None:
        self.steps.step(
            lambda: self.instances.pop(instance.name), "release", instance.name
        )
        return None

    async def list_policies(self, known: Iterable[OwnObject]) -> ObjectList:
        found: list[OwnObject] = list(self.policies.values())
        return ObjectList(found, version=str(self.version))

    async def list_instances(self) -> ObjectList:
        found: list[OwnObject] = list(self.instances.values())
        return ObjectList(found, version=str(self.version))

    async def read_policy(self, namespace: str, name: str) -> PolicyObject | None:
        return self.policies.get(PolicyKey(namespace, name))

    async def read_instance(self, name: str) -> InstanceObject | None:
        return self.instances.get(name)

    async def crd_is_ending(self, kind: Kind) -> bool:
        """Return whether the test has deleted the CRD; each call is a step."""
        return self.steps.step(lambda: kind in self.crds_ending, "crd", kind.name)

    async def read_secret(self, name: str) -> dict[str, bytes] | None:
        return self.secrets.get(name)

    async def read_config_map(self, name: str) -> dict[str, bytes] | None:
        return self.config_maps.get(name)


def _like(asked: Own, stored: OwnObject) -> Own:
    """Return what is stored as an object of the kind that was asked for."""
    assert isinstance(stored, type(asked))
    return stored


def _require_not_older(stored: OwnObject, known: OwnObject) -> None:
    """Refuse a status that was computed from a version newer than the stored one."""
    version = known.resource_version
    if version and int(stored.resource_version) < int(version):
        raise ObjectChanged("it is older than what was known")


class FakeZitadel:
    """A ZITADEL in memory, with an instance policy and policies of organizations.

    Attributes:
        default: The instance's policy as GETs show it, or None if there is none.
        flags: The members of a policy besides `passwordChange`, by organization; ""
            stands for the instance. A write replaces all of them.
        own: The own policies as GETs show them, by organization.
        lost: The value in the event log where the read side has missed an event, by
            organization; None means that there is no own policy.
        to_lose: Kind and organization of the events that the read side will miss.
        stopped: Whether the read side projects no event at all.
        failure: What every call raises; an error that is not one of the operator's
            stands for a defect.
        unready_until: The loop time until which GETs of policies fail, because ZITADEL
            retries an insert.
        reads_instance: Whether the credential may read the instance. If not, ZITADEL's
            id is taken from a GET of the default policy.
    """

    def __init__(self, steps: Steps, zitadel_id: str = "z") -> None:
        self.steps = steps
        self.id = zitadel_id
        self.default: bool | None = True
        self.own: dict[str, bool] = {}
        self.flags: dict[str, dict[str, object]] = {"": {}}
        self.failure: Exception | None = None
        self.home = "home"
        self.removed: set[str] = set()
        self.elsewhere: dict[str, FakeZitadel] = {}
        self.names: dict[str, str] = {}
        self.domains: dict[str, str] = {}
        self.capabilities = Capabilities(True, True, True)
        self.accepted = "token"
        self.token = ""
        self.roots: str | None = None
        self.turn = asyncio.Event()
        self.turn.set()
        self.sequence = 1
        self.events_log: list[ZitadelEvent] = []
        self.began = datetime(2026, 1, 1, tzinfo=UTC)
        self._sequences: dict[str, int] = {}
        self._shown_sequences: dict[str, int] = {}
        self.lost: dict[str, bool | None] = {}
        self.to_lose: list[tuple[str, str]] = []
        self.stopped = False
        self.unready_until = 0.0
        self.reads_instance = True
        # The names of calls that this ZITADEL does not have: they fail with HTTP 404.
        self.lacks: set[str] = set()
        self.version = "v4.7.0"
        self.deprecated: Deprecation | None = None

    def connect(
        self,
        instance: str,
        endpoint: Endpoint,
        credential: Credential,
        roots: str | None,
    ) -> PolicyClient:
        there = self.elsewhere.get(endpoint.url, self)
        assert isinstance(credential, AccessToken)
        there.token, there.roots = credential.token, roots
        return there

    def guarded(self, check: Callable[[], None]) -> "Guarded":
        return Guarded(self, check)

    async def disconnect(self, instance: str) -> None:
        return None

    def writes(self) -> list[tuple[str, ...]]:
        """Return the writes so far."""
        return [s for s in self.steps.log if s[0] in {"Create", "Update", "Reset"}]

    async def deprecation(self) -> Deprecation | None:
        return self.deprecated

    async def identify(self) -> Identity:
        def effect() -> Identity:
            if not self.reads_instance:
                self._require_readable()
            return Identity(self.id, self.version, OURSELVES, self.capabilities)

        return self._call(effect, "identify")

    async def authenticate(self) -> None:
        self._call(lambda: None, "authenticate")

    async def organizations(self, offset: int, limit: int) -> OrganizationPage:
        def effect() -> OrganizationPage:
            rows = sorted(self.names, key=self.names.__getitem__)
            return OrganizationPage(
                tuple(self._shown(org) for org in rows[offset : offset + limit]),
                len(rows) if offset < len(rows) else 0,
            )

        return self._call(effect, "list", str(offset))

    async def search(self, reference: Reference) -> Organization | None:
        def effect() -> Organization | None:
            if reference.by is By.DOMAIN:
                org = self.domains.get(reference.value)
                return self._shown(org) if org in self.names else None
            found = [
                org
                for org, name in self.names.items()
                if name.lower() == reference.value.lower()
            ]
            return self._shown(found[0]) if found else None

        return self._call(effect, "search", reference.value)

    async def events(self, since: str | None, limit: int) -> list[ZitadelEvent]:
        def effect() -> list[ZitadelEvent]:
            found = [
                event
                for event in self.visible()
                if since is None or parse_moment(event.time) > parse_moment(since)
            ]
            return found[:limit]

        return self._call(effect, "events")

    async def newest_event(self) -> ZitadelEvent | None:
        def effect() -> ZitadelEvent | None:
            visible = self.visible()
            return visible[-1] if visible else None

        return self._call(effect, "newest event")

    async def last_policy_event(
        self, organization_id: str | None
    ) -> ZitadelEvent | None:
        """Return the newest event of a policy, by its sequence.

        ZITADEL sorts by sequence, too, if the search is for one aggregate. What happens
        to an organization itself is no event of a policy.
        """

        def effect() -> ZitadelEvent | None:
            aggregate = organization_id or self.id
            found = [
                event
                for event in self.events_log
                if event.id.aggregate == aggregate
                and event.kind not in _OF_ORGANIZATIONS
            ]
            return max(found, key=lambda event: event.id.sequence, default=None)

        return self._call(effect, "last policy event", organization_id or "")

    async def has_events(self) -> bool:
        """Return True: there are always events of other kinds."""
        return self._call(lambda: True, "any event")

    def visible(self) -> list[ZitadelEvent]:
        """Return the events that a search finds now, oldest first."""
        return self.events_log

    def change(self, org: str, value: bool | None, editor: User = OTHERS) -> int:
        """Change a policy as a user, or remove it (None); return the sequence.

        The flags stay as they are; a new policy has those that it inherited.
        """
        self.sequence += 1
        aggregate = org or self.id
        if value is None:
            assert org
            self.flags.pop(org, None)
        else:
            self.flags[org] = self.flags_of(org)
        before = self.written(org)
        self._sequences[aggregate] = self.sequence
        self._project(org, before, value)
        kind = EventKind.ORGANIZATION_POLICY if org else EventKind.INSTANCE_POLICY
        if value is None:
            kind = EventKind.ORGANIZATION_POLICY_REMOVED
        self.happen(aggregate, kind, editor)
        return self.sequence

    def written(self, org: str) -> bool | None:
        """Return the value in the event log; None means that there is no own policy."""
        if org in self.lost:
            return self.lost[org]
        return self.own.get(org) if org else self.default

    def _project(self, org: str, before: bool | None, value: bool | None) -> None:
        """Let the read side project an event or miss it.

        Args:
            org: The organization, or "" for the instance.
            before: The value in the event log before the event.
            value: The value after it.
        """
        kind = "added" if before is None else "removed" if value is None else "changed"
        has_row = org in self.own if org else self.default is not None
        missed = self.stopped or (kind, org) in self.to_lose
        if not self.stopped and missed:
            self.to_lose.remove((kind, org))
        if kind == "added" and has_row and not missed:
            # The insert fails until ZITADEL gives up on the event.
            self.unready_until = asyncio.get_running_loop().time() + 5
            missed = True
        if missed or (kind == "changed" and not has_row):
            self.lost[org] = value
            return
        self.lost.pop(org, None)
        self._shown_sequences[org or self.id] = self.sequence
        if value is None:
            self.own.pop(org, None)
        elif org:
            self.own[org] = value
        else:
            self.default = value

    def show(self, org: str, sequence: int) -> None:
        """Let GETs show a sequence, as if events up to it had not changed the value."""
        self._shown_sequences[org or self.id] = sequence

    def backup(self) -> dict[str, Any]:
        """Return a copy of all that a backup of the database holds of policies."""
        names = ("sequence", "own", "events_log", "_sequences", "_shown_sequences")
        return deepcopy({name: getattr(self, name) for name in names})

    def restore(self, backup: dict[str, Any]) -> None:
        """Go back to the state of a backup."""
        for name, value in deepcopy(backup).items():
            setattr(self, name, value)

    def catch_up(self) -> None:
        """Let a stopped read side project the events that it has missed."""
        self.stopped = False
        for org, value in self.lost.items():
            if value is None:
                self.own.pop(org, None)
            elif org:
                self.own[org] = value
            else:
                self.default = value
        self.lost = {}
        self._shown_sequences |= self._sequences

    def organization_changed(self, org: str) -> None:
        """Write an event about an organization itself: it was added or changed."""
        self.sequence += 1
        self._sequences[org] = self.sequence
        self.happen(org, EventKind.ORGANIZATION, OTHERS)

    def change_flags(self, org: str, editor: User = OTHERS, **flags: object) -> None:
        """Change flags of an own policy or of the instance's policy as a user."""
        assert not org or org in self.own
        self.flags[org] = {**self.flags_of(org), **flags}
        self.change(org, self.own[org] if org else self.default is True, editor)

    def flags_of(self, org: str) -> dict[str, object]:
        """Return the flags in force, whether own or inherited."""
        return dict(self.flags.get(org if org in self.own else "", {}))

    def remove(self, org: str, editor: User = OTHERS) -> None:
        """Remove an organization as a user."""
        self.sequence += 1
        self.removed.add(org)
        self.names.pop(org, None)
        self.own.pop(org, None)
        self.lost.pop(org, None)
        self.flags.pop(org, None)
        self._sequences[org] = self.sequence
        self.happen(org, EventKind.ORGANIZATION_REMOVED, editor)

    def happen(self, aggregate: str, kind: EventKind, editor: User) -> None:
        """Append an event; ZITADEL's clock is an hour ahead of the operator's."""
        seconds = asyncio.get_running_loop().time() + 3600
        moment = self.began + timedelta(seconds=seconds, microseconds=self.sequence)
        time = f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
        id_ = EventId(aggregate, self._sequences[aggregate])
        self.events_log.append(ZitadelEvent(id_, kind, time, editor))

    def _shown(self, org: str) -> Organization:
        domains = [domain for domain, owner in self.domains.items() if owner == org]
        return Organization(org, self.names[org], domains[0] if domains else "")

    async def organization(self, organization_id: str | None) -> Organization:
        org = organization_id or self.home

        def effect() -> Organization:
            if org in self.removed:
                raise NoOrganization(f"{org} is removed")
            return Organization(org, self.names.get(org, f"name of {org}"))

        return self._call(effect, "organization")

    async def observe(self, organization_id: str | None) -> ObservedPolicy | None:
        def effect() -> ObservedPolicy | None:
            self._require_readable()
            org = organization_id or ""
            own = org in self.own
            if not own and self.default is None:
                return None
            owner = org if own else self.id
            return ObservedPolicy(
                is_default=not own,
                settings=mails(self.own[org] if own else self.default is True),
                sequence=str(self._shown_sequences.get(owner, 1)),
                resource_owner=owner,
                unknown_members=self.flags_of(org),
            )

        return self._call(effect, "observe", organization_id or "")

    async def write(
        self,
        organization_id: str | None,
        action: Action,
        *,
        settings: Settings,
        before: ObservedPolicy | None = None,
    ) -> WriteResult:
        def effect() -> WriteResult:
            org = organization_id or ""
            flags = dict(before.unknown_members) if before else {}
            value = mailing(settings) is True
            now = self.written(org)
            if action is Action.CREATE and now is not None:
                return WriteResult(WriteOutcome.ALREADY_EXISTS)
            if action is Action.UPDATE and now is None:
                return WriteResult(WriteOutcome.NOT_FOUND)
            same = (now, self.flags_of(org)) == (value, flags)
            if action is Action.UPDATE and same:
                return WriteResult(WriteOutcome.NOT_CHANGED)
            sequence = self.change(org, value, OURSELVES)
            self.flags[org] = flags
            return WriteResult(
                WriteOutcome.WRITTEN, str(sequence), resource_owner=org or self.id
            )

        return self._call(effect, str(action), organization_id or "")

    async def reset(self, organization_id: str) -> WriteResult:
        def effect() -> WriteResult:
            if self.written(organization_id) is None:
                return WriteResult(WriteOutcome.NOT_FOUND)
            sequence = self.change(organization_id, None, OURSELVES)
            return WriteResult(
                WriteOutcome.WRITTEN, str(sequence), resource_owner=organization_id
            )

        return self._call(effect, "Reset", organization_id)

    def _require_readable(self) -> None:
        if asyncio.get_running_loop().time() < self.unready_until:
            raise ReadSideBusy("GET was answered with HTTP 500")

    def _call(self, effect: Callable[[], Answer], *what: str) -> Answer:
        def guarded() -> Answer:
            if self.failure is not None:
                raise self.failure
            if what[0] in self.lacks:
                failure = TransientError(Reason.UNEXPECTED_ANSWER, "no such call")
                raise ApiMissing(failure, f"{what[0]} was answered with HTTP 404")
            if self.token != self.accepted:
                raise TerminalError(Reason.CREDENTIALS_REJECTED, "refused")
            return effect()

        return self.steps.step(guarded, *what)


class TurnedClient(PolicyClient, Protocol):
    """A client whose calls may have to wait.

    Attributes:
        turn: Is set while calls need not wait.
    """

    turn: asyncio.Event


class Guarded:
    """A client that runs checks before each call, as `guarded` of the port asks.

    The calls of a pass also wait until the test sets `FakeZitadel.turn`.
    """

    def __init__(self, zitadel: TurnedClient, *checks: Callable[[], None]) -> None:
        self._zitadel = zitadel
        self._checks = checks

    def guarded(self, check: Callable[[], None]) -> "Guarded":
        return Guarded(self._zitadel, *self._checks, check)

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            # The first check is that of the lease, which every call has.
            if len(self._checks) > 1:
                await self._zitadel.turn.wait()
            for check in self._checks:
                check()
            return await getattr(self._zitadel, name)(*args, **kwargs)

        return call


class FakeRecorder:
    """Keeps the Events that were recorded."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def record(self, about: OwnObject, notice: Notice) -> None:
        self.notices.append((about.name, notice.reason))
        self.notes.append(notice.note)
