"""`znp reconcile`: asks the operator for a pass over objects, and waits."""

from typing import Any

import click

from zitadel_notification_operator.cli.options.declaring import pass_signals
from zitadel_notification_operator.cli.options.examples import ExampleCommand
from zitadel_notification_operator.cli.process.signals import Signals

from .changes import SELECTION, ChangeOptions, change_options

HELP = """
Ask the operator for a pass over objects, and wait until it has answered. The answer
tells whether the object is Ready. The exit code is 0 in either case, and 1 if there is
no answer, or an object cannot be asked for.

The annotation zitadel-notification.dev/reconcile-requested-at carries the request. No
GitOps tool puts it back, unless Git has the annotation, too.
"""
"""What the command does."""


@click.command(
    name="reconcile",
    cls=ExampleCommand,
    help=HELP + SELECTION,
    examples=(
        "znp reconcile acme -n team-a",
        "znp reconcile zni/default znps/customers",
    ),
)
@change_options
@pass_signals
def command(signals: Signals, /, **options: Any) -> None:
    """Check the arguments, then write and wait."""
    chosen = ChangeOptions.take(options)
    from zitadel_notification_operator.cli.process.running import run

    from .change_kinds import Reconcile
    from .change_run import ChangeRun

    if run(ChangeRun(chosen, Reconcile()).run(), signals):
        raise click.exceptions.Exit(1)
