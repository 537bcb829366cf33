"""The original: what was in force before the operator first managed the target.

A deletion with deletionPolicy Restore sets this value again. The annotation
`zitadel-notification.dev/original` is stored before the first write to ZITADEL, so that
a crash at any moment cannot lose it (docs/concepts/ownership.md). It contains
only the settings that the operator manages; a restore leaves all others as they are.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from .claims import Target
from .policy import ObservedPolicy
from .settings import NO_SETTINGS, Settings
from .sharing import shared_text


@dataclass(frozen=True, slots=True)
class OriginalValue:
    """What was in force.

    Attributes:
        is_default: Whether it was the instance's policy.
        settings: The values in force. They are empty if there was no policy, and they
            lack the flags that were declared after they were recorded.
    """

    is_default: bool
    settings: Settings = NO_SETTINGS


@dataclass(frozen=True, slots=True)
class Original:
    """The content of the annotation.

    Attributes:
        uid: The uid of the object that recorded it. A copy of that object has another.
        target: The target, identified by ZITADEL's ids.
        value: What was in force for the target.
    """

    uid: str
    target: Target
    value: OriginalValue

    def to_text(self) -> str:
        """Return the annotation's text: JSON with sorted keys."""
        return json.dumps(
            {
                "uid": self.uid,
                "instanceId": self.target.zitadel_id,
                "organizationId": self.target.organization_id,
                "isDefault": self.value.is_default,
                **self.value.settings.by_name(),
            },
            sort_keys=True,
            separators=(",", ":"),
        )

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """Parse an annotation. Return None if the operator did not write this text."""
        try:
            data = json.loads(text)
            uid, zitadel = data["uid"], data["instanceId"]
            organization, is_default = data["organizationId"], data["isDefault"]
            settings = Settings.parse(data)
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        ids = [uid, zitadel] + [organization] * (organization is not None)
        fits = all(map(_is_id, ids)) and isinstance(is_default, bool)
        if not fits or settings is None:
            return None
        shared = organization and shared_text(organization)
        target = Target(shared_text(zitadel), shared)
        return cls(shared_text(uid), target, shared_value(is_default, settings))


@lru_cache(maxsize=64)
def shared_value(is_default: bool, settings: Settings) -> OriginalValue:  # noqa: FBT001 - the record's own order
    """Return one record for all objects that have recorded the same."""
    return OriginalValue(is_default, settings)


def _is_id(value: object) -> bool:
    """Return whether this can be an id; anybody may write an annotation."""
    return isinstance(value, str) and value.isascii() and value.isprintable()


def seen(observed: ObservedPolicy | None) -> OriginalValue:
    """Return the value to record; `observed` is None if the instance had no policy."""
    if observed is None:
        return OriginalValue(is_default=True)
    return OriginalValue(observed.is_default, observed.settings)
