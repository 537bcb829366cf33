"""Kubernetes and ZITADEL in memory, behind the engine's ports.

Every outside call is a step that can be counted, and at which the process can be
killed, before its effect or after it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from support.oracle import complaints
from zitadel_notification_operator.cluster.resources import (
    instance_status_json,
    policy_status_json,
)
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.credentials import AccessToken, Credential
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import (
    ObjectGone,
    OperatorError,
    TerminalError,
)
from zitadel_notification_operator.core.events import (
    EventId,
    EventKind,
    ZitadelEvent,
    parse_moment,
)
from zitadel_notification_operator.core.identity import Capabilities, Identity, User
from zitadel_notification_operator.core.objects import (
    FINALIZER,
    Endpoint,
    InstanceObject,
    InstanceStatus,
    PolicyList,
    PolicyObject,
    PolicyStatus,
)
from zitadel_notification_operator.core.original import Original
from zitadel_notification_operator.core.policy import (
    Answer,
    ObservedPolicy,
    Organization,
    OrganizationPage,
    WriteResult,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference

OURSELVES = User("u-1", "gitops")
OTHERS = User("u-2", "Somebody")


class Killed(BaseException):
    """kill -9: nothing of the process runs after it."""


@dataclass
class Steps:
    """Counts outside calls; kills at one of them."""

    log: list[tuple[str, ...]] = field(default_factory=list)
    kill_at: int = -1
    after: bool = False

    def step(self, effect: Callable[[], Any], *what: str) -> Any:
        """Make one outside call."""
        number = len(self.log)
        self.log.append(what)
        if number == self.kill_at and not self.after:
            raise Killed
        result = effect()
        if number == self.kill_at:
            raise Killed
        return result


class FakeCluster:
    """Objects by key; satisfies the writers, the reader and the Secrets."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.policies: dict[PolicyKey, PolicyObject] = {}
        self.instances: dict[str, InstanceObject] = {}
        self.secrets: dict[str, dict[str, bytes]] = {}
        self.config_maps: dict[str, dict[str, bytes]] = {}
        self.complaints: list[str] = []
        self._version = 0

    def put(self, policy: PolicyObject) -> PolicyObject:
        """Store a policy as a user would."""
        self._version += 1
        stored = replace(policy, resource_version=str(self._version))
        self.policies[policy.key] = stored
        if stored.deleting and not stored.finalizers:
            del self.policies[policy.key]
        return stored

    def put_instance(self, instance: InstanceObject) -> InstanceObject:
        """Store an instance as a user would."""
        self._version += 1
        stored = replace(instance, resource_version=str(self._version))
        self.instances[instance.name] = stored
        return stored

    def _judge(self, stored: PolicyObject | InstanceObject, status: Any) -> None:
        """Let Flux's rules judge a status; a test looks at the end."""
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

    async def apply_policy_status(
        self, policy: PolicyObject, status: PolicyStatus
    ) -> PolicyObject:
        def effect() -> PolicyObject:
            stored = self.put(replace(self._stored(policy), status=status))
            self._judge(stored, policy_status_json(status))
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
            stored = self.put_instance(
                replace(self.instances[instance.name], status=status)
            )
            self._judge(stored, instance_status_json(status))
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

    async def list_policies(
        self, known: Mapping[PolicyKey, PolicyObject]
    ) -> PolicyList:
        return PolicyList(list(self.policies.values()))

    async def list_instances(self) -> list[InstanceObject]:
        return list(self.instances.values())

    async def read_policy(self, namespace: str, name: str) -> PolicyObject | None:
        return self.policies.get(PolicyKey(namespace, name))

    async def read_instance(self, name: str) -> InstanceObject | None:
        return self.instances.get(name)

    async def read_secret(self, name: str) -> dict[str, bytes] | None:
        return self.secrets.get(name)

    async def read_config_map(self, name: str) -> dict[str, bytes] | None:
        return self.config_maps.get(name)


