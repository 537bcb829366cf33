"""`znp release`: removes the operator's marks when no operator will ever do it."""

import asyncio
from pathlib import Path
from typing import Any

import click

from zitadel_notification_operator.cli.options.classes import class_option
from zitadel_notification_operator.cli.options.declaring import (
    kubeconfig_option,
    option,
    pass_signals,
)
from zitadel_notification_operator.cli.options.own_namespace import own_namespace
from zitadel_notification_operator.cli.process.signals import INTERRUPTED, Signals
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.kinds import INSTANCE, POLICY, SET, ObjectKey
from zitadel_notification_operator.core.names import is_name
from zitadel_notification_operator.core.release import (
    parse_policy_name,
    summarize,
)


def _keys(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[PolicyKey, ...]:
    try:
        return tuple(dict.fromkeys(parse_policy_name(text) for text in texts))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _names(
    _context: click.Context, _parameter: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    for name in names:
        if not is_name(name):
            raise click.BadParameter(f"{name!r} is not the name of a ZitadelInstance")
    return tuple(dict.fromkeys(names))


@click.command(
    name="release",
    help="Remove the operator's finalizer and its record of the original setting from "
    "objects. Use it if the operator was uninstalled before they were deleted. Nothing "
    "is changed in ZITADEL; the output says for each object what is left there. The "
    "exit code is 0 if all named objects are released or had nothing to release.",
)
@click.argument("policies", nargs=-1, metavar="[NAMESPACE/NAME]...", callback=_keys)
@option(
    "--instance",
    "instances",
    multiple=True,
    callback=_names,
    metavar="NAME",
    help="A ZitadelInstance; repeat for more, or separate by blanks in the variable.",
)
@option(
    "--set",
    "sets",
    multiple=True,
    callback=_keys,
    metavar="NAMESPACE/NAME",
    help="A NotificationPolicySet; repeat for more, or separate by blanks in the "
    "variable. Its policies are released by their own names, or by --all.",
)
@option(
    "--all",
    "everything",
    is_flag=True,
    help="All objects of all kinds, in all namespaces, of this class.",
)
@option("--dry-run", is_flag=True, help="Print what would be done, and write nothing.")
@option("--force", is_flag=True, help="Continue even if an operator holds its Lease.")
@option(
    "--namespace",
    default=own_namespace,
    help="The operator's own namespace, which has its Lease. Default: the service "
    "account's, else zitadel-notification-operator.",
)
@class_option(
    "Release what the operator of this class serves: its ZitadelInstances and what "
    "names them. Its Lease is looked at. Default: the operator without a class.",
)
@kubeconfig_option
@pass_signals
def command(
    signals: Signals,
    /,
    *,
    everything: bool,
    dry_run: bool,
    force: bool,
    namespace: str,
    operator_class: str,
    kubeconfig: Path | None,
    **named: tuple[Any, ...],
) -> None:
    """Check the arguments, then release the objects."""
    is_named = any(named.values())
    if is_named and everything:
        raise click.UsageError("Name objects or say --all, not both")
    if not (is_named or everything):
        raise click.UsageError(
            "Name what to release: NAMESPACE/NAME, --instance NAME, --set "
            "NAMESPACE/NAME, or --all"
        )
    from zitadel_notification_operator.cli.process.running import until_interrupted
    from zitadel_notification_operator.cluster.connection import NoCluster

    from .release_run import Run

    named_keys = {
        SET: named["sets"],
        POLICY: named["policies"],
        INSTANCE: tuple(ObjectKey("", name) for name in named["instances"]),
    }
    run = Run(named_keys, operator_class, dry_run=dry_run)
    work = run.run(kubeconfig, None if force else namespace)
    try:
        asyncio.run(until_interrupted(work, signals))
    except asyncio.CancelledError:
        click.echo(
            f"Interrupted after {run.released} released: that stays so; for the others "
            "run it again",
            err=True,
        )
        raise click.exceptions.Exit(INTERRUPTED) from None
    except NoCluster as error:
        raise click.ClickException(str(error)) from error
    except ClusterError as error:
        raise click.ClickException(error.message) from error
    click.echo(summarize(run.released, run.nothing, run.failed, dry_run=dry_run))
    if run.failed:
        raise click.exceptions.Exit(1)
