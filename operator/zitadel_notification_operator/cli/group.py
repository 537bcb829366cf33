"""The group `znp`: imports a command only when it is called, and sets exit codes.

So `znp --help`, `--version` and completion import click and the standard library only.
"""

import errno
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError
from click.shell_completion import CompletionItem

from .commands import COMMANDS, SERVERS
from .process.output import discard_output, open_streams, tell_unwritable
from .process.signals import INTERRUPTED, Signals

USAGE = 64
"""Exit code of a command line that is wrong (`EX_USAGE` of sysexits.h). click's own is
2, which means that the answer is "not so", where that is asked for."""


class LazyGroup(click.Group):
    """A click group that imports a command only when it is needed."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's own argument
        **extra: Any,
    ) -> Any:
        """Run the command line and exit with the code that says how it ended."""
        if not standalone_mode:
            return super().main(
                args, prog_name, complete_var, standalone_mode=False, **extra
            )
        open_streams()
        try:
            code = self._run(args, prog_name, complete_var, **extra)
            sys.stdout.flush()
        except OSError as error:
            code = tell_unwritable(error)
        sys.exit(code)

    def _run(
        self,
        args: Sequence[str] | None,
        prog_name: str | None,
        complete_var: str | None,
        **extra: Any,
    ) -> int:
        """Run the command line, show what is wrong, and return the exit code."""
        try:
            code = super().main(
                args, prog_name, complete_var, standalone_mode=False, **extra
            )
        except NoArgsIsHelpError as error:
            click.echo(error.format_message())
            code = 0
        except click.UsageError as error:
            error.show()
            code = USAGE
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except click.Abort:
            code = INTERRUPTED
        # A command returns nothing, and click returns the code of `Context.exit`.
        return code if isinstance(code, int) else 0

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; that a reader such as `head` closes the pipe is no error."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            discard_output()
            ctx.exit(0)
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order in which people need them."""
        return list(COMMANDS)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the commands, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(n, c.summary) for n, c in COMMANDS.items()])

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the name of a command, without importing any of them."""
        names = [
            CompletionItem(name, help=listed.summary)
            for name, listed in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. A signal that comes before it runs ends the process."""
        signals = ctx.find_object(Signals)
        if signals is not None:
            signals.exit_at_once(0 if args[0] in SERVERS else INTERRUPTED)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of the command and return its `command`; None if unknown."""
        listed = COMMANDS.get(cmd_name)
        if listed is None:
            return None
        command: click.Command = import_module(
            listed.module(cmd_name), __package__
        ).command
        command.short_help = listed.summary
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="zitadel-notification-operator", prog_name="znp")
def znp() -> None:
    """Keep ZITADEL's notification policies as declared in Kubernetes."""
