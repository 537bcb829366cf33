"""Which changes are about one organization, also those that it inherited."""

from collections.abc import AsyncIterable, Mapping

from zitadel_notification_operator.core.policy_events import PolicyEvent

from .ledger import Change, Ledger


def named_so(wanted: str, present: Mapping[str, str]) -> frozenset[str]:
    """Return the ids of the organizations with this id or name.

    Args:
        wanted: An id, or a name regardless of case, as ZITADEL compares names.
        present: The names of the organizations that exist, by id.
    """
    lower = wanted.lower()
    found = (i for i, name in present.items() if i == wanted or name.lower() == lower)
    return frozenset(found)


async def once_named_so(
    wanted: str, events: AsyncIterable[PolicyEvent]
) -> frozenset[str]:
    """Return the ids of the organizations that ever had this id or name in the log."""
    lower = wanted.lower()
    return frozenset(
        [
            event.id.aggregate
            async for event in events
            if not event.of_instance
            and (event.id.aggregate == wanted or event.name.lower() == lower)
        ]
    )


def concerns(
    change: Change,
    organizations: frozenset[str],
    ledger: Ledger,
    *,
    log_is_complete: bool,
) -> bool:
    """Return whether a change is about one of these organizations.

    A change of the instance's policy is about an organization that inherits it.

    Args:
        change: The change.
        organizations: The ids.
        ledger: What the log has told up to this change.
        log_is_complete: Whether the log shows the creation of each organization.
    """
    if change.organization_id is not None:
        return change.organization_id in organizations
    return any(
        one not in ledger.own
        and one not in ledger.removed
        and (one in ledger.created or not log_is_complete)
        for one in organizations
    )
