"""Carries out what a soak has planned: edits, faults, outages.

Users and the other person of ZITADEL call the servers directly. The operator calls
ZITADEL through a relay and Kubernetes through a proxy, so that both can be cut from it.
Nobody repeats a call that fails: what counts in the end is what Kubernetes holds then.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bench.drifting import POLICY, Stranger
from bench.happenings import Happening, Kind
from bench.load import AT_ONCE, USER_AGENT, Driver, policy_of
from bench.processes import Processes
from support.apiproxy import ApiFault, ApiProxy
from support.relay import Relay
from support.running import OWN_NAMESPACE

ALIVE = 4
"""How many of the policies that are created and deleted are always left."""
LONGEST = 15.0
"""Seconds after which the other person gives a call up. Faults of ZITADEL affect that
person, too, and a call that hangs would hold up the end of the soak."""
SECRET = "zitadel-credentials"
OWNER = "281000000000000001"
"""The emulator's user whose token the operator has."""
ZITADEL_FAULTS: dict[str, dict[str, Any]] = {
    "unavailable": {"status": 503, "times": 20},
    "too many requests": {"status": 429, "headers": {"Retry-After": "2"}, "times": 10},
    "slow": {"latency": 1.5, "times": 20},
    "hung": {"hang": True, "times": 3},
    "reset": {"reset": True, "times": 10},
    "lost answer": {"reset": True, "after": True, "times": 5},
    "broken answer": {"truncate": 10, "times": 5},
    "dripping": {"drip": 0.01, "times": 5},
}
"""What the emulator does to the next calls, by manner."""
_POLICIES = "/notificationpolicies"
KUBERNETES_FAULTS: dict[str, dict[str, Any]] = {
    "internal error": {"status": 500, "times": 10},
    "too many requests": {"status": 429, "headers": {"Retry-After": "1"}, "times": 10},
    # A watch that hangs is quiet, and the operator may take it for that.
    "hung": {"method": "PATCH", "hang": True, "times": 2},
    "reset": {"reset": True, "times": 5},
    "lost answer": {"reset": True, "after": True, "times": 5, "method": "PATCH"},
    "conflict": {"method": "PATCH", "status": 409, "times": 5},
    "slow": {"delay": 1.0, "times": 20},
}
"""What the proxy does to the next calls about policies, by manner."""
_TROUBLES = (aiohttp.ClientError, OSError, RuntimeError, TimeoutError)
"""What a call of a user or of the other person may end with while something is away."""

Restart = Callable[[str], Awaitable[None]]
Work = Callable[[Happening], Awaitable[None]]


@dataclass(slots=True)
class Born:
    """The policies that are created and deleted during a soak.

    Attributes:
        free: The organizations without such a policy, that of the next one first.
        alive: Name and organization of those that may exist, oldest first.
        reset: The organizations of deleted ones that the operator had managed. Nobody
            resets what the operator has never seen.
        count: The number of those that were created.
    """

    free: deque[str]
    alive: deque[tuple[str, str]] = field(default_factory=deque)
    reset: set[str] = field(default_factory=set)
    count: int = 0


