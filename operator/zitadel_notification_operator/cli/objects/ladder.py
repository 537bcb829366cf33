"""What `znp status` knows of one object, from its spec to ZITADEL, and its JSON; pure.

Each rung may be missing, because the person may lack a right or ZITADEL may not be
reached. Then `not_shown` says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zitadel_notification_operator.cluster.inspection import SeenEvent, Stored
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.mends import mend_of
from zitadel_notification_operator.core.other_claims import RankedClaim
from zitadel_notification_operator.core.policy import ObservedPolicy

from .judgement import NOTHING_TO_MEND, is_current, is_ready, is_suspended, mends

FORMAT_VERSION = "1.0"
"""The version of the JSON. A reader ignores what it does not know of the same major."""


@dataclass(frozen=True, slots=True)
class NotShown:
    """A part that is missing.

    Attributes:
        part: Which one: `instance`, `zitadel`, `lastChange`, `claims` or `events`; in a
            table the plural of a kind.
        why: The reason, in a sentence without a full stop.
    """

    part: str
    why: str


@dataclass(frozen=True, slots=True)
class InZitadel:
    """What ZITADEL said a moment ago.

    Attributes:
        policy: The policy in force; None if the instance has none.
        last_change: The newest event of that policy; None if it is not known.
        as_declared: Whether the policy holds the spec's values; None without a spec.
        of_instance: Whether it is the instance's policy that was asked for, which
            inherits from nothing.
    """

    policy: ObservedPolicy | None
    last_change: ZitadelEvent | None = None
    as_declared: bool | None = None
    of_instance: bool = False

    @property
    def source(self) -> str:
        """`own`, `inherited`, or `none` if the instance has no policy."""
        if self.policy is None:
            return "none"
        inherits = self.policy.is_default and not self.of_instance
        return "inherited" if inherits else "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Everything about one object.

    Attributes:
        stored: The object.
        instance: The ZitadelInstance that it needs.
        in_zitadel: ZITADEL's policy.
        claims: All claims to the object's target, the winning one first.
        events: Its Events, the oldest first.
        not_shown: What is missing, and why.
    """

    stored: Stored
    instance: Stored | None = None
    in_zitadel: InZitadel | None = None
    claims: tuple[RankedClaim, ...] | None = None
    events: tuple[SeenEvent, ...] | None = None
    not_shown: tuple[NotShown, ...] = ()

    @property
    def other_claims(self) -> tuple[RankedClaim, ...]:
        """The claims of other objects."""
        own = self.stored.record.uid
        return tuple(one for one in self.claims or () if one.policy.uid != own)

    @property
    def owns(self) -> bool | None:
        """Whether the object's claim wins; None if that is not known."""
        if self.claims is None:
            return None
        own = self.stored.record.uid
        return any(one.owns and one.policy.uid == own for one in self.claims)


def to_json(ladder: Ladder) -> dict[str, Any]:
    """Return the JSON of one object (docs/reference/schemas/status.json)."""
    found = ladder.in_zitadel
    return {
        "formatVersion": FORMAT_VERSION,
        "object": object_json(ladder.stored),
        "instance": object_json(ladder.instance) if ladder.instance else None,
        "zitadel": _zitadel_json(found) if found else None,
        "claims": (
            None
            if ladder.claims is None
            else [_claim_json(one) for one in ladder.claims]
        ),
        "events": (
            None
            if ladder.events is None
            else [
                {
                    "time": event.time,
                    "type": event.type,
                    "reason": event.reason,
                    "note": event.note,
                    "count": event.count,
                }
                for event in ladder.events
            ]
        ),
        "notShown": [{"part": one.part, "why": one.why} for one in ladder.not_shown],
    }


def object_json(stored: Stored) -> dict[str, Any]:
    """Return the JSON of an object: the verdict, what mends it, and what is stored."""
    one = stored.record
    controller = getattr(one, "controller", None)
    return {
        "kind": one.kind.name,
        "namespace": one.key.namespace,
        "name": one.name,
        "ready": is_ready(one),
        "current": is_current(one),
        "suspended": is_suspended(one),
        "deleting": one.deleting,
        "set": controller.name or None if controller else None,
        "conditions": [_condition_json(each) for each in one.status.conditions],
        "mends": [{"reason": r, "mend": text} for r, text in mends(one).items()],
        "spec": stored.body.get("spec") or {},
        "status": stored.body.get("status") or {},
    }


def _condition_json(condition: Condition) -> dict[str, Any]:
    fine = condition.reason in NOTHING_TO_MEND
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": condition.observed_generation,
        "lastTransitionTime": condition.last_transition_time,
        "mend": None if fine else mend_of(condition.reason),
    }


def _zitadel_json(found: InZitadel) -> dict[str, Any]:
    policy, event = found.policy, found.last_change
    settings: Mapping[str, bool | None] = policy.settings.by_name() if policy else {}
    return {
        "source": found.source,
        "settings": dict(settings),
        "asDeclared": found.as_declared,
        "sequence": policy.sequence if policy else "",
        "creationDate": policy.creation_date if policy else "",
        "changeDate": policy.change_date if policy else "",
        "lastChange": (
            None
            if event is None
            else {"time": event.time, "editor": _user_json(event.editor)}
        ),
    }


def _user_json(user: User | None) -> dict[str, str] | None:
    return {"id": user.id, "name": user.name} if user else None


def _claim_json(one: RankedClaim) -> dict[str, Any]:
    policy = one.policy
    return {
        "namespace": policy.key.namespace,
        "name": policy.name,
        "set": policy.controller.name or None if policy.controller else None,
        "createdAt": policy.created,
        "owns": one.owns,
    }
