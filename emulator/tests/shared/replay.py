"""Replaying recorded exchanges: symbols to ids, and what must be equal.

Equal are: status, the recorded headers, the keys and types of the JSON, booleans,
texts, names, ids, error ids, codes and messages. Times are equal in form and in order,
and the same time is the same time in every answer. Sequences of organizations and users
are equal as numbers; those of the instance grow as the recorded ones do.
"""

import re
from datetime import datetime
from typing import Any

import httpx

from zitadel_emulator.zitadel import (
    CREDENTIAL_ORGANIZATION,
    INSTANCE_ID,
    VERSION,
)

SETUP = "2026-11-22T03:41:34.982158Z"
"""The recorded server made all of its first objects in one instant; ours does not."""

FIRST_BY_NAME = "Base"
"""The recording hides the name of the credential's organization, which came first."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}){1,3})?Z")
_AGENT = re.compile(r"(?<=zitadel\.useragent)=[^;]+")
"""A cookie's value by chance."""

_OPAQUE = re.compile(r"<access_token, (\d+) chars, opaque>")
_NAMES = {
    "Root": FIRST_BY_NAME,
    "root.localhost": "base.localhost",
    "root": "emulator",
    "root-2025-10-02": VERSION,
    "root-ytb6ho.localhost": "zitadel-emulator.localhost",
    "root-machine": "emulator-machine",
    "Root Machine": "Emulator Machine",
}
_INSTANCE_SEQUENCES_FROM = 100
"""The recorded instance had a longer set-up: its first write had number 107."""


class Replay:
    """Maps the recording's symbols to the emulator's ids, and its times to new ones."""

    def __init__(self, token: str) -> None:
        """Start with the symbols that are known before the first exchange."""
        self.symbols = {
            "{instance}": INSTANCE_ID,
            "{credentialOrg}": CREDENTIAL_ORGANIZATION,
            "<PAT>": token,
        }
        self.times: dict[str, str] = {}
        self.shift: int | None = None

    def plain(self, text: str) -> str:
        """Replace symbols by the ids that they stand for."""
        for symbol, value in self.symbols.items():
            text = text.replace(symbol, value)
        return text

    def request(self, recorded: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the same request to the emulator."""
        body = recorded["body"]
        return {
            "method": recorded["method"],
            "url": self.plain(recorded["path"]),
            "headers": {k: self.plain(v) for k, v in recorded["headers"].items()},
            "content": None if body is None else self._with_times(self.plain(body)),
        }

    def _with_times(self, text: str) -> str:
        """Replace the times of the recorded server by those of the emulator."""
        return _TIME.sub(lambda found: self.times.get(found[0], found[0]), text)

    def learn(self, recorded: Any, actual: Any) -> None:
        """Record the ids that the emulator gave to new organizations and users."""
        if not isinstance(recorded, dict) or not isinstance(actual, dict):
            return
        for name in ("id", "organizationId", "userId", "tokenId"):
            symbol = recorded.get(name)
            if isinstance(symbol, str) and symbol.startswith("{") and name in actual:
                self.symbols.setdefault(symbol, actual[name])
        for name in ("access_token", "id_token"):
            if isinstance(recorded.get(name), str) and name in actual:
                self.symbols[recorded[name]] = actual[name]

    def difference(self, recorded: dict[str, Any], response: httpx.Response) -> str:
        """Return how a response differs from the recorded one, or ""."""
        if recorded["status"] != response.status_code:
            return f"status: {recorded['status']} != {response.status_code}"
        for name, value in recorded["headers"].items():
            actual = response.headers.get(name, "")
            if _AGENT.sub("=", actual) != _AGENT.sub("=", value):
                return f"{name}: {value!r} != {actual!r}"
        body = recorded["body"]
        if body is None:
            return f"unexpected body {response.text!r}" if response.content else ""
        if found := _tokens_differ(body, response):
            return found
        is_json = recorded["headers"]["Content-Type"] == "application/json"
        content = response.json() if is_json else response.text
        return self._compare(body, content, "body")

    def _compare(self, recorded: Any, actual: Any, where: str) -> str:
        if type(recorded) is not type(actual):
            return f"{where}: {recorded!r} != {actual!r}"
        if isinstance(recorded, dict):
            return self._compare_objects(recorded, actual, where)
        if isinstance(recorded, list):
            if len(recorded) != len(actual):
                return f"{where}: {len(recorded)} items != {len(actual)}"
            pairs = zip(recorded, actual, strict=True)
            found = (self._compare(r, a, f"{where}[]") for r, a in pairs)
            return next(filter(None, found), "")
        if isinstance(recorded, str) and _TIME.fullmatch(recorded):
            return self._compare_times(recorded, actual, where)
        if isinstance(recorded, str):
            # The port of the unavailable database is not part of the contract.
            recorded = _NAMES.get(recorded, self.plain(recorded)).replace(
                "5544", "5432"
            )
        return "" if recorded == actual else f"{where}: {recorded!r} != {actual!r}"

    def _compare_objects(
        self, recorded: dict[str, Any], actual: dict[str, Any], where: str
    ) -> str:
        if recorded.keys() != actual.keys():
            return f"{where}: keys {sorted(recorded)} != {sorted(actual)}"
        for key, value in recorded.items():
            if key == "sequence":
                found = self._compare_sequences(recorded, actual, where)
            else:
                found = self._compare(value, actual[key], f"{where}.{key}")
            if found:
                return found
        return ""

    def _compare_sequences(
        self, recorded: dict[str, Any], actual: dict[str, Any], where: str
    ) -> str:
        if not (isinstance(actual["sequence"], str) and actual["sequence"].isdigit()):
            return f"{where}.sequence: {actual['sequence']!r} is no number in a text"
        was, now = int(recorded["sequence"]), int(actual["sequence"])
        # An event has the owner in its aggregate, everything else has it beside.
        owner = recorded.get("aggregate", recorded)["resourceOwner"]
        if owner == "{credentialOrg}":
            return ""  # the recorded server had a human administrator, too
        if owner == "{instance}":
            if was < _INSTANCE_SEQUENCES_FROM:
                return ""
            self.shift = was - now if self.shift is None else self.shift
            was -= self.shift
        return "" if was == now else f"{where}.sequence: {was} != {now}"

    def _compare_times(self, recorded: str, actual: str, where: str) -> str:
        if not _TIME.fullmatch(actual):
            return f"{where}: {actual!r} is no time"
        if recorded == SETUP:
            return ""
        known = self.times.setdefault(recorded, actual)
        return (
            "" if known == actual else f"{where}: {recorded} was {known}, now {actual}"
        )

    def times_are_in_order(self) -> bool:
        """Return whether times follow each other as in the recording."""
        ours = [datetime.fromisoformat(self.times[was]) for was in sorted(self.times)]
        return ours == sorted(ours) and len(set(ours)) == len(ours)


def _tokens_differ(recorded: Any, response: httpx.Response) -> str:
    """Return how the form of a token differs; its text is random."""
    text = recorded.get("access_token", "") if isinstance(recorded, dict) else ""
    if found := _OPAQUE.fullmatch(text):
        actual = response.json().get("access_token", "")
        if len(actual) != int(found[1]) or "." in actual:
            return f"access_token: {actual!r} is not {text}"
    return ""