class FakeZitadel:
    """One ZITADEL: a default, and own policies by organization."""

    def __init__(self, steps: Steps, zitadel_id: str = "z") -> None:
        self.steps = steps
        self.id = zitadel_id
        self.default = True
        self.own: dict[str, bool] = {}
        self.trouble: OperatorError | None = None
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

    def connect(
        self,
        instance: str,
        endpoint: Endpoint,
        credential: Credential,
        roots: str | None,
    ) -> "FakeZitadel":
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

    async def identify(self) -> Identity:
        def effect() -> Identity:
            return Identity(self.id, "v4.7.0", OURSELVES, self.capabilities)

        return self._call(effect, "identify")

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
        return self._call(lambda: (self.visible() or [None])[-1], "newest event")

    def visible(self) -> list[ZitadelEvent]:
        """Return the events that a search finds now, oldest first."""
        return self.events_log

    def change(self, org: str, value: bool | None, editor: User = OTHERS) -> int:
        """Change a policy as somebody; None removes it; return the sequence."""
        self.sequence += 1
        aggregate = org or self.id
        if not org:
            assert value is not None
            self.default = value
        elif value is None:
            del self.own[org]
        else:
            self.own[org] = value
        self._sequences[aggregate] = self.sequence
        kind = EventKind.ORGANIZATION_POLICY if org else EventKind.INSTANCE_POLICY
        self.happen(aggregate, kind, editor)
        return self.sequence

    def remove(self, org: str, editor: User = OTHERS) -> None:
        """Remove an organization as somebody."""
        self.sequence += 1
        self.removed.add(org)
        self.names.pop(org, None)
        self.own.pop(org, None)
        self._sequences[org] = self.sequence
        self.happen(org, EventKind.ORGANIZATION_REMOVED, editor)

    def happen(self, aggregate: str, kind: EventKind, editor: User) -> None:
        """Write an event; ZITADEL's clock is an hour ahead of ours."""
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
                raise TerminalError(Reason.ORGANIZATION_NOT_FOUND, f"{org} is removed")
            return Organization(org, self.names.get(org, f"name of {org}"))

        return self._call(effect, "organization")

    async def observe(self, organization_id: str | None) -> ObservedPolicy | None:
        def effect() -> ObservedPolicy:
            org = organization_id or ""
            if org in self.own:
                sequence = str(self._sequences.get(org, 1))
                return ObservedPolicy(
                    False, self.own[org], sequence, resource_owner=org
                )
            sequence = str(self._sequences.get(self.id, 1))
            return ObservedPolicy(True, self.default, sequence, resource_owner=self.id)

        return self._call(effect, "observe", organization_id or "")

    async def write(
        self, organization_id: str | None, action: Action, *, password_change: bool
    ) -> WriteResult:
        def effect() -> WriteResult:
            org = organization_id or ""
            if action is Action.CREATE and org in self.own:
                return WriteResult(Answer.ALREADY_EXISTS)
            if action is Action.UPDATE and org and org not in self.own:
                return WriteResult(Answer.NOT_FOUND)
            sequence = self.change(org, password_change, OURSELVES)
            return WriteResult(
                Answer.WRITTEN, str(sequence), resource_owner=org or self.id
            )

        return self._call(effect, str(action), organization_id or "")

    async def reset(self, organization_id: str) -> WriteResult:
        def effect() -> WriteResult:
            if organization_id not in self.own:
                return WriteResult(Answer.NOT_FOUND)
            self.change(organization_id, None, OURSELVES)
            return WriteResult(Answer.WRITTEN)

        return self._call(effect, "Reset", organization_id)

    def _call(self, effect: Callable[[], Any], *what: str) -> Any:
        def guarded() -> Any:
            if self.trouble is not None:
                raise self.trouble
            if self.token != self.accepted:
                raise TerminalError(Reason.CREDENTIALS_REJECTED, "refused")
            return effect()

        return self.steps.step(guarded, *what)


class Guarded:
    """A ZITADEL whose calls are checked; a pass's own wait for their turn before."""

    def __init__(self, zitadel: FakeZitadel, *checks: Callable[[], None]) -> None:
        self._zitadel = zitadel
        self._checks = checks

    def guarded(self, check: Callable[[], None]) -> "Guarded":
        return Guarded(self._zitadel, *self._checks, check)

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            # The first check is the term's, which is there for each call.
            if len(self._checks) > 1:
                await self._zitadel.turn.wait()
            for check in self._checks:
                check()
            return await getattr(self._zitadel, name)(*args, **kwargs)

        return call


class FakeRecorder:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, str]] = []

    def record(self, about: PolicyObject | InstanceObject, notice: Any) -> None:
        name = about.name if isinstance(about, InstanceObject) else about.key.name
        self.notices.append((name, notice.reason))
