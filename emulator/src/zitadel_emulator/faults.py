"""Misbehavior on demand, as a proxy, a network or a broken server would cause it."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

_LOWEST_STATUS, _HIGHEST_STATUS = 200, 599


class BadControl(Exception):
    """An invalid request to the control path; the text names the wrong field."""


@dataclass(slots=True)
class Fault:
    """One fault, and the requests that it affects.

    Attributes:
        method: A verb; None matches all.
        path: A regular expression for the start of the path; None matches all.
        organization: The value of x-zitadel-orgid; None matches all.
        status: Answer with this status instead of ZITADEL's.
        headers: Add these headers to the answer, whether it is ZITADEL's or not.
        body: Answer with this text instead of ZITADEL's.
        reset: Close the connection without an answer.
        hang: Never answer. The request ends when the client disconnects, the emulator
            stops or the time limit of the call has passed (see `deadlines`).
        latency: Wait for this many seconds first.
        drip: Send the body byte by byte, with this many seconds in between.
        truncate: Send only this many bytes of the body, then close the connection.
        times: How many requests it affects; None means all until it is cleared.
        after: Let ZITADEL perform the call first, then misbehave.
    """

    method: str | None = None
    path: str | None = None
    organization: str | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    reset: bool = False
    hang: bool = False
    latency: float = 0.0
    drip: float = 0.0
    truncate: int | None = None
    times: int | None = None
    after: bool = False

    @property
    def replaces(self) -> bool:
        """Whether another answer replaces ZITADEL's own."""
        return self.status is not None or self.body is not None

    @property
    def is_silent(self) -> bool:
        """Whether no answer is sent at all."""
        return self.reset or self.hang

    @property
    def keeps_call(self) -> bool:
        """Whether ZITADEL still performs the call."""
        return self.after or not (self.replaces or self.is_silent)

    @property
    def delay(self) -> float:
        """How many seconds pass before ZITADEL performs the call.

        A `hang` without `after` is an infinite delay. With `after` it is none, because
        ZITADEL performs the call at once and only the answer is lost.
        """
        return math.inf if self.hang and not self.after else self.latency

    def matches(self, method: str, path: str, organization: str) -> bool:
        """Return whether this fault affects a request."""
        return (
            self.method in {None, method}
            and (self.path is None or re.match(self.path, path) is not None)
            and self.organization in {None, organization}
        )


class Faults:
    """The active faults, oldest first; the oldest that matches a request is used."""

    def __init__(self) -> None:
        """Start without faults."""
        self.active: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Activate a fault and return it."""
        self.active.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        self.active.clear()

    def take(self, method: str, path: str, organization: str) -> Fault | None:
        """Return the fault that affects a request, or None, and use it up by one.

        A fault that has reached its `times` is removed.
        """
        for fault in self.active:
            if fault.matches(method, path, organization):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.active.remove(fault)
                return fault
        return None


def parse_fault(content: Any) -> Fault:
    """Parse a fault from the JSON of a control call.

    Raises:
        BadControl: A field is unknown or has a wrong value; the text names it.
    """
    if not isinstance(content, dict):
        raise BadControl("a fault must be a JSON object")
    known = [f.name for f in fields(Fault)]
    given = {name: value for name, value in content.items() if value is not None}
    for name, value in given.items():
        if name not in known:
            raise BadControl(f"{name}: unknown; known are {', '.join(known)}")
        is_right, what = _RULES[name]
        if not is_right(value):
            raise BadControl(f"{name}: must be {what}")
    if given.get("reset") and given.get("hang"):
        raise BadControl("hang: cannot be combined with reset")
    if given.get("drip") and "truncate" in given:
        raise BadControl("drip: cannot be combined with truncate")
    return Fault(**given)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any, lowest: int = 0) -> bool:
    # A Python bool is also an int; a JSON true or false is not a number.
    return isinstance(value, int) and not _is_flag(value) and value >= lowest


def _is_positive(value: Any) -> bool:
    return _is_count(value, 1)


def _is_status(value: Any) -> bool:
    return _is_count(value, _LOWEST_STATUS) and value <= _HIGHEST_STATUS


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not _is_flag(value) and value >= 0


def _is_headers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(text, str) and not set(name + text) & {"\r", "\n"}
        for name, text in value.items()
    )


def _is_expression(value: Any) -> bool:
    try:
        re.compile(value)
    except (re.error, TypeError):
        return False
    return _is_text(value)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "method": (_is_text, "a text such as PUT"),
    "path": (_is_expression, "a regular expression for the start of the path"),
    "organization": (_is_text, "an organization's id"),
    "status": (_is_status, f"a number from {_LOWEST_STATUS} to {_HIGHEST_STATUS}"),
    "headers": (_is_headers, "an object of texts of one line"),
    "body": (_is_text, "a text"),
    "reset": (_is_flag, "true or false"),
    "hang": (_is_flag, "true or false"),
    "latency": (_is_seconds, "a number of seconds, not below 0"),
    "drip": (_is_seconds, "a number of seconds, not below 0"),
    "truncate": (_is_count, "a number of bytes, not below 0"),
    "times": (_is_positive, "a number of requests, at least 1"),
    "after": (_is_flag, "true or false"),
}
