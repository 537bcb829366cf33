"""What `znp history` reads, and how it prints that while it reads."""

import json
from abc import ABC, abstractmethod
from datetime import datetime

import click

from zitadel_notification_operator.auditing.ledger import Change, Ledger
from zitadel_notification_operator.auditing.period import time_as_text
from zitadel_notification_operator.auditing.reading import (
    patiently,
    read_log,
    read_organizations,
)
from zitadel_notification_operator.auditing.rows import (
    CHANGE_COLUMNS,
    FORMAT_VERSION,
    change_as_cells,
    change_as_json,
    change_in_words,
    csv_line,
    log_as_json,
    log_note,
    organization_in_words,
)
from zitadel_notification_operator.auditing.selection import (
    concerns,
    named_so,
    once_named_so,
)
from zitadel_notification_operator.cli.connecting.cluster_options import ClusterOptions
from zitadel_notification_operator.cli.connecting.zitadel_access import open_zitadel
from zitadel_notification_operator.cli.connecting.zitadel_options import ZitadelOptions
from zitadel_notification_operator.cli.process.output import utf8_output
from zitadel_notification_operator.core.events import parse_moment
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.policy_events import LogStart
from zitadel_notification_operator.core.text import padded
from zitadel_notification_operator.zitadel.client import ZitadelClient

from .audit_options import require_events

_WIDEST = 48
"""The widest column of a table for names; a longer name moves the rest of its line."""


class Printer(ABC):
    """Prints changes one after the other, so that none has to be kept."""

    @abstractmethod
    def begin(self, log: LogStart, user: User) -> None:
        """Print what comes before the first change."""

    @abstractmethod
    def add(self, change: Change) -> None:
        """Print a change."""

    @abstractmethod
    def end(self) -> None:
        """Print what comes after the last change."""


class History:
    """One run of the command.

    Args:
        organization: The id or name of an organization; empty for all.
        since: The beginning of the period; None for that of the log.
        form: `text`, `json` or `csv`.
    """

    def __init__(self, organization: str, since: datetime | None, form: str) -> None:
        self._organization = organization
        self._since = since
        self._form = form

    async def show(self, options: ZitadelOptions, cluster: ClusterOptions) -> None:
        """Read the log and print the changes.

        Raises:
            click.ClickException: The credential may not read events, or there is no
                such organization.
            OperatorError: ZITADEL or the cluster cannot be used.
        """
        async with open_zitadel(options, cluster) as (client, _):
            await require_events(client)
            await self._print(client)

    async def _print(self, client: ZitadelClient) -> None:
        user = await patiently(client.user)
        log = await patiently(client.log_start)
        names = {one.id: one.name for one in await read_organizations(client)}
        wanted = await self._organizations(client, names)
        ledger = Ledger(names, user.id)
        printer = self._printer(names)
        printer.begin(log, user)
        count = 0
        async for event in read_log(client):
            change = ledger.apply(event)
            if change is None or not self._is_in_period(change):
                continue
            if wanted is None or concerns(
                change, wanted, ledger, log_is_complete=log.is_complete
            ):
                printer.add(change)
                count += 1
        printer.end()
        self._conclude(log, count)

    async def _organizations(
        self, client: ZitadelClient, names: dict[str, str]
    ) -> frozenset[str] | None:
        """Return the ids of the organizations that are meant; None for all.

        Raises:
            click.ClickException: There is none.
        """
        if not self._organization:
            return None
        found = named_so(self._organization, names)
        if not found:
            # It was removed: then only the log knows it.
            found = await once_named_so(self._organization, read_log(client))
        if not found:
            raise click.ClickException(
                f"No organization has the id or the name {self._organization}, and "
                "ZITADEL's event log has none that was removed; znp report lists those "
                "that exist"
            )
        return found

    def _is_in_period(self, change: Change) -> bool:
        return self._since is None or parse_moment(change.time) >= self._since

    def _printer(self, names: dict[str, str]) -> Printer:
        if self._form != "text":
            utf8_output()
            return _Json() if self._form == "json" else _Csv()
        shown = (organization_in_words(*pair) for pair in names.items())
        return _Table(max(map(len, shown), default=0))

    def _conclude(self, log: LogStart, count: int) -> None:
        """Say on stderr what the output cannot say."""
        note = log_note(log)
        if note:
            click.echo(f"Note: {note}.", err=True)
        if not count:
            since = f" since {time_as_text(self._since)}" if self._since else ""
            click.echo(f"No changes{since}.", err=True)


class _Table(Printer):
    """Aligned columns, whose widths are known before the first change.

    Args:
        widest: The length of the longest name that the table will probably show.
    """

    def __init__(self, widest: int) -> None:
        self._widths = (20, min(max(widest, len("POLICY OF")), _WIDEST), 20, 20)
        self._is_begun = False

    def begin(self, log: LogStart, user: User) -> None:
        """Print nothing: without any change there is no table."""

    def add(self, change: Change) -> None:
        """Print a change as one line, and the headings before the first one."""
        if not self._is_begun:
            self._line("TIME", "POLICY OF", "FROM", "TO", "BY")
            self._is_begun = True
        self._line(*change_in_words(change).values())

    def end(self) -> None:
        """Print nothing."""

    def _line(self, *cells: str) -> None:
        *columns, last = cells
        pairs = zip(columns, self._widths, strict=True)
        click.echo("  ".join([*(padded(*pair) for pair in pairs), last]))


class _Csv(Printer):
    """Comma-separated values with a line of headings (RFC 4180)."""

    def begin(self, log: LogStart, user: User) -> None:
        """Print the headings."""
        click.echo(csv_line(CHANGE_COLUMNS), nl=False)

    def add(self, change: Change) -> None:
        """Print a change as one record."""
        click.echo(csv_line(change_as_cells(change)), nl=False)

    def end(self) -> None:
        """Print nothing."""


class _Json(Printer):
    """One JSON object, which is complete once all changes are printed."""

    def __init__(self) -> None:
        self._separator = "\n    "

    def begin(self, log: LogStart, user: User) -> None:
        """Print the members before the changes."""
        members = {
            "formatVersion": FORMAT_VERSION,
            "credential": {"id": user.id, "name": user.name},
            "log": log_as_json(log),
        }
        for name, value in members.items():
            opening = "{" if name == "formatVersion" else ","
            click.echo(f"{opening}\n  {json.dumps(name)}: {_dump(value)}", nl=False)
        click.echo(',\n  "changes": [', nl=False)

    def add(self, change: Change) -> None:
        """Print a change on a line of its own."""
        click.echo(f"{self._separator}{_dump(change_as_json(change))}", nl=False)
        self._separator = ",\n    "

    def end(self) -> None:
        """Close what is open."""
        click.echo("\n  ]\n}")


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
