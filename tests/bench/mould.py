"""Makes policies as the API server stores them, from one that it has stored.

A made-up policy is a real one with other names, ids and times, so it has everything
that the API server and the operator add: defaults, managedFields, finalizer, annotation
and status. `recast` proves that for real ones: cast from the first, with what is their
own, they must be what is stored, byte by byte.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OWN = frozenset(
    {
        *("creationTimestamp", "time", "lastTransitionTime"),
        *("organizationName", "sequence", "creationDate", "changeDate"),
    }
)
"""Members whose values differ from policy to policy, besides ids and names."""

Json = Any
Value = Callable[[str], str]
"""Returns the next value of a member of `OWN`, by its name."""


@dataclass(frozen=True, slots=True)
class Mould:
    """What new policies are cast from.

    Attributes:
        body: A policy, as it is stored.
    """

    body: Json

    @classmethod
    def of(cls, stored: bytes) -> "Mould":
        """Return the mould of a stored policy."""
        return cls(json.loads(stored))

    @property
    def organization(self) -> str:
        """The id of its organization."""
        return organization_of(self.body)

    @property
    def sequence(self) -> str:
        """The sequence in its status."""
        return str(self.body["status"]["sequence"])

    def cast(self, organization: str, uid: str, value: Value) -> bytes:
        """Return another policy as it would be stored.

        Args:
            organization: The id of its organization, which is also in its name.
            uid: Its uid.
            value: Returns its own values, in the order in which they are stored.
        """
        names = {organization_of(self.body): organization, uid_of(self.body): uid}
        return as_stored(_filled(self.body, names, value))

    def recast(self, stored: bytes) -> bytes:
        """Return what `cast` makes with what is a stored policy's own."""
        body = json.loads(stored)
        values = iter(own_values(body))

        def value(member: str) -> str:
            name, found = next(values)
            if name != member:
                raise ValueError(f"{member} is where another policy has {name}")
            return found

        return self.cast(organization_of(body), uid_of(body), value)


def as_stored(body: Json) -> bytes:
    """Encode as the API server does: sorted, without blanks, with a line feed."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{text}\n".encode()


def organization_of(body: Json) -> str:
    """Return the id of a policy's organization."""
    return str(body["spec"]["organization"]["id"])


def uid_of(body: Json) -> str:
    """Return a policy's uid."""
    return str(body["metadata"]["uid"])


def own_values(part: Json, member: str = "") -> list[tuple[str, str]]:
    """Return name and value of all members of `OWN`, in the order of the keys."""
    if isinstance(part, dict):
        return [v for name in sorted(part) for v in own_values(part[name], name)]
    if isinstance(part, list):
        return [v for item in part for v in own_values(item)]
    return [(member, part)] if member in OWN else []


def _filled(part: Json, names: dict[str, str], value: Value, member: str = "") -> Json:
    if isinstance(part, dict):
        return {key: _filled(part[key], names, value, key) for key in sorted(part)}
    if isinstance(part, list):
        return [_filled(item, names, value) for item in part]
    if member in OWN:
        return value(member)
    if isinstance(part, str):
        for old, new in names.items():
            part = part.replace(old, new)
    return part
