"""The `znp` command: one file a command, options also by environment.

Commands are imported when called, so that `znp emulator` does not pay for kopf.
"""

from importlib import import_module

import click

from zitadel_notification_operator.version import VERSION

COMMANDS = {
    "run": "run the operator",
    "emulator": "run a ZITADEL for trials and tests",
    "demo": "see the whole thing work on this machine",
    "release": "let objects go after an uninstall in the wrong order",
}


class LazyGroup(click.Group):
    """A click group whose commands are imported only when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import `cli/<cmd_name>.py` and return its `command`; None if unknown."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        command.short_help = COMMANDS[cmd_name]
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="znp")
def main() -> None:
    """Keep ZITADEL's notification policies as declared in Kubernetes."""
