"""The policy as first seen by us as managing owner: what an undo goes back to.

Stored in the annotation `zitadel-notification.dev/original` before the first write
to ZITADEL, so that a crash at any moment cannot lose it (design, section 3, "Crash
safety").
"""

import json
from dataclasses import dataclass
from typing import Self

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.policy import ObservedPolicy


@dataclass(frozen=True, slots=True)
class OriginalValue:
    """What was in force; `password_change` is None when nothing was."""

    is_default: bool
    password_change: bool | None


@dataclass(frozen=True, slots=True)
class Original:
    """The record: whose it is, of which target, and what was in force.

    Attributes:
        uid: Of the object that recorded it; a copied object has another one.
        target: By ZITADEL's ids; another ZITADEL has another one.
        value: What was in force.
    """

    uid: str
    target: Target
    value: OriginalValue

    def belongs_to(self, uid: str, target: Target) -> bool:
        """Return whether it counts for this object and target; else it is absent."""
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
        """Read an annotation; None when it is not one of ours, whatever it holds."""
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
    """Return what is recorded of an observation; None: the instance had no policy."""
    if observed is None:
        return OriginalValue(is_default=True, password_change=None)
    return OriginalValue(observed.is_default, observed.password_change)
