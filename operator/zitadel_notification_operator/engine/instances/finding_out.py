"""Decides when the failures of an instance's probes become a verdict.

One failure is no verdict (design, section 11). If an instance has worked before, the
first failed probe is not reported: policies wait, and the next probes follow soon. When
each failure becomes a verdict:

    Secret or CA bundle missing or not usable      at once: the operator sees it itself
    no answer, or one of a server in trouble       at the second failed probe
    no GET of a policy because of an insert        after a minute; until then a probe
                                                   with the same access holds
    refusals of all kinds, another ZITADEL         three in a row over 20 seconds

If an instance has never worked with its present spec, or ZITADEL asks us to wait, that
is reported at once.
"""

from datetime import datetime

from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.errors import OperatorError, ReadSideBusy
from zitadel_notification_operator.core.objects import InstanceObject
from zitadel_notification_operator.core.patience import once_more
from zitadel_notification_operator.engine.calls.connections import (
    ADMINISTRATORS_OWN,
    AWAY,
    Line,
    spec_of,
)
from zitadel_notification_operator.engine.calls.repairs import BUSY_FOR

LOOKS = (2.0, 9.0, 10.0)
"""Seconds to the next probe after the first, second and third failed one, so that the
fourth comes after 21 seconds."""

LATER = 5.0
"""Seconds between the probes after these."""

_AGAIN = 2
"""Failed probes in a row after which a ZITADEL counts as unreachable."""


def note_success(line: Line, instance: InstanceObject) -> None:
    """Record that a probe has found the instance usable."""
    line.trouble, line.troubled_since = None, None
    line.misfortunes = line.refusals = None
    line.busy_since = None
    line.finding_out, line.checked = False, True
    line.worked = spec_of(instance)


def note_trouble(
    line: Line,
    instance: InstanceObject,
    trouble: OperatorError,
    now: float,
    wall: datetime,
) -> None:
    """Record the trouble that a probe has met, and decide whether it is a verdict.

    Args:
        line: What is known of the instance.
        instance: The record that the probe began with.
        trouble: The trouble.
        now: Time of the event loop.
        wall: The same moment, in UTC.
    """
    if line.troubled_since is None:
        line.troubled_since = wall
    line.trouble = trouble
    line.misfortunes = once_more(line.misfortunes, now)
    if trouble.reason not in AWAY and trouble.reason not in ADMINISTRATORS_OWN:
        line.refusals = once_more(line.refusals, now)
    verdict = _is_verdict(line, trouble, now)
    line.finding_out = has_worked(line, instance) and not verdict
    line.checked = line.checked or not line.finding_out


def holds_while_busy(line: Line, instance: InstanceObject, now: float) -> bool:
    """Return whether the last probe still holds although this one met `ReadSideBusy`.

    A credential that may not read the instance learns ZITADEL's id from the default
    policy, and that cannot be read for some seconds during a repair of the read side.
    The repair itself must be able to go on meanwhile.

    Args:
        line: What is known of the instance; records the time of the first of these
            errors in a row.
        instance: The record that the probe began with.
        now: Time of the event loop.
    """
    if line.busy_since is None:
        line.busy_since = now
    return (
        line.proven is not None
        and line.trouble is None
        and line.tried == line.good
        and has_worked(line, instance)
        and now - line.busy_since < BUSY_FOR
    )


def next_look(line: Line) -> float:
    """Return the seconds to the next probe while there is no verdict."""
    failed = line.misfortunes.count if line.misfortunes else 1
    return LOOKS[failed - 1] if failed <= len(LOOKS) else LATER


def has_worked(line: Line, instance: InstanceObject) -> bool:
    """Return whether the instance has been usable with its present spec.

    After a restart only its status shows that: it is Ready, or has trouble that says
    nothing about the credential.
    """
    if line.worked is not None:
        return line.worked == spec_of(instance)
    ready = find(instance.status.conditions, READY)
    if ready is None or instance.status.instance_id is None:
        return False
    good = {"Succeeded", *AWAY, *ADMINISTRATORS_OWN}
    return ready.observed_generation == instance.generation and ready.reason in good


def _is_verdict(line: Line, trouble: OperatorError, now: float) -> bool:
    if trouble.reason in ADMINISTRATORS_OWN:
        return True
    if isinstance(trouble, ReadSideBusy) and line.busy_since is not None:
        return now - line.busy_since >= BUSY_FOR
    if trouble.reason in AWAY:
        failed = line.misfortunes.count if line.misfortunes else 0
        return failed >= _AGAIN or (trouble.retry_after or 0) > LOOKS[0]
    return line.refusals is not None and line.refusals.is_verdict
