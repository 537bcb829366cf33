"""`znp status`: one object from its spec up to ZITADEL, or a table of objects."""

from typing import Any

import click

from zitadel_notification_operator.cli.connecting.cluster_options import (
    ClusterOptions,
    cluster_options,
    object_options,
)
from zitadel_notification_operator.cli.connecting.zitadel_options import (
    ZitadelOptions,
    allow_local_urls_option,
    operator_namespace_option,
)
from zitadel_notification_operator.cli.options.declaring import option, pass_signals
from zitadel_notification_operator.cli.options.examples import ExampleCommand
from zitadel_notification_operator.cli.options.waiting import timeout_option
from zitadel_notification_operator.cli.process.signals import Signals
from zitadel_notification_operator.core.object_names import Named, parse_named

NOT_READY = 2
"""Exit code of `--exit-code`: the answer is that an object is not Ready."""


def _named(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> Named | None:
    try:
        return None if text is None else parse_named(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(
    name="status",
    cls=ExampleCommand,
    help="Show an object of this operator: what its spec asks for and what is in force,"
    " its conditions and what mends them, its ZitadelInstance, what ZITADEL holds now "
    "and who changed it last, which other objects claim the same target, and its "
    "Events.\n\nNAME alone means a NotificationPolicy. KIND is znp, znps or zni, or "
    "another name by which kubectl knows the kind. Without a name there is a table of "
    "the objects of the namespace and the instances that they use, or of all with -A, "
    "and their totals.\n\nAll is read with your own rights. ZITADEL is "
    "asked if you may read the Secret of the ZitadelInstance, and left out otherwise. "
    "Nothing is written.",
    examples=(
        "znp status acme -n team-a",
        "znp status znps/customers -n team-a -o json",
        "znp status --all-namespaces --wait --timeout 5m",
    ),
)
@click.argument("named", required=False, metavar="[[KIND/]NAME]", callback=_named)
@object_options
@option(
    "--output",
    "-o",
    type=click.Choice(["text", "json"]),
    default="text",
    help="The format.",
)
@option(
    "--wait",
    is_flag=True,
    help="Wait until the object, or each object of the table, is Ready for its newest "
    "spec. The exit code is 1 if that does not happen in time.",
)
@timeout_option
@option(
    "--exit-code",
    "sets_exit_code",
    is_flag=True,
    help="Exit with 2 if the object, or one of the table, is not Ready. A suspended "
    "one counts by the conditions of its last pass.",
)
@option(
    "--url",
    help="Another URL of the ZITADEL of the ZitadelInstance, such as that of a port "
    "forwarding.",
)
@allow_local_urls_option
@operator_namespace_option
@cluster_options
@pass_signals
def command(
    signals: Signals,
    /,
    *,
    named: Named | None,
    output: str,
    timeout: float,
    wait: bool,
    sets_exit_code: bool,
    **options: Any,
) -> None:
    """Check the arguments, then show the object or the table."""
    cluster = ClusterOptions.take(options)
    if named is not None and (cluster.all_namespaces or cluster.selector):
        raise click.UsageError("Name an object, or choose some by -A or -l, not both")
    from zitadel_notification_operator.cli.process.running import run

    from .status_run import StatusRun

    zitadel = ZitadelOptions(**{k: v for k, v in options.items() if v})
    seconds = timeout if wait else None
    made = StatusRun(cluster, zitadel, is_json=output == "json", seconds=seconds)
    work = made.table() if named is None else made.one(named)
    is_ready = run(work, signals)
    if sets_exit_code and not is_ready:
        raise click.exceptions.Exit(NOT_READY)
