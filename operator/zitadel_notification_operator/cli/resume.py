"""`znp resume`: continues the reconciliation of suspended objects."""

from typing import Any

import click

from .changes import GITOPS, SELECTION, ChangeOptions, change_options
from .commands import pass_signals
from .examples import ExampleCommand
from .signals import Signals

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
    from .change_kinds import Resume
    from .change_run import ChangeRun
    from .running import run

    if run(ChangeRun(chosen, Resume()).run(), signals):
        raise click.exceptions.Exit(1)
