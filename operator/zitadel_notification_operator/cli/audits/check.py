"""`znp check`: what a credential can do, without a cluster."""

from typing import TYPE_CHECKING, Any

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

from .audit_options import format_option

if TYPE_CHECKING:
    from zitadel_notification_operator.auditing.rights import Right


def _rights(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple["Right", ...]:
    from zitadel_notification_operator.auditing.rights import Right

    try:
        return tuple(dict.fromkeys(Right.parse(text) for text in texts))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(
    name="check",
    help="Check what a credential can do in ZITADEL, by calls that write nothing. No "
    "cluster is needed with --url. The exit code is 2 if something is missing; the "
    "output then says which role to give, and where.",
    cls=ExampleCommand,
    examples=(
        "znp check --url https://zitadel.example.com --key-file key.json",
        "znp check --instance default --for organization=280000000000000101",
    ),
)
@option(
    "--for",
    "rights",
    multiple=True,
    callback=_rights,
    default=("organizations",),
    metavar="WHAT",
    help="What the credential is for: organizations (to set the policies of all of "
    "them), organization=ID, instance (to set its policy), events (to read them); "
    "repeat for more, or separate by blanks in the variable.",
)
@format_option("text", "json", also=("--output",))
@zitadel_options
@cluster_options
@pass_signals
def command(
    signals: Signals,
    /,
    *,
    rights: "tuple[Right, ...]",
    form: str,
    **others: Any,
) -> None:
    """Take the options, check the rights and print the verdicts."""
    options, cluster = ZitadelOptions.take(others), ClusterOptions.take(others)
    from zitadel_notification_operator.cli.process.running import run

    from .check_run import MISSING, check_all

    outcome = run(check_all(options, cluster, rights), signals)
    click.echo(outcome.as_json() if form == "json" else outcome.as_text())
    if not outcome.is_granted:
        raise click.exceptions.Exit(MISSING)
