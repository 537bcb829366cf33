"""Changes and what is in force as JSON, as CSV and as words.

Names are those that users chose. Here they are only made one line; each format escapes
them in its own way.
"""

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any

from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.policy_events import LogStart
from zitadel_notification_operator.core.settings import FLAGS, Settings
from zitadel_notification_operator.core.text import shown_name

from .ledger import Author, AuthorKind, Change, Held, Source
from .period import shown_time, time_as_text
from .report import Report
from .standing import Standing

FORMAT_VERSION = "1.0"
"""The version of the JSON. A reader ignores members that it does not know."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With these a cell begins that a spreadsheet would calculate."""

_WORDS = {True: "true", False: "false", None: "unknown"}

CHANGE_COLUMNS = (
    "time",
    "scope",
    "organizationId",
    "organizationName",
    "fromSource",
    *(f"from{flag.name[0].upper()}{flag.name[1:]}" for flag in FLAGS),
    "toSource",
    *(f"to{flag.name[0].upper()}{flag.name[1:]}" for flag in FLAGS),
    "byKind",
    "byId",
    "byName",
    "byCredential",
    "sequence",
)
STANDING_COLUMNS = (
    "scope",
    "organizationId",
    "organizationName",
    "source",
    *(flag.name for flag in FLAGS),
    "since",
    "byKind",
    "byId",
    "byName",
    "byCredential",
    "logDiffers",
)


def values_in_words(settings: Settings) -> str:
    """Return values, as in "true"; with their names where a policy has several."""
    if len(FLAGS) == 1:
        return _WORDS[settings.values[0]]
    pairs = zip(FLAGS, settings.values, strict=True)
    return ", ".join(f"{flag.name} {_WORDS[value]}" for flag, value in pairs)


def held_in_words(held: Held) -> str:
    """Return what was in force, as in "true (inherited)"."""
    match held.source:
        case Source.NOWHERE:
            return "no policy"
        case Source.REMOVED:
            return "organization removed"
        case Source.INHERITED:
            return f"{values_in_words(held.settings)} (inherited)"
        case Source.OWN:
            return values_in_words(held.settings)


def author_in_words(author: Author) -> str:
    """Return who made a change, as in "Anna (281000000000000002)"."""
    if author.kind is AuthorKind.UNKNOWN:
        return "unknown"
    if author.kind is AuthorKind.ZITADEL:
        return "ZITADEL itself"
    name, id_ = shown_name(author.user.name), shown_name(author.user.id)
    return f"{name} ({id_})" if name else id_


def organization_in_words(organization_id: str | None, name: str) -> str:
    """Return an organization's name and id; "instance" for the instance."""
    if organization_id is None:
        return "instance"
    id_, name = shown_name(organization_id), shown_name(name)
    return f"{name} ({id_})" if name else id_


def change_as_json(change: Change) -> dict[str, Any]:
    """Return a change as the JSON that the schema describes."""
    return {
        "time": change.time,
        "sequence": str(change.sequence),
        "scope": _scope(change.organization_id),
        "organization": _organization(change.organization_id, change.name),
        "from": _held_as_json(change.before),
        "to": _held_as_json(change.after),
        "by": author_as_json(change.author),
    }


def standing_as_json(standing: Standing) -> dict[str, Any]:
    """Return what is in force as the JSON that the schema describes."""
    id_, name = _named(standing.organization)
    return {
        "scope": _scope(id_),
        "organization": _organization(id_, name),
        "source": str(standing.source),
        **standing.settings.by_name(),
        "since": standing.since or None,
        "by": author_as_json(standing.author),
        "logDiffers": standing.differs,
    }


def log_as_json(log: LogStart) -> dict[str, Any]:
    """Return where the log begins."""
    return {"begins": log.time or None, "isComplete": log.is_complete}


def report_as_json(report: Report) -> dict[str, Any]:
    """Return a report as the JSON that the schema describes."""
    identity = report.identity
    return {
        "formatVersion": FORMAT_VERSION,
        "made": time_as_text(report.made),
        "zitadel": {
            "url": report.url,
            "id": identity.zitadel_id,
            "version": identity.version,
        },
        "credential": {"id": identity.user.id, "name": identity.user.name},
        "log": log_as_json(report.log),
        "since": time_as_text(report.since),
        "instance": standing_as_json(report.instance),
        "organizations": [standing_as_json(one) for one in report.organizations],
        "changes": [change_as_json(one) for one in report.changes],
    }


def author_as_json(author: Author) -> dict[str, Any]:
    """Return who made a change; a user without an id is none."""
    is_user = author.kind is AuthorKind.USER
    return {
        "kind": str(author.kind),
        "id": author.user.id if is_user else None,
        "name": author.user.name if is_user else None,
        "isCredential": author.is_credential,
    }


def change_as_cells(change: Change) -> list[str]:
    """Return a change as the cells of `CHANGE_COLUMNS`."""
    return [
        change.time,
        _scope(change.organization_id),
        change.organization_id or "",
        change.name,
        *_held_as_cells(change.before),
        *_held_as_cells(change.after),
        *_author_as_cells(change.author),
        str(change.sequence),
    ]


def standing_as_cells(standing: Standing) -> list[str]:
    """Return what is in force as the cells of `STANDING_COLUMNS`."""
    id_, name = _named(standing.organization)
    return [
        _scope(id_),
        id_ or "",
        name,
        str(standing.source),
        *_values_as_cells(standing.settings),
        standing.since,
        *_author_as_cells(standing.author),
        _WORDS[standing.differs],
    ]


def csv_line(cells: Iterable[str]) -> str:
    """Return a line of CSV in which no cell is a formula for a spreadsheet.

    A cell that would be one begins with an apostrophe, which spreadsheets take for the
    sign of a text.
    """
    safe = [f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells]
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow(safe)
    return line.getvalue()


def change_in_words(change: Change) -> Mapping[str, str]:
    """Return the columns that a table shows of a change."""
    by = author_in_words(change.author)
    return {
        "time": shown_time(change.time),
        "of": organization_in_words(change.organization_id, change.name),
        "from": held_in_words(change.before),
        "to": held_in_words(change.after),
        "by": f"{by}, this credential" if change.author.is_credential else by,
    }


def log_note(log: LogStart) -> str:
    """Return a sentence if the log does not reach back to the beginning, or nothing."""
    if log.is_complete:
        return ""
    if not log.time:
        return "ZITADEL's event log shows no event at all"
    return (
        f"ZITADEL's event log begins at {shown_time(log.time)}; it does not show what "
        "was before, so that some values and authors are unknown"
    )


def _named(organization: Organization | None) -> tuple[str | None, str]:
    if organization is None:
        return None, ""
    return organization.id, shown_name(organization.name)


def _scope(organization_id: str | None) -> str:
    return "Instance" if organization_id is None else "Organization"


def _organization(organization_id: str | None, name: str) -> dict[str, str] | None:
    if organization_id is None:
        return None
    return {"id": organization_id, "name": shown_name(name)}


def _held_as_json(held: Held) -> dict[str, Any]:
    return {"source": str(held.source), **held.settings.by_name()}


def _held_as_cells(held: Held) -> list[str]:
    return [str(held.source), *_values_as_cells(held.settings)]


def _values_as_cells(settings: Settings) -> list[str]:
    return ["" if value is None else _WORDS[value] for value in settings.values]


def _author_as_cells(author: Author) -> list[str]:
    is_user = author.kind is AuthorKind.USER
    return [
        str(author.kind),
        author.user.id if is_user else "",
        shown_name(author.user.name) if is_user else "",
        _WORDS[author.is_credential],
    ]
