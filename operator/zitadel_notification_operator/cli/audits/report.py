"""`znp report`: one page for people who audit."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from zitadel_notification_operator.cli.connecting.cluster_options import (
    ClusterOptions,
    cluster_options,
)
from zitadel_notification_operator.cli.connecting.zitadel_options import (
    ZitadelOptions,
    zitadel_options,
)
from zitadel_notification_operator.cli.options.declaring import option, pass_signals
from zitadel_notification_operator.cli.options.examples import ExampleCommand
from zitadel_notification_operator.cli.process.signals import Signals

from .audit_options import format_option, since_option


@click.command(
    name="report",
    help="Report what is in force for each organization, own or inherited, since when "
    "and by whom, where mails are off, and the changes of a period. The HTML page is "
    "one file without scripts and outside resources. CSV has only what is in force; "
    "see znp history for the changes. The credential's user needs the role "
    "IAM_OWNER_VIEWER in the instance.",
    cls=ExampleCommand,
    examples=(
        "znp report --instance default --output report.html",
        "znp report --url https://zitadel.example.com --token-file token -o json",
    ),
)
@since_option("30d")
@format_option("html", "json", "csv")
@option(
    "--output",
    variable="OUTPUT_FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write to this file, which is replaced if it exists. Default: stdout.",
)
@zitadel_options
@cluster_options
@pass_signals
def command(
    signals: Signals,
    /,
    *,
    since: datetime,
    form: str,
    output: Path | None,
    **others: Any,
) -> None:
    """Take the options, read and write the report."""
    options, cluster = ZitadelOptions.take(others), ClusterOptions.take(others)
    if output is not None and not output.absolute().parent.is_dir():
        raise click.UsageError(f"There is no folder {output.parent} to write to")
    from zitadel_notification_operator.cli.process.running import run

    from .report_run import read, write

    report = run(read(options, cluster, since), signals)
    write(report, form, output)
