"""What `reconcile`, `suspend` and `resume` share: which objects, and how to wait."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from zitadel_notification_operator.cli.connecting.cluster_options import (
    ClusterOptions,
    cluster_options,
    object_options,
)
from zitadel_notification_operator.cli.options.declaring import option
from zitadel_notification_operator.cli.options.waiting import timeout_option
from zitadel_notification_operator.core.object_names import Named, parse_named

F = TypeVar("F", bound=Callable[..., Any])

SELECTION = """
NAME alone means a NotificationPolicy. KIND is znp, znps or zni, or another name by
which kubectl knows the kind, so that the output of kubectl get -o name fits, too. -l
and --all choose policies and sets. Name objects, or use one of these, not both.
"""
"""The paragraph of the help about the arguments."""

GITOPS = """
The command writes with your own rights and the field manager znp, and never fights with
GitOps: if Argo CD or Flux owns spec.suspend of the object, they put it back. Change it
in Git then.
"""
"""The paragraph of the help about objects that are kept in Git."""


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """What a command changes, and how long it waits.

    Attributes:
        cluster: Which cluster, and where the objects are.
        named: The objects that are named; empty if they are chosen otherwise.
        seconds: How long to wait for the operator's answer; None not to wait.
    """

    cluster: ClusterOptions
    named: tuple[Named, ...]
    seconds: float | None

    @classmethod
    def take(cls, options: dict[str, Any]) -> "ChangeOptions":
        """Take these options out of a command's parameters, and check them.

        Raises:
            click.UsageError: Not exactly one way of naming objects was used.
        """
        cluster = ClusterOptions.take(options)
        named, everything = options.pop("named"), options.pop("everything")
        ways = [bool(named), bool(cluster.selector), everything]
        if sum(ways) != 1:
            many = "not several of these" if any(ways) else "one of these"
            raise click.UsageError(
                f"Name objects, or say -l SELECTOR, or --all: {many}"
            )
        if named and cluster.all_namespaces:
            raise click.UsageError(
                "Objects that are named are in one namespace: use -n instead of -A"
            )
        seconds = options.pop("timeout")
        return cls(cluster, named, seconds if options.pop("wait") else None)


def _all_named(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[Named, ...]:
    try:
        return tuple(dict.fromkeys(parse_named(text) for text in texts))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def change_options(function: F) -> F:
    """Add the argument and the options to a command."""
    decorators: tuple[Callable[[Any], Any], ...] = (
        click.argument(
            "named", nargs=-1, metavar="[[KIND/]NAME]...", callback=_all_named
        ),
        object_options,
        option(
            "--all",
            "everything",
            is_flag=True,
            help="All policies and sets of the namespace, or with -A of all.",
        ),
        option(
            "--wait",
            type=bool,
            default=True,
            metavar="true|false",
            help="Whether to wait until the operator has answered.",
        ),
        timeout_option,
        cluster_options,
    )
    made: Any = function
    for decorate in reversed(decorators):
        made = decorate(made)
    result: F = made
    return result
