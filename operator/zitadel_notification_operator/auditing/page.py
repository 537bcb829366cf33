"""The HTML page of a report: one file, without scripts and outside resources.

It is read on a screen, on paper and by screen readers, so nothing is said by color
alone. Everything that users chose, such as names, passes through `_text`.
"""

from collections.abc import Iterable, Iterator
from html import escape

from zitadel_notification_operator.core.settings import FLAGS
from zitadel_notification_operator.core.text import one_line
from zitadel_notification_operator.version import VERSION

from .ledger import Change, Source
from .period import shown_time, time_as_text
from .report import Report
from .rows import (
    author_in_words,
    change_in_words,
    log_note,
    organization_in_words,
    values_in_words,
)
from .standing import Standing

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  margin: 0 auto; padding: 1rem; max-width: 75rem; }
bdi, h1 { overflow-wrap: anywhere; } time, .off { white-space: nowrap; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
dt { font-weight: 600; } dd { margin: 0; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: start; padding: .3rem 0; }
th, td { text-align: start; vertical-align: top; padding: .3rem .6rem;
  border-bottom: 1px solid #767676; }
thead th { position: sticky; top: 0; background: #eee; border-bottom: 2px solid; }
tbody th { font-weight: normal; }
.off { font-weight: 700; text-decoration: underline; }
.note { border-inline-start: .3rem solid; padding-inline-start: .8rem; }
footer { margin-top: 2rem; border-top: 1px solid; font-size: .9rem; }
@media (max-width: 48rem) {
  body { font-size: .8rem; padding: .5rem; } time { white-space: normal; }
  th, td { padding: .2rem .3rem; }
}
@page { size: A4; margin: 15mm; }
@media print {
  body { font-size: 9pt; max-width: none; padding: 0; } time { white-space: nowrap; }
  thead { display: table-header-group; } thead th { position: static; }
  tr, dl { break-inside: avoid; } h2, caption { break-after: avoid; }
}
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser may load: nothing but the style in the page itself."""

_DIFFERS = "ZITADEL's event log says otherwise"


def render_page(report: Report) -> Iterator[str]:
    """Yield the page in pieces.

    Args:
        report: What was read.
    """
    title = f"Notification policies of {report.url}"
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        # Without this, a browser asks the server of the page for an icon.
        '<link rel="icon" href="data:,">\n'
        f"<title>{_plain(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{_text(title)}</h1>\n"
    )
    yield from _summary(report)
    yield "</header>\n<main>\n"
    yield from _notes(report)
    yield from _off(report)
    yield from _in_force(report)
    yield from _changes(report)
    yield (
        "</main>\n<footer><p>Made by zitadel-notification-operator "
        f"{_text(VERSION)}. It read this from ZITADEL and changed nothing."
        "</p></footer>\n</body>\n</html>\n"
    )


def _summary(report: Report) -> Iterator[str]:
    identity, organizations = report.identity, report.organizations
    own = sum(one.source is Source.OWN for one in organizations)
    since = _time(time_as_text(report.since))
    pairs = {
        "Made": f"{_time(time_as_text(report.made))} UTC",
        "ZITADEL": _text(f"{identity.zitadel_id}, version {identity.version or '?'}"),
        "Read as": _text(f"{identity.user.name} ({identity.user.id})"),
        "Setting": _text(", ".join(flag.name for flag in FLAGS))
        + ": whether users get a mail when their password has changed",
        "Instance": _value(report.instance),
        "Organizations": f"{len(organizations)}: {own} with a policy of their own, "
        f"{len(organizations) - own} without",
        "Mails off": f"for {len(report.off)} of {len(organizations)} organizations",
        "Changes": f"{len(report.changes)} since {since} UTC",
    }
    yield "<dl>\n"
    for name, value in pairs.items():
        yield f"<dt>{name}</dt><dd>{value}</dd>\n"
    yield "</dl>\n"


def _notes(report: Report) -> Iterator[str]:
    note = log_note(report.log)
    if note:
        yield f'<p class="note"><strong>Note:</strong> {_text(note)}.</p>\n'
    if not report.covers_period:
        yield (
            '<p class="note"><strong>Note:</strong> the list of changes is incomplete, '
            "because the period begins before that.</p>\n"
        )
    if any(one.differs for one in (report.instance, *report.organizations)):
        yield (
            f'<p class="note"><strong>Note:</strong> where it says "{_DIFFERS}", a '
            "change in the log is not in force: it was made while this was read, or "
            "ZITADEL's read side has lost it. What is in force is what counts for "
            "mails.</p>\n"
        )


def _off(report: Report) -> Iterator[str]:
    yield '<section>\n<h2 id="off">Where mails are off</h2>\n'
    if report.off:
        yield from _standings(report.off, "Organizations for which mails are off")
    else:
        yield "<p>Nowhere: they are on for all organizations.</p>\n"
    yield "</section>\n"


def _in_force(report: Report) -> Iterator[str]:
    yield '<section>\n<h2 id="in-force">What is in force</h2>\n'
    yield from _standings(
        [report.instance, *report.organizations],
        "What is in force in the instance and for each organization, which inherits "
        "from the instance or has a policy of its own",
    )
    yield "</section>\n"


def _changes(report: Report) -> Iterator[str]:
    yield '<section>\n<h2 id="changes">Changes</h2>\n'
    since = f"since {_time(time_as_text(report.since))} UTC"
    if not report.changes:
        yield f"<p>None {since}.</p>\n</section>\n"
        return
    columns = ("Time (UTC)", "Policy of", "From", "To", "By")
    yield from _table(
        f"Changes {since}, oldest first", columns, map(_change_row, report.changes)
    )
    yield "</section>\n"


def _standings(standings: Iterable[Standing], caption: str) -> Iterator[str]:
    columns = ("Policy of", "Mails", "Source", "Since (UTC)", "By")
    yield from _table(caption, columns, map(_standing_row, standings))


def _table(
    caption: str, columns: Iterable[str], rows: Iterable[list[str]]
) -> Iterator[str]:
    """Yield a table. The first cell of a row is its heading; cells are HTML already."""
    heads = "".join(f'<th scope="col">{column}</th>' for column in columns)
    yield f"<table>\n<caption>{caption}</caption>\n<thead><tr>{heads}</tr></thead>\n"
    yield "<tbody>\n"
    for first, *others in rows:
        cells = "".join(f"<td>{cell}</td>" for cell in others)
        yield f'<tr><th scope="row">{first}</th>{cells}</tr>\n'
    yield "</tbody>\n</table>\n"


def _standing_row(standing: Standing) -> list[str]:
    organization = standing.organization
    id_, name = (organization.id, organization.name) if organization else (None, "")
    source = {
        Source.OWN: "own",
        Source.INHERITED: "inherited",
    }.get(standing.source, "no policy")
    return [
        _text(organization_in_words(id_, name)),
        _value(standing),
        f"{source}; {_DIFFERS}" if standing.differs else source,
        _time(standing.since),
        _author(author_in_words(standing.author), own=standing.author.is_credential),
    ]


def _change_row(change: Change) -> list[str]:
    words = change_in_words(change)
    return [
        _time(change.time),
        *(_text(words[column]) for column in ("of", "from", "to", "by")),
    ]


def _value(standing: Standing) -> str:
    if standing.source is Source.NOWHERE:
        return '<span class="off">OFF</span>: no policy'
    if len(FLAGS) > 1:
        words = _text(values_in_words(standing.settings))
        return f'<span class="off">{words}</span>' if standing.is_off else words
    return '<span class="off">OFF</span>' if standing.is_off else "on"


def _author(words: str, *, own: bool) -> str:
    return _text(words) + (", this credential" if own else "")


def _time(text: str) -> str:
    if not text:
        return "?"
    shown = shown_time(text)
    words = shown.replace("T", " ").removesuffix("Z")
    return f'<time datetime="{_plain(shown)}">{_plain(words)}</time>'


def _text(text: str) -> str:
    """Return a text as HTML that cannot change the direction of what is around it."""
    return f"<bdi>{_plain(text)}</bdi>"


def _plain(text: str) -> str:
    return escape(one_line(text), quote=True)
