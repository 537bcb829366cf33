"""Misbehaviour on demand: what a proxy, a network or a broken server would do."""

import re
from dataclasses import dataclass, field
from typing import Any

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "method": str,
    "path": str,
    "organization": str,
    "status": int,
    "headers": dict,
    "body": str,
    "reset": bool,
    "hang": bool,
    "latency": (int, float),
    "truncate": int,
    "times": int,
    "after": bool,
}


@dataclass(slots=True)
class Fault:
    """One fault, and which requests it befalls.

    Attributes:
        method: A verb; None matches all.
        path: A regular expression for the start of the path; None matches all.
        organization: The value of x-zitadel-orgid; None matches all.
        status: Answer with this status instead of ZITADEL's.
        headers: Answer with these headers, with `status` or without.
        body: Answer with this text instead of ZITADEL's.
        reset: Cut the connection without an answer.
        hang: Never answer; ends when the client goes away.
        latency: Wait so many seconds first.
        truncate: Send only so many bytes of the body, then cut the connection.
        times: For how many requests; None until cleared.
        after: Let ZITADEL do its work first, then misbehave.
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
    truncate: int | None = None
    times: int | None = None
    after: bool = False

    def befalls(self, method: str, path: str, organization: str) -> bool:
        """Return whether a request is one of its own."""
        return (
            self.method in {None, method}
            and (self.path is None or re.match(self.path, path) is not None)
            and self.organization in {None, organization}
        )


class Faults:
    """The faults in force, oldest first; the first that matches is taken."""

    def __init__(self) -> None:
        self.active: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Put a fault in force and return it."""
        self.active.append(fault)
        return fault

    def clear(self) -> None:
        """End all faults."""
        self.active.clear()

    def take(self, method: str, path: str, organization: str) -> Fault | None:
        """Return the fault of a request, and count it down."""
        for fault in self.active:
            if fault.befalls(method, path, organization):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.active.remove(fault)
                return fault
        return None


def parse_fault(content: Any) -> Fault:
    """Read a fault from the control path's JSON.

    Raises:
        ValueError: A field is unknown or of a wrong type; the text names it.
    """
    if not isinstance(content, dict):
        raise TypeError("a fault must be a JSON object")
    for name, value in content.items():
        if name not in _FIELDS:
            raise ValueError(f"{name}: unknown; known are {', '.join(_FIELDS)}")
        if not isinstance(value, _FIELDS[name]):
            raise TypeError(f"{name}: has the wrong type")
    if isinstance(content.get("path"), str):
        try:
            re.compile(content["path"])
        except re.error as error:
            raise ValueError(f"path: not a regular expression: {error}") from error
    return Fault(**content)
