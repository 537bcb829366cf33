"""Looks up what names and domains in grants mean, and handles failed look-ups.

A name that cannot be looked up affects only the policies of the grants that contain it;
the instance stays Ready. The last known meaning still decides who owns a target, so
that no other policy takes over by mistake. But nothing is written on that basis.
"""

from collections.abc import Iterable

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import NoOrganization, OperatorError
from zitadel_notification_operator.core.failure_streak import once_more
from zitadel_notification_operator.core.grants import references_in
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.engine.calls.instance_state import (
    ProbeMemory,
    Unread,
)
from zitadel_notification_operator.engine.calls.organization_cache import (
    OrganizationCache,
)
from zitadel_notification_operator.engine.claims.inventory import Inventory

Found = dict[Reference, str | None]
Failed = dict[Reference, OperatorError]

_HOPELESS = frozenset({Reason.UNREACHABLE, Reason.RATE_LIMITED})
"""After these errors the next call would fail, too, and might take ten seconds."""


async def look_up(
    instance: InstanceObject, organization_cache: OrganizationCache
) -> tuple[Found, Failed]:
    """Look up what each name and domain in grants means.

    Returns:
        What was found, with None for a name or domain that no organization has; and the
        errors of those that could not be looked up.
    """
    references = references_in(instance.grants)
    questions = len(references)
    found: Found = {}
    failed: Failed = {}
    for reference in sorted(references, key=str):
        last = next(reversed(failed.values()), None)
        if last is not None and last.reason in _HOPELESS:
            failed[reference] = last
            continue
        try:
            try:
                meaning = await _meaning(organization_cache, reference, questions)
            except OperatorError as failure:
                if questions == 1 or failure.reason in _HOPELESS:
                    raise
                # A page of the list failed; from here on each name is searched for by
                # itself.
                questions = 1
                meaning = await _meaning(organization_cache, reference, questions)
        except OperatorError as failure:
            failed[reference] = failure
        else:
            found[reference] = meaning
    return found, failed


async def _meaning(
    organization_cache: OrganizationCache, reference: Reference, questions: int
) -> str | None:
    try:
        return (await organization_cache.find(reference, lambda: questions)).id
    except NoOrganization:
        return None


def note(memory: ProbeMemory, failed: Failed, now: float) -> set[Reference]:
    """Record why names could not be looked up.

    Args:
        memory: Receives them.
        failed: The errors of this probe.
        now: Time of the event loop.

    Returns:
        The names for which that changes anything for policies.
    """
    before = memory.unread
    streaks = {reference: unread.streak for reference, unread in before.items()}
    memory.unread = {
        reference: Unread(failure, once_more(streaks.get(reference), now))
        for reference, failure in failed.items()
    }
    refused = {r for r, unread in memory.unread.items() if unread.streak.is_verdict}
    refused_before = {r for r, unread in before.items() if unread.streak.is_verdict}
    return (refused ^ refused_before) | (before.keys() - memory.unread.keys())


def affected(
    inventory: Inventory, instance: InstanceObject, references: Iterable[Reference]
) -> list[PolicyKey]:
    """Return the policies that a grant with one of these names may admit."""
    wanted = frozenset(references)
    if not wanted:
        return []
    return [
        policy.key
        for policy in inventory.policies_of(instance.name)
        if wanted & (inventory.granted(policy) or frozenset())
    ]
