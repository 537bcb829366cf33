"""How options are declared: as `--name`, and as an environment variable."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from zitadel_notification_operator.cli.process.signals import Signals

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
"""An option's value that names an existing file."""

pass_signals = click.make_pass_decorator(Signals, ensure=True)
"""Passes the `Signals` of the process to a command. A test that calls a command without
any gets an instance that listens to nothing."""

F = TypeVar("F", bound=Callable[..., Any])


def option(
    name: str, *more: str, variable: str = "", **settings: Any
) -> Callable[[F], F]:
    """Add an option to a command. An environment variable may set it, too.

    The variable of `--log-level` is `ZNP_LOG_LEVEL`. The help of the command shows it,
    and the default, unless that is computed.

    Args:
        name: The option, such as `--log-level` or `--keep/--no-keep`.
        more: A short form, or another name for the command's parameter.
        variable: The name of the variable, if it is not that of the option.
        settings: As `click.option` takes them.
    """
    variable = variable or name.partition("/")[0].lstrip("-").replace("-", "_").upper()
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
