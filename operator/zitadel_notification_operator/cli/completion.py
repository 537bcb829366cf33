"""`znp completion`: the script by which a shell completes the command line."""

import click
from click.shell_completion import get_completion_class

from .options.examples import ExampleCommand
from .process.program import COMPLETE_VARIABLE, NAME, called_as

SHELLS = ("bash", "zsh", "fish")
"""The shells that click can complete for."""


@click.command(
    name="completion",
    help="Print the script by which a shell completes the names of commands and "
    "options.\n\nIt needs nothing but this program, and no cluster. kubectl completes "
    "the plugin by itself, if kubectl_complete-zitadel_notification is in the PATH.",
    cls=ExampleCommand,
    examples=(
        "znp completion bash > ~/.local/share/bash-completion/completions/znp",
        "znp completion fish > ~/.config/fish/completions/znp.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script for a shell."""
    if called_as() != NAME:
        raise click.ClickException(
            "kubectl completes its plugins by itself: put the executable "
            "kubectl_complete-zitadel_notification, which is installed beside this "
            "one, into the PATH, and load kubectl's own completion; for the command "
            f"{NAME}, run {NAME} completion {shell}"
        )
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"There is no completion for {shell}")
    made = kind(context.find_root().command, {}, NAME, COMPLETE_VARIABLE)
    click.echo(made.source())
