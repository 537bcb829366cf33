"""The subcommands of `znp`, each imported only when it is called.

So `znp emulator` does not pay for importing kopf, and help is quick.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from zitadel_notification_operator.version import VERSION

from .signals import INTERRUPTED, Signals

COMMANDS = {
    "run": "run the operator",
    "emulator": "run a ZITADEL for trials and tests",
    "demo": "see the whole thing work on this machine",
    "release": "remove the finalizers that an uninstall has left behind",
}

SERVERS = {"run", "emulator"}
"""The commands that run until a signal, so that a signal is their normal end."""

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
"""An option's value that names an existing file."""

pass_signals = click.make_pass_decorator(Signals, ensure=True)
"""Passes the `Signals` of the process to a command. A test that calls a command without
any gets an instance that listens to nothing."""

F = TypeVar("F", bound=Callable[..., Any])


def option(name: str, *more: str, **settings: Any) -> Callable[[F], F]:
    """Add an option to a command. An environment variable may set it, too.

    The variable of `--log-level` is `ZNP_LOG_LEVEL`. The help of the command shows it,
    and the default, unless that is computed.

    Args:
        name: The option, such as `--log-level` or `--keep/--no-keep`.
        more: Another name for the command's parameter, if there is one.
        settings: As `click.option` takes them.
    """
    variable = name.partition("/")[0].lstrip("-").replace("-", "_").upper()
    default = settings.get("default")
    return click.option(
        *(name, *more),
        envvar=f"ZNP_{variable}",
        show_envvar=True,
        show_default=bool(default) and not callable(default),
        **settings,
    )


kubeconfig_option = option(
    "--kubeconfig",
    type=FILE,
    help="A kubeconfig file. Default: in-cluster, then KUBECONFIG, then "
    "~/.kube/config.",
)
"""The option that names the cluster."""


class LazyGroup(click.Group):
    """A click group that imports a command only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order in which people need them."""
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. A signal that comes before it runs ends the process."""
        signals = ctx.find_object(Signals)
        if signals is not None:
            signals.exit_at_once(0 if args[0] in SERVERS else INTERRUPTED)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import `cli/<cmd_name>.py` and return its `command`; None if unknown."""
        if cmd_name not in COMMANDS:
            return None
        package = __package__
        command: click.Command = import_module(f"{package}.{cmd_name}").command
        command.short_help = COMMANDS[cmd_name]
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="znp")
def znp() -> None:
    """Keep ZITADEL's notification policies as declared in Kubernetes."""
