"""Looks up what names and domains in grants mean, and handles failed look-ups.

A name that cannot be looked up affects only the policies of the grants that contain it;
the instance stays Ready. The last known meaning still decides who owns a target, so
that no other policy takes over by mistake. But nothing is written on that basis.
"""

from collections.abc import Iterable

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import (
    granted_organizations,
    references_in,
)
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.core.patience import once_more
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.report import is_quiet
from zitadel_notification_operator.engine.calls.connections import (
    Line,
    NotCheckedYet,
    Unread,
)
from zitadel_notification_operator.engine.calls.directory import Directory
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.ports import PolicyClient

Found = dict[Reference, str | None]
Failed = dict[Reference, OperatorError]

_HOPELESS = frozenset({Reason.UNREACHABLE, Reason.RATE_LIMITED})
"""After these errors the next call would fail, too, and might take ten seconds."""


async def look_up(
    instance: InstanceObject, client: PolicyClient, directory: Directory
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
                found[reference] = await _meaning(
                    client, directory, reference, questions
                )
            except OperatorError as trouble:
                if questions == 1 or trouble.reason in _HOPELESS:
                    raise
                # A page of the list failed; from here on each name is searched for by
                # itself.
                questions = 1
                found[reference] = await _meaning(client, directory, reference, 1)
        except OperatorError as trouble:
            failed[reference] = trouble
    return found, failed


async def _meaning(
    client: PolicyClient, directory: Directory, reference: Reference, questions: int
) -> str | None:
    try:
        return (await directory.find(client, reference, questions)).id
    except TerminalError as error:
        if error.reason is not Reason.ORGANIZATION_NOT_FOUND:
            raise
        return None


def note(line: Line, failed: Failed, now: float) -> set[Reference]:
    """Record why names could not be looked up.

    Args:
        line: What is known of the instance.
        failed: The errors of this probe.
        now: Time of the event loop.

    Returns:
        The names for which that changes anything for policies.
    """
    before = line.unread
    streaks = {reference: unread.streak for reference, unread in before.items()}
    line.unread = {
        reference: Unread(trouble, once_more(streaks.get(reference), now))
        for reference, trouble in failed.items()
    }
    told = {r for r, unread in line.unread.items() if unread.streak.is_verdict}
    told_before = {r for r, unread in before.items() if unread.streak.is_verdict}
    return (told ^ told_before) | (before.keys() - line.unread.keys())


def concerned(
    inventory: Inventory, instance: InstanceObject, references: Iterable[Reference]
) -> list[PolicyKey]:
    """Return the policies that a grant with one of these names may admit."""
    wanted = frozenset(references)
    if not wanted:
        return []
    policies = map(inventory.policies.get, inventory.users_of(instance.name))
    return [
        policy.key
        for policy in policies
        if policy is not None and wanted & _granted(inventory, policy)
    ]


def require_lookup(inventory: Inventory, line: Line, policy: PolicyObject) -> None:
    """Check that the policy's grant does not depend on a name that failed to resolve.

    Args:
        inventory: Holds the grants, and what their names mean.
        line: What is known of the policy's instance.
        policy: The policy.

    Raises:
        NotCheckedYet: It does, the policy is quiet, and the failure may be a single
            one.
        TransientError: `InstanceNotReady`, with the name and the error.
    """
    if not line.unread or policy.scope is Scope.INSTANCE:
        return
    granted = _granted(inventory, policy)
    known = inventory.organization_of(policy)
    if known is not None:
        if Reference(By.ID, known) in granted:
            return
        meant = inventory.meant
        sure = granted - line.unread.keys()
        if any(meant(policy.instance, reference) == known for reference in sure):
            return
    unread = sorted(granted & line.unread.keys(), key=str)
    if not unread:
        return
    first = line.unread[unread[0]]
    if is_quiet(policy) and not first.streak.is_verdict:
        raise NotCheckedYet
    trouble = first.trouble
    raise TransientError(
        Reason.INSTANCE_NOT_READY,
        f"ZitadelInstance {policy.instance!r} grants this namespace {unread[0]}, which "
        f"cannot be looked up now: {trouble.reason}: {trouble.stable}",
        excerpt=trouble.message.removeprefix(trouble.stable),
    )


def _granted(inventory: Inventory, policy: PolicyObject) -> frozenset[Reference]:
    instance = inventory.instances.get(policy.instance)
    if instance is None:
        return frozenset()
    own, namespace = inventory.own_namespace, policy.key.namespace
    granted = granted_organizations(instance.grants, own, namespace)
    return granted or frozenset()
