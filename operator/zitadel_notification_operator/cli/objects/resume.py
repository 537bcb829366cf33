"""`znp resume`: continues the reconciliation of suspended objects."""

from typing import Any

import click

from zitadel_notification_operator.cli.options.declaring import pass_signals
from zitadel_notification_operator.cli.options.examples import ExampleCommand
from zitadel_notification_operator.cli.process.signals import Signals

from .changes import GITOPS, SELECTION, ChangeOptions, change_options

HELP = """
Resume suspended policies and sets, and wait until the first pass has ended. The answer
tells whether the object is Ready.
"""
"""What the command does."""


@click.command(
    name="resume",
    cls=ExampleCommand,
    help=HELP + SELECTION + GITOPS,
    examples=("znp resume acme -n team-a", "znp resume --all --all-namespaces"),
)
@change_options
@pass_signals
def command(signals: Signals, /, **options: Any) -> None:
    """Check the arguments, then write and wait."""
    chosen = ChangeOptions.take(options)
    from zitadel_notification_operator.cli.process.running import run

    from .change_kinds import Resume
    from .change_run import ChangeRun

    if run(ChangeRun(chosen, Resume()).run(), signals):
        raise click.exceptions.Exit(1)
