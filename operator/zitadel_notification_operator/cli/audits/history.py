"""`znp history`: who changed which policy when, from ZITADEL's own event log."""

from datetime import datetime
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
    name="history",
    help="Show who changed which notification policy when, oldest first, from "
    "ZITADEL's own event log. Times are in UTC. The credential's user needs the role "
    "IAM_OWNER_VIEWER in the instance. A value that the log does not tell any more is "
    "shown as unknown.",
    cls=ExampleCommand,
    examples=(
        "znp history --instance default --organization ACME --since 30d",
        "znp history --url https://zitadel.example.com --token-file token -o csv",
    ),
)
@option(
    "--organization",
    default="",
    metavar="ID|NAME",
    help="Only changes that are about this organization, also those of the instance "
    "while it inherits. The id works for removed organizations, too.",
)
@since_option()
@format_option("text", "json", "csv", also=("--output",))
@zitadel_options
@cluster_options
@pass_signals
def command(
    signals: Signals,
    /,
    *,
    organization: str,
    since: datetime | None,
    form: str,
    **others: Any,
) -> None:
    """Take the options and print the changes."""
    options, cluster = ZitadelOptions.take(others), ClusterOptions.take(others)
    from zitadel_notification_operator.cli.process.running import run

    from .history_run import History

    history = History(organization, since, form)
    run(history.show(options, cluster), signals)
