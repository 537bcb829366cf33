"""Reads what is in force for each organization, and the changes of a period."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from zitadel_notification_operator.core.errors import NoOrganization
from zitadel_notification_operator.core.events import parse_moment
from zitadel_notification_operator.core.identity import Identity
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.policy_events import LogStart
from zitadel_notification_operator.zitadel.client import ZitadelClient

from .ledger import Change, Ledger
from .reading import patiently, read_log, read_organizations
from .standing import Standing, standing_of

_AT_ONCE = 64
"""How many organizations are asked for together. The client limits its calls itself."""


@dataclass(frozen=True, slots=True)
class Report:
    """What people who audit want to know.

    Attributes:
        url: ZITADEL's address.
        identity: Which ZITADEL it is, and whose credential read it.
        made: When the report was made.
        since: The beginning of the period of `changes`.
        log: Where ZITADEL's event log begins.
        instance: What is in force in the instance.
        organizations: What is in force for each organization, ordered by name.
        changes: The changes of the period, oldest first.
    """

    url: str
    identity: Identity
    made: datetime
    since: datetime
    log: LogStart
    instance: Standing
    organizations: tuple[Standing, ...]
    changes: tuple[Change, ...]

    @property
    def off(self) -> list[Standing]:
        """The organizations for which some mail is not sent."""
        return [one for one in self.organizations if one.is_off]

    @property
    def covers_period(self) -> bool:
        """Whether the log reaches back to the beginning of the period."""
        if self.log.is_complete:
            return True
        return bool(self.log.time) and parse_moment(self.log.time) <= self.since


async def read_report(
    client: ZitadelClient, url: str, made: datetime, since: datetime
) -> Report:
    """Read a report. Its size is that of the organizations and the period's changes.

    Args:
        client: Calls ZITADEL, with a credential that may read its events.
        url: ZITADEL's address, to be shown.
        made: The present time.
        since: The beginning of the period.

    Raises:
        OperatorError: Something cannot be read.
    """
    identity = await patiently(client.identify)
    organizations = await read_organizations(client)
    log = await patiently(client.log_start)
    names = {one.id: one.name for one in organizations}
    ledger = Ledger(names, identity.user.id)
    changes = []
    async for event in read_log(client):
        change = ledger.apply(event)
        if change is not None and parse_moment(change.time) >= since:
            changes.append(change)
    standings = await _standings(client, organizations, ledger)
    instance = await patiently(lambda: client.observe(None))
    return Report(
        url,
        identity,
        made,
        since,
        log,
        standing_of(None, instance, ledger),
        tuple(standings),
        tuple(changes),
    )


async def _standings(
    client: ZitadelClient, organizations: list[Organization], ledger: Ledger
) -> list[Standing]:
    found: list[Standing] = []
    for start in range(0, len(organizations), _AT_ONCE):
        some = organizations[start : start + _AT_ONCE]
        read = await asyncio.gather(*(_standing(client, one, ledger) for one in some))
        found += [one for one in read if one is not None]
    return found


async def _standing(
    client: ZitadelClient, organization: Organization, ledger: Ledger
) -> Standing | None:
    """Return what is in force; None if the organization was removed meanwhile."""
    try:
        observed = await patiently(lambda: client.observe(organization.id))
    except NoOrganization:
        return None
    return standing_of(organization, observed, ledger)
