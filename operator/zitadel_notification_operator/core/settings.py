"""The settings of a notification policy: which there are, and values for them.

A new setting needs one line in `FLAGS` and a property in the CRDs. Everything else
follows from these: what is read from the objects and from ZITADEL, what is compared,
written, recorded as the original, and said in messages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any


@dataclass(frozen=True, slots=True)
class Flag:
    """A setting that is either on or off.

    Attributes:
        name: The name in spec and status, in the annotation, and in messages.
        zitadel_name: The name in the JSON of ZITADEL's API.
        is_required: Whether each spec has to set it. If a spec leaves out another flag,
            the operator leaves that flag as it is in ZITADEL.
    """

    name: str
    zitadel_name: str
    is_required: bool = False


FLAGS: tuple[Flag, ...] = (
    Flag("passwordChange", zitadel_name="passwordChange", is_required=True),
)
"""All settings. The order is that of messages."""

_NAMES = tuple(flag.name for flag in FLAGS)
_REQUIRED = {flag.name for flag in FLAGS if flag.is_required}
_TYPES = {bool, NoneType}
_WORDS = {True: "true", False: "false", None: "none"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Values for some or all flags.

    Attributes:
        values: The value of each flag, in the order of `FLAGS`. None means that the
            flag is left out.
    """

    values: tuple[bool | None, ...] = (None,) * len(FLAGS)

    @staticmethod
    def of(values: Mapping[str, bool | None]) -> "Settings":
        """Return these values, given by the flags' names; other names are ignored."""
        return _shared(tuple(map(values.get, _NAMES)))

    @staticmethod
    def parse(stored: Mapping[str, Any]) -> "Settings | None":
        """Return the values of an annotation, or None if it is not the operator's.

        A flag that is not required may be younger than the annotation.
        """
        values = tuple(map(stored.get, _NAMES))
        is_ours = stored.keys() >= _REQUIRED and set(map(type, values)) <= _TYPES
        return _shared(values) if is_ours else None

    def by_name(self) -> dict[str, bool | None]:
        """Return the value of each flag by its name, as it is stored in Kubernetes."""
        return {flag.name: value for flag, value in self._pairs()}

    def by_zitadel_name(self) -> dict[str, bool]:
        """Return the values that are set, by the flags' names in ZITADEL's JSON."""
        return {flag.zitadel_name: value for flag, value in self._set()}

    @property
    def is_empty(self) -> bool:
        """Whether all flags are left out."""
        return not self._set()

    def differs_from(self, observed: "Settings") -> bool:
        """Return whether a flag that is set here has another value in `observed`."""
        return self.merged_into(observed) != observed

    def merged_into(self, observed: "Settings") -> "Settings":
        """Return `observed`, overlaid by the flags that are set here."""
        pairs = zip(self.values, observed.values, strict=True)
        return Settings(tuple(old if new is None else new for new, old in pairs))

    def describe(self, verb: str = "") -> str:
        """Describe the flags that are set, as in "passwordChange true".

        Args:
            verb: A word between name and value, such as "is".
        """
        described = ((flag.name, verb, _WORDS[value]) for flag, value in self._set())
        return ", ".join(" ".join(filter(None, words)) for words in described)

    def describe_change(self, before: "Settings", *, inherited: bool) -> str:
        """Describe a change to these values, as in "passwordChange from true to false".

        Only the flags that change are named, or all that are set here if none changes.

        Args:
            before: What was in force. A flag that is left out had no value.
            inherited: Whether the values were inherited from the instance.
        """
        old = before.by_name()
        origin = " (inherited)" if inherited and not before.is_empty else ""
        wanted = self._set()
        changed = [pair for pair in wanted if pair[1] is not old[pair[0].name]]
        return ", ".join(
            f"{flag.name} from {_WORDS[old[flag.name]]}{origin} to {_WORDS[value]}"
            for flag, value in changed or wanted
        )

    def _pairs(self) -> "zip[tuple[Flag, bool | None]]":
        return zip(FLAGS, self.values, strict=True)

    def _set(self) -> list[tuple[Flag, bool]]:
        return [(flag, value) for flag, value in self._pairs() if value is not None]


@cache
def _shared(values: tuple[bool | None, ...]) -> Settings:
    # There are few, and each policy has several of them.
    return Settings(values)


NO_SETTINGS = Settings()
"""All flags are left out."""
