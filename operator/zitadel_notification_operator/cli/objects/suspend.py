"""`znp suspend`: stops the reconciliation of objects."""

from typing import Any

import click

from zitadel_notification_operator.cli.options.declaring import pass_signals
from zitadel_notification_operator.cli.options.examples import ExampleCommand
from zitadel_notification_operator.cli.process.signals import Signals

from .changes import GITOPS, SELECTION, ChangeOptions, change_options

HELP = """
Suspend policies and sets: the operator makes no call to ZITADEL for them until they are
resumed. Their deletion still works, and does its cleanup. A suspended set suspends its
policies. The command waits until the operator knows.
"""
"""What the command does."""


@click.command(
    name="suspend",
    cls=ExampleCommand,
    help=HELP + SELECTION + GITOPS,
    examples=("znp suspend acme -n team-a", "znp suspend -l team=web --wait=false"),
)
@change_options
@pass_signals
def command(signals: Signals, /, **options: Any) -> None:
    """Check the arguments, then write and wait."""
    chosen = ChangeOptions.take(options)
    from zitadel_notification_operator.cli.process.running import run

    from .change_kinds import Suspend
    from .change_run import ChangeRun

    if run(ChangeRun(chosen, Suspend()).run(), signals):
        raise click.exceptions.Exit(1)
