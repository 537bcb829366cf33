"""ZITADELs for random stories: calls take time, may fail, and are judged."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from support.fakes import FakeZitadel
from support.settings import mails
from support.steps import Steps
from zitadel_notification_operator.core.credentials import AccessToken, Credential
from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.references import By, Reference

HANG = 10.0
"""Seconds until a call that hangs times out."""

WRITES = frozenset({"write", "reset"})


@dataclass(frozen=True)
class Outage:
    """A fault of some kinds of calls.

    Attributes:
        error: The error that the adapter raises.
        kinds: The names of the client's methods; empty means all.
        after: The call has its effect, and only its response is lost.
        hangs: The call fails only when it times out.
    """

    error: OperatorError
    kinds: frozenset[str] = frozenset()
    after: bool = False
    hangs: bool = False

    def hits(self, kind: str) -> bool:
        """Return whether calls of this kind fail.

        Deprecations are known from the headers of earlier calls, without a call.
        """
        return kind != "deprecation" and (not self.kinds or kind in self.kinds)


class WorldZitadel(FakeZitadel):
    """A ZITADEL that records what names referred to, and what others have changed."""

    def __init__(self, steps: Steps, zitadel_id: str) -> None:
        super().__init__(steps, zitadel_id)
        self.outage: Outage | None = None
        self.under_way: Counter[str] = Counter()
        self.removed_at: dict[str, float] = {}
        self.foreign: dict[str, float] = {}
        # When GETs changed without an event, and what they had shown before.
        self.caught_up: dict[str, tuple[float, OriginalValue]] = {}
        self._history: list[tuple[float, dict[Reference, str]]] = [(0.0, {})]
        self._shown_as: dict[str, list[Organization]] = {}

    def record_names(self) -> None:
        """Record what names and domains refer to from now on."""
        meanings = {Reference(By.NAME, n): org for org, n in self.names.items()}
        for domain, org in self.domains.items():
            if org in self.names:
                meanings[Reference(By.DOMAIN, domain)] = org
        meanings[Reference(By.CREDENTIAL)] = self.home
        self._history.append((_time(), meanings))
        for org in self.names:
            forms = self._shown_as.setdefault(org, [])
            if self._shown(org) not in forms:
                forms.append(self._shown(org))

    def names_of(self, org: str) -> list[Organization]:
        """Return all forms in which an organization was ever shown."""
        return self._shown_as.get(org, [])

    def meant(self, reference: Reference, seconds: float) -> set[str | None]:
        """Return the organizations that a reference had within the last seconds."""
        if reference.by is By.ID:
            return {reference.value}
        found: set[str | None] = set()
        for since, meanings in reversed(self._history):
            found.add(meanings.get(reference))
            if since <= _time() - seconds:
                break
        return found

    def catch_up(self) -> None:
        """Project the missed events, and record what GETs had shown before."""
        for org in self.lost:
            self.caught_up[org] = _time(), self.value(org or None)
        super().catch_up()

    def caught_up_at(self, org: str | None) -> float:
        """Return when GETs last changed without an event; -inf means never."""
        at, _ = self.caught_up.get(org or "", (float("-inf"), None))
        return at

    def shown_lately(self, org: str | None, seconds: float) -> list[OriginalValue]:
        """Return the values that GETs show, or showed lately, against the event log.

        Args:
            org: The organization; None means the instance.
            seconds: How long the values count that GETs showed before a catch-up.
        """
        found = [self.value(org)] if (org or "") in self.lost else []
        if _time() - self.caught_up_at(org) < seconds:
            found.append(self.caught_up[org or ""][1])
        return found

    def value(self, org: str | None) -> OriginalValue:
        """Return the value that GETs show."""
        if org in self.own:
            return OriginalValue(False, mails(self.own[org]))
        return OriginalValue(True, mails(self.default))


class JudgedClient:
    """The client of one instance object; its calls are checked, judged, and take time.

    Args:
        world: The world, with `judge_call`, `note_call` and the cluster's `latency`.
        zitadel: The ZITADEL that it calls.
        instance: The name of the instance object.
        token: The token of the client.
        checks: Callbacks that run before each call.
    """

    def __init__(
        self,
        world: Any,
        zitadel: WorldZitadel,
        instance: str,
        token: str,
        checks: tuple[Callable[[], None], ...] = (),
    ) -> None:
        self._world, self._zitadel = world, zitadel
        self._instance, self._token = instance, token
        self._checks = checks

    def guarded(self, check: Callable[[], None]) -> "JudgedClient":
        checks = (*self._checks, check)
        return JudgedClient(
            self._world, self._zitadel, self._instance, self._token, checks
        )

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            for check in self._checks:
                check()
            if name not in WRITES:
                return await self._call(name, args, kwargs)
            org = args[0] or ""
            self._world.judge_call(self._zitadel, name, args, kwargs)
            self._zitadel.under_way[org] += 1
            try:
                return await self._call(name, args, kwargs)
            finally:
                self._zitadel.under_way[org] -= 1

        return call

    async def _call(self, name: str, args: Any, kwargs: Any) -> Any:
        zitadel, outage = self._zitadel, self._zitadel.outage
        if outage is not None and not outage.hits(name):
            outage = None
        if outage is not None and outage.hangs:
            await asyncio.sleep(HANG)
        await self._world.cluster.latency()
        zitadel.token = self._token
        zitadel.failure = outage.error if outage and not outage.after else None
        result = await getattr(zitadel, name)(*args, **kwargs)
        self._world.note_call(zitadel, self._instance, name, args, result)
        await self._world.cluster.latency()
        if outage is not None:
            raise outage.error
        return result


class WorldConnector:
    """Connects to the ZITADEL at a URL."""

    def __init__(self, world: Any) -> None:
        self._world = world

    def connect(
        self,
        instance: str,
        endpoint: Endpoint,
        credential: Credential,
        roots: str | None,
    ) -> JudgedClient:
        assert isinstance(credential, AccessToken)
        zitadel = self._world.zitadels[endpoint.url]
        return JudgedClient(self._world, zitadel, instance, credential.token)

    async def disconnect(self, instance: str) -> None:
        return None


def _time() -> float:
    return asyncio.get_running_loop().time()
