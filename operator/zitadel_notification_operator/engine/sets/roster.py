"""Which organizations belong to a set now, and which of its policies leave.

A policy leaves only if something positive says so: the spec, the name or domain under
which its organization exists, or that the organization is gone. If nothing is known of
an organization, its policy stays, and ZITADEL is asked (docs/concepts/sets.md).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import OperatorError, TerminalError
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.core.set_report import Member
from zitadel_notification_operator.engine.calls.directory import Directory
from zitadel_notification_operator.engine.queue.slices import in_slices


@dataclass(slots=True)
class Roster:
    """The members of a set, and its policies that are none any more.

    Attributes:
        members: The organizations that belong to the set, by the names of their
            policies.
        selected: The names of those that the set claims: selected and granted.
        leaving: The policies whose organizations no longer belong to the set.
        doubted: The organizations that ZITADEL has to be asked for.
    """

    members: dict[PolicyKey, Member] = field(default_factory=dict)
    selected: set[PolicyKey] = field(default_factory=set)
    leaving: list[PolicyObject] = field(default_factory=list)
    doubted: set[str] = field(default_factory=set)


async def make_roster(
    one: SetObject,
    directory: Directory,
    policies: Mapping[PolicyKey, PolicyObject],
    own: Iterable[PolicyObject],
    admission_of: Callable[[str], Admission],
) -> Roster:
    """Compare what a set selects with the policies that it has.

    Others may go on meanwhile. Each change that they make queues the set once more.

    Args:
        one: The set.
        directory: The organizations that there are.
        policies: All policies, by name.
        own: The policies that the set controls.
        admission_of: Returns whether the set's namespace may set an organization, by
            its id.
    """
    roster = Roster()
    directory = replace(
        directory,
        organizations=dict(directory.organizations),
        removed=set(directory.removed),
    )
    async for organization in in_slices(directory.organizations.values()):
        if not one.organizations.selects(organization):
            continue
        if admission_of(organization.id) is not Admission.GRANTED:
            continue
        key = one.policy_key(organization.id)
        policy = policies.get(key)
        if policy is not None:
            key = policy.key  # the same name, which is in memory already
        problem = _taken(one, key, organization, policy)
        policy = policy if problem is None else None
        roster.members[key] = Member(organization, key, policy, problem)
        if problem is None:
            roster.selected.add(key)
    async for policy in in_slices(own):
        if policy.key not in roster.members:
            _place(one, policy, directory, admission_of, roster)
    roster.doubted |= {
        matcher.id
        for matcher in one.organizations.include
        if matcher.id is not None
        and matcher.id not in directory.organizations
        and matcher.id not in directory.removed
    }
    return roster


def existing(own: Iterable[PolicyObject]) -> Roster:
    """Return a roster of the policies that there are, if nothing else is known."""
    roster = Roster()
    for policy in own:
        roster.members[policy.key] = _member_of(policy)
    return roster


def _place(
    one: SetObject,
    policy: PolicyObject,
    directory: Directory,
    admission_of: Callable[[str], Admission],
    roster: Roster,
) -> None:
    """Decide about a policy of the set whose organization is not selected now."""
    organization_id = policy.organization_id
    if organization_id is None:
        return  # not understood; it is applied again, and decided then
    known = directory.organizations.get(organization_id)
    if organization_id in directory.removed:
        roster.leaving.append(policy)
    elif known is None:
        roster.doubted.add(organization_id)
        roster.members[policy.key] = _member_of(policy)
    elif not one.organizations.selects(known):
        roster.leaving.append(policy)
    elif admission_of(organization_id) is not Admission.GRANTED:
        # A lost grant is no leaving: the policy itself reports that it is not granted.
        roster.members[policy.key] = _member_of(policy)
    elif policy.key != one.policy_key(organization_id):
        # Selected, under another name: the set's object was replaced.
        roster.leaving.append(policy)
    else:
        # Granted a moment ago; the next pass finds it among the others.
        roster.members[policy.key] = _member_of(policy)


def _member_of(policy: PolicyObject) -> Member:
    name = policy.status.organization_name or ""
    organization = Organization(policy.organization_id or "", name)
    return Member(organization, policy.key, policy)


def _taken(
    one: SetObject,
    key: PolicyKey,
    organization: Organization,
    policy: PolicyObject | None,
) -> OperatorError | None:
    """Return `NameTaken` if an object that the set may not touch has this name.

    Backups lose ownerReferences. So an object with the set's label and the same target,
    which nothing controls, is the set's own.
    """
    if policy is None or policy.set_uid == one.uid:
        return None
    is_adoptable = (
        policy.controller is None
        and policy.set_label == one.name
        and policy.instance == one.instance
        and policy.organization_id == organization.id
    )
    if is_adoptable:
        return None
    return TerminalError(
        Reason.NAME_TAKEN,
        f"NotificationPolicy {key.name} exists already, and no set {one.name} has made "
        "it; delete it, or give it or the set another name",
    )
