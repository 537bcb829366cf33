"""What the subcommands of `znp` share: their list, and how options are declared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .signals import Signals

COMMANDS = {
    "run": "run the operator",
    "status": "show objects, what is in force, and what mends them",
    "reconcile": "ask the operator for a pass over objects",
    "suspend": "stop the reconciliation of objects",
    "resume": "continue the reconciliation of suspended objects",
    "emulator": "run a ZITADEL for trials and tests",
    "demo": "see the whole thing work on this machine",
    "plan": "show what would change in ZITADEL, and write nothing",
    "export": "write manifests of what a ZITADEL holds",
    "convert": "write manifests of what another tool holds",
    "history": "show who changed which policy when",
    "report": "report what is in force, for people who audit",
    "check": "check what a credential can do in ZITADEL",
    "release": "remove the finalizers that an uninstall has left behind",
    "completion": "print the script that completes this command line",
}

SERVERS = {"run", "emulator"}
"""The commands that run until a signal, so that a signal is their normal end."""

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
