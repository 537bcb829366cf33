"""Decides when the failures of an instance's probes become a verdict.

One failure is no verdict (docs/operations/troubleshooting.md). If an instance has
worked before, the first failed probe is not reported: policies wait, and the next
probes follow soon. When each failure becomes a verdict:

    Secret or CA bundle missing or not usable      at once: the operator sees it itself
    no answer, or one of a failing server          at the second failed probe
    no GET of a policy because of an insert        after a minute; until then a probe
                                                   with the same access holds
    refusals of all kinds, another ZITADEL         three in a row over 20 seconds

If an instance has never worked with its present spec, or ZITADEL asks us to wait, that
is reported at once.
"""

from datetime import datetime

from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.errors import OperatorError, ReadSideBusy
from zitadel_notification_operator.core.failure_streak import once_more
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.engine.calls.connections import (
    AWAY,
    HIDDEN_FROM_TENANTS,
)
from zitadel_notification_operator.engine.calls.instance_state import (
    InstanceState,
    ProbeFailures,
    spec_of,
)
from zitadel_notification_operator.engine.calls.repairs import BUSY_FOR

PROBE_DELAYS = (2.0, 9.0, 10.0)
"""Seconds to the next probe after the first, second and third failed one, so that the
fourth comes after 21 seconds."""

LATER = 5.0
"""Seconds between the probes after these."""

_AGAIN = 2
"""Failed probes in a row after which a ZITADEL counts as unreachable."""


def note_success(state: InstanceState, instance: InstanceObject) -> None:
    """Record that a probe has found the instance usable."""
    state.failure, state.undecided = None, False
    state.failures = ProbeFailures(worked=spec_of(instance))


def note_failure(
    state: InstanceState,
    instance: InstanceObject,
    failure: OperatorError,
    now: float,
    wall: datetime,
) -> None:
    """Record the failure that a probe has met, and decide whether it is a verdict.

    Args:
        state: What is known of the instance.
        instance: The record that the probe began with.
        failure: The error that the probe ended with.
        now: Time of the event loop.
        wall: The same moment, in UTC.
    """
    failures = state.failures
    failures.since = failures.since or wall
    failures.probes = once_more(failures.probes, now)
    if failure.reason not in AWAY and failure.reason not in HIDDEN_FROM_TENANTS:
        failures.refusals = once_more(failures.refusals, now)
    verdict = _is_verdict(failures, failure, now)
    state.failure = failure
    state.undecided = has_worked(failures, instance) and not verdict


def holds_while_busy(
    state: InstanceState, instance: InstanceObject, now: float
) -> bool:
    """Return whether the last probe still holds although this one met `ReadSideBusy`.

    A credential that may not read the instance learns ZITADEL's id from the default
    policy, and that cannot be read for some seconds during a repair of the read side.
    The repair itself must be able to go on meanwhile.

    Args:
        state: What is known of the instance; records the time of the first of these
            errors in a row.
        instance: The record that the probe began with.
        now: Time of the event loop.
    """
    failures = state.failures
    if failures.busy_since is None:
        failures.busy_since = now
    return (
        state.proven is not None
        and state.failure is None
        and state.probe.tried == state.probe.good
        and has_worked(failures, instance)
        and now - failures.busy_since < BUSY_FOR
    )


def next_probe_in(failures: ProbeFailures) -> float:
    """Return the seconds to the next probe while there is no verdict."""
    failed = failures.probes.count if failures.probes else 1
    return PROBE_DELAYS[failed - 1] if failed <= len(PROBE_DELAYS) else LATER


def has_worked(failures: ProbeFailures, instance: InstanceObject) -> bool:
    """Return whether the instance has been usable with its present spec.

    After a restart only its status shows that: it is Ready, or has a failure that says
    nothing about the credential.
    """
    if failures.worked is not None:
        return failures.worked == spec_of(instance)
    ready = find(instance.status.conditions, READY)
    if ready is None or instance.status.instance_id is None:
        return False
    good = {"Succeeded", *AWAY, *HIDDEN_FROM_TENANTS}
    return ready.observed_generation == instance.generation and ready.reason in good


def _is_verdict(failures: ProbeFailures, failure: OperatorError, now: float) -> bool:
    if failure.reason in HIDDEN_FROM_TENANTS:
        return True
    if isinstance(failure, ReadSideBusy) and failures.busy_since is not None:
        return now - failures.busy_since >= BUSY_FOR
    if failure.reason in AWAY:
        failed = failures.probes.count if failures.probes else 0
        return failed >= _AGAIN or (failure.retry_after or 0) > PROBE_DELAYS[0]
    return failures.refusals is not None and failures.refusals.is_verdict
