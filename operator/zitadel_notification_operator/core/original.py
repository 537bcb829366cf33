"""The original: what was in force before the operator first managed the target.

A deletion with deletionPolicy Restore sets this value again. The annotation
`zitadel-notification.dev/original` is stored before the first write to ZITADEL, so that
a crash at any moment cannot lose it (design, section 3, "Crash safety"). It contains
only the setting that the operator manages; a restore leaves all others as they are.
"""

import json
from dataclasses import dataclass
from typing import Self

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.policy import ObservedPolicy


@dataclass(frozen=True, slots=True)
class OriginalValue:
    """What was in force; `password_change` is None if there was no policy."""

    is_default: bool
    password_change: bool | None


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

    def belongs_to(self, uid: str, target: Target) -> bool:
        """Return whether this object recorded it for this target. If not, ignore it."""
        return self.uid == uid and self.target == target

    def to_text(self) -> str:
        """Return the annotation's text: JSON with sorted keys."""
        return json.dumps(
            {
                "uid": self.uid,
                "instanceId": self.target.zitadel_id,
                "organizationId": self.target.organization_id,
                "isDefault": self.value.is_default,
                "passwordChange": self.value.password_change,
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
            organization = data["organizationId"]
            is_default, value = data["isDefault"], data["passwordChange"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        fits = (
            isinstance(uid, str)
            and isinstance(zitadel, str)
            and isinstance(organization, str | None)
            and isinstance(is_default, bool)
            and isinstance(value, bool | None)
        )
        if not fits:
            return None
        return cls(uid, Target(zitadel, organization), OriginalValue(is_default, value))


def seen(observed: ObservedPolicy | None) -> OriginalValue:
    """Return the value to record; `observed` is None if the instance had no policy."""
    if observed is None:
        return OriginalValue(is_default=True, password_change=None)
    return OriginalValue(observed.is_default, observed.password_change)
