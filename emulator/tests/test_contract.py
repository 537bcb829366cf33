"""The emulator gives the responses of a real ZITADEL (recorded exchanges)."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from shared.api import assertion
from shared.replay import FIRST_BY_NAME, Replay
from zitadel_emulator.directory import Page
from zitadel_emulator.server import (
    Emulator,
    new_emulator,
    serve,
)
from zitadel_emulator.zitadel import CREDENTIAL_ORGANIZATION

RECORDING = Path(__file__).parent / "data" / "zitadel-exchanges.json"
EXCHANGES: list[dict[str, Any]] = json.loads(RECORDING.read_text())["exchanges"]
COUNT = 161

EXCEPTIONS: dict[int, str] = {}
"""What does not match yet, and why; nothing at present."""

ISSUER = "http://localhost:8084"
ASSERTIONS: dict[int, dict[str, Any]] = {
    149: {},
    152: {},
    154: {"iat": -7200, "exp": -3600},
    155: {"exp": 7200},
    156: {"iat": 600, "exp": 1200},
    157: {"aud": "http://nosuch.example"},
    159: {"aud": ISSUER + "/"},
    161: {"kid": "1"},
    162: {"sub": "1"},
}
"""What each recorded assertion was, other than good."""

FIRST_WITHOUT_DATABASE, FIRST_AFTER_IT = 192, 200


class Operator:
    """Does what is not in the recording: tokens, time, an outage of the database."""

    def __init__(self, emulator: Emulator, client: httpx.AsyncClient) -> None:
        """Work on a running emulator."""
        self.replay = Replay(emulator.token)
        self.later = timedelta(0)
        self._emulator = emulator
        self._client = client
        self._key: dict[str, str] = {}
        self._before: dict[int, Callable[[], Awaitable[None]]] = {
            # The recorded search did not find Org C, which was created just before.
            37: self._search_once,
            38: lambda: self._set_lag(60_000),
            39: lambda: self._set_lag(0),
            117: lambda: self._make_tokens(
                "norole", "orgowner", "orgviewer", "iamviewer"
            ),
            139: lambda: self._make_token("shortlived", "<PAT that expires in 3 s>", 3),
            140: self._wait_for_the_end,
            141: lambda: self._make_tokens("shortlived"),
            146: lambda: self._make_tokens("deactivated"),
            **{n: partial(self._sign, **what) for n, what in ASSERTIONS.items()},
            FIRST_WITHOUT_DATABASE: lambda: self._set_database(down=True),
            FIRST_AFTER_IT: lambda: self._set_database(down=False),
        }

    async def prepare(self, number: int) -> None:
        """Bring the emulator into the state that the recorded server had."""
        if number in self._before:
            await self._before[number]()

    async def _search_once(self) -> None:
        self._emulator.zitadel.directory.search((), Page())

    async def _set_lag(self, milliseconds: int) -> None:
        self._emulator.zitadel.behavior.search_lag_milliseconds = milliseconds

    async def _make_tokens(self, *users: str) -> None:
        for user in users:
            await self._make_token(user, f"<PAT of {user}>")

    async def _make_token(self, user: str, symbol: str, seconds: int = 0) -> None:
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        known = self.replay.symbols
        answer = await self._client.post(
            f"/management/v1/users/{known['{user:' + user + '}']}/pats",
            headers={
                "Host": "localhost",
                "Authorization": f"Bearer {self._emulator.token}",
                "x-zitadel-orgid": known["{orgA}"],
            },
            json={"expirationDate": end.isoformat()} if seconds else {},
        )
        answer.raise_for_status()
        known[symbol] = answer.json()["token"]
        known["{id0}"] = answer.json()["tokenId"]

    async def _sign(self, **what: Any) -> None:
        known, zitadel = self.replay.symbols, self._emulator.zitadel
        user = known["{user:credential}"]
        if not self._key:
            self._key = zitadel.keys.add_key(user)[0].content
        now = zitadel.log.clock()
        sent = {**self._key, "userId": what.get("sub", user)}
        sent["keyId"] = what.get("kid", sent["keyId"])
        known["<JWT assertion>"] = assertion(
            sent,
            what.get("aud", ISSUER),
            now + timedelta(seconds=what.get("iat", -5)),
            timedelta(seconds=what.get("exp", 3600) - what.get("iat", -5)),
        )

    async def _wait_for_the_end(self) -> None:
        self.later = timedelta(seconds=4)

    async def _set_database(self, *, down: bool) -> None:
        self._emulator.zitadel.database_down = down


async def test_every_recorded_exchange_is_matched_or_explained() -> None:
    """Each exchange passes, or is in the list of exceptions."""
    wrong: dict[int, str] = {}
    operator: Operator | None = None

    def clock() -> datetime:
        return datetime.now(UTC) + (operator.later if operator else timedelta(0))

    emulator = new_emulator("canary", organizations=0, clock=clock)
    async with serve(emulator), httpx.AsyncClient(base_url=emulator.url) as client:
        emulator.zitadel.domains = {"localhost"}
        emulator.zitadel.orgs.rename(CREDENTIAL_ORGANIZATION, FIRST_BY_NAME)
        operator = Operator(emulator, client)
        replay = operator.replay
        for exchange in EXCHANGES:
            number, recorded = exchange["n"], exchange["response"]
            await operator.prepare(number)
            user = emulator.zitadel.access.user("canary")
            replay.symbols["{user:credential}"] = user.id if user else ""
            response = await client.request(**replay.request(exchange["request"]))
            if response.is_success and response.content[:1] == b"{":
                replay.learn(recorded["body"], response.json())
            if found := replay.difference(recorded, response):
                wrong[number] = f"{exchange['name']}: {found}"
    assert {n: text for n, text in wrong.items() if n not in EXCEPTIONS} == {}
    assert EXCEPTIONS.keys() - wrong.keys() == set(), (
        "these pass: take them off the list"
    )
    assert replay.times_are_in_order()


def test_exceptions_are_of_this_recording() -> None:
    """The list names recorded exchanges only; the recording is complete."""
    assert len(EXCHANGES) == COUNT
    assert EXCEPTIONS.keys() <= {exchange["n"] for exchange in EXCHANGES}
