"""What `znp report` reads and writes."""

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from zitadel_notification_operator.auditing.page import render_page
from zitadel_notification_operator.auditing.report import Report, read_report
from zitadel_notification_operator.auditing.rows import (
    STANDING_COLUMNS,
    csv_line,
    log_note,
    report_as_json,
    standing_as_cells,
)
from zitadel_notification_operator.cli.connecting.cluster_options import ClusterOptions
from zitadel_notification_operator.cli.connecting.zitadel_access import open_zitadel
from zitadel_notification_operator.cli.connecting.zitadel_options import ZitadelOptions
from zitadel_notification_operator.cli.process.output import utf8_output

from .audit_options import require_events


async def read(
    options: ZitadelOptions, cluster: ClusterOptions, since: datetime
) -> Report:
    """Read a report.

    Raises:
        click.ClickException: The credential may not read events.
        OperatorError: ZITADEL or the cluster cannot be used.
    """
    async with open_zitadel(options, cluster) as (client, access):
        await require_events(client)
        return await read_report(client, access.endpoint.url, datetime.now(UTC), since)


def write(report: Report, form: str, output: Path | None) -> None:
    """Write a report to a file or to stdout.

    Args:
        report: What was read.
        form: `html`, `json` or `csv`.
        output: The file; None for stdout.

    Raises:
        click.ClickException: The file cannot be written.
    """
    pieces = _pieces(report, form)
    note = log_note(report.log)
    if note:
        click.echo(f"Note: {note}.", err=True)
    if output is None:
        utf8_output().writelines(pieces)
        return
    try:
        _replace(output, pieces)
    except OSError as error:
        problem = error.strerror or str(error)
        raise click.ClickException(f"{output} cannot be written: {problem}") from error
    counted = len(report.organizations)
    click.echo(f"{output}: a report on {counted} organizations", err=True)


def _pieces(report: Report, form: str) -> Iterator[str]:
    match form:
        case "json":
            yield json.dumps(report_as_json(report), ensure_ascii=False, indent=2)
            yield "\n"
        case "csv":
            yield csv_line(STANDING_COLUMNS)
            for standing in (report.instance, *report.organizations):
                yield csv_line(standing_as_cells(standing))
        case _:
            yield from render_page(report)


def _replace(output: Path, pieces: Iterator[str]) -> None:
    """Write a file so that it is never there in part.

    A link stays one, and its target is written. A file that exists keeps its mode; a
    new one is for its owner alone, because the report is confidential.

    Raises:
        OSError: It cannot be written.
    """
    if not output.is_file() and output.exists():
        # Such as /dev/stdout, which must not be replaced.
        with output.open("w", encoding="utf-8") as stream:
            stream.writelines(pieces)
        return
    target = Path(os.path.realpath(output))
    # The name is one that nobody can foretell, and the file is new.
    number, name = tempfile.mkstemp(prefix=".znp-", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with open(number, "w", encoding="utf-8") as file:  # noqa: PTH123 - by its number
            if target.exists():
                os.fchmod(number, stat.S_IMODE(target.stat().st_mode))
            file.writelines(pieces)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