@dataclass
class Stage:
    """What takes part in a soak, besides the operator.

    Attributes:
        processes: The processes.
        proxy: Through it the operator reaches Kubernetes.
        relay: Through it the operator reaches ZITADEL.
        driver: Makes the calls of users to Kubernetes.
        zitadel: The session of the other person with ZITADEL.
        born: The policies that are created and deleted.
        turn: Held while the API server is away or the operator starts. An operator that
            is started without an API server ends, as Kubernetes expects, and a soak
            would measure only how often that happens.
        counts: How often each kind happened, and how many calls of users failed.
    """

    processes: Processes
    proxy: ApiProxy
    relay: Relay
    driver: Driver
    zitadel: aiohttp.ClientSession
    born: Born
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    counts: Counter[str] = field(default_factory=Counter)

    async def act(self, happening: Happening, restart: Restart) -> None:
        """Carry out one happening.

        Args:
            happening: The happening.
            restart: Restarts the operator by a signal.
        """
        works: dict[Kind, Work] = {
            Kind.EDIT: self._edit_all,
            Kind.FOREIGN: self._edit_all_in_zitadel,
            Kind.CREATE: self._create,
            Kind.DELETE: self._delete,
            Kind.LOSS: self._lose,
            Kind.ZITADEL_FAULT: self._break_zitadel,
            Kind.ZITADEL_AWAY: self._cut_zitadel,
            Kind.KUBERNETES_FAULT: self._break_kubernetes,
            Kind.KUBERNETES_AWAY: self._stop_kubernetes,
            Kind.WATCHES: self._end_watches,
            Kind.SECRET: self._touch_secret,
            Kind.RESTART: lambda happening: restart(happening.manner),
        }
        await works[happening.kind](happening)
        self.counts[happening.kind] += len(happening.changes) or 1

    async def lift(self) -> None:
        """End all faults."""
        self.proxy.faults = []
        self.relay.resume()
        for what in ("faults", "losses"):
            await asyncio.to_thread(self.processes.zitadel, what, "DELETE")

    def organization(self, number: int) -> str:
        """Return the id of the organization of a lively policy."""
        return self.processes.organizations[number]

    async def _edit_all(self, happening: Happening) -> None:
        await asyncio.gather(*map(self._edit, happening.changes))

    async def _edit_all_in_zitadel(self, happening: Happening) -> None:
        await asyncio.gather(*map(self._foreign_edit, happening.changes))

    async def _try(self, call: Awaitable[None]) -> bool:
        """Make a call that may fail; return whether it succeeded."""
        try:
            await call
        except _TROUBLES:
            self.counts["failed"] += 1
            return False
        return True

    async def _edit(self, change: tuple[int, bool]) -> None:
        number, value = change
        name = f"p-{self.organization(number)}"
        await self._try(self.driver.patch(name, {"passwordChange": value}))

    async def _foreign_edit(self, change: tuple[int, bool]) -> None:
        number, value = change
        await self._try(self._put(self.organization(number), value=value))

    async def _put(self, organization: str, *, value: bool) -> None:
        body, of = {"passwordChange": value}, {"x-zitadel-orgid": organization}
        async with self.zitadel.put(POLICY, json=body, headers=of) as answer:
            answer.raise_for_status()

    async def _create(self, _: Happening) -> None:
        born = self.born
        if not born.free:
            return
        organization = born.free.popleft()
        born.count += 1
        body = policy_of(organization, value=bool(born.count % 2))
        # A name of its own, so that what the operator keeps by name would add up.
        name = body["metadata"]["name"] = f"b-{born.count}"
        # A creation whose answer is lost may have been accepted nevertheless.
        born.alive.append((name, organization))
        await self._try(self.driver.create(body))

    async def _delete(self, _: Happening) -> None:
        """Delete the oldest of these policies, but leave some."""
        born = self.born
        if len(born.alive) <= ALIVE:
            return
        name, organization = born.alive.popleft()
        if await self._try(self._delete_one(name, organization)):
            born.free.append(organization)
        else:
            born.alive.append((name, organization))

    async def _delete_one(self, name: str, organization: str) -> None:
        found = await self.driver.policy(name)
        if found is None:
            return  # an earlier call was accepted, and its answer lost
        await self.driver.delete(name)
        if found["metadata"].get("finalizers"):
            self.born.reset.add(organization)

    async def _lose(self, happening: Happening) -> None:
        [change] = happening.changes
        organization = self.organization(change[0])
        await self._control("losses", {"kind": "changed", "organization": organization})
        await self._edit(change)

    async def _control(self, path: str, body: dict[str, Any]) -> None:
        await asyncio.to_thread(self.processes.zitadel, path, "POST", body)

    async def _cut_zitadel(self, happening: Happening) -> None:
        if happening.manner == "refused":
            self.relay.cut()
        else:
            self.relay.hang()
        await asyncio.sleep(happening.seconds)
        self.relay.resume()

    async def _break_zitadel(self, happening: Happening) -> None:
        await self._control("faults", ZITADEL_FAULTS[happening.manner])
        await asyncio.sleep(happening.seconds)
        # The emulator can only clear all of them.
        await asyncio.to_thread(self.processes.zitadel, "faults", "DELETE")

    async def _break_kubernetes(self, happening: Happening) -> None:
        what = {"path": _POLICIES, **KUBERNETES_FAULTS[happening.manner]}
        fault = ApiFault(**what)
        self.proxy.add(fault)
        await asyncio.sleep(happening.seconds)
        self.proxy.faults = [other for other in self.proxy.faults if other is not fault]

    async def _end_watches(self, happening: Happening) -> None:
        end = self.proxy.cut if happening.manner == "cut" else self.proxy.expire
        await asyncio.to_thread(end)

    async def _stop_kubernetes(self, happening: Happening) -> None:
        plane = self.processes.plane
        async with self.turn:
            await asyncio.to_thread(plane.stop_api_server)
            await asyncio.sleep(happening.seconds / 2)
            await asyncio.to_thread(plane.start_api_server)

    async def _touch_secret(self, happening: Happening) -> None:
        self.counts["touches"] += 1
        change: dict[str, Any] = {
            "metadata": {"annotations": {"touched": str(self.counts["touches"])}}
        }
        if happening.manner == "another token":
            made = await asyncio.to_thread(
                self.processes.zitadel,
                *(f"users/{OWNER}/credentials", "POST", {"credential": "token"}),
            )
            change["stringData"] = {"token": made["token"]}
        await self._try(self.driver.patch_secret(OWN_NAMESPACE, SECRET, change))


def session_of(processes: Processes, person: Stranger) -> aiohttp.ClientSession:
    """Return a person's session with ZITADEL, whose calls are not counted."""
    headers = {"Authorization": f"Bearer {person.token}", "User-Agent": USER_AGENT}
    return aiohttp.ClientSession(
        processes.zitadel_url,
        connector=aiohttp.TCPConnector(
            ssl=processes.emulator.tls or True, limit=AT_ONCE
        ),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=LONGEST),
    )


def born_in(organizations: Sequence[str]) -> Born:
    """Return that no policy was created yet in these organizations."""
    return Born(deque(organizations))
