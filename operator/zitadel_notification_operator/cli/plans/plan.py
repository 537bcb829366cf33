"""`znp plan`: what the objects would do in ZITADEL; writes nothing."""

import json
import sys
from typing import Any

import click

from zitadel_notification_operator.cli.connecting.cluster_options import (
    ClusterOptions,
    cluster_options,
    object_options,
)
from zitadel_notification_operator.cli.connecting.zitadel_options import (
    ZitadelOptions,
    zitadel_options,
)
from zitadel_notification_operator.cli.options.declaring import option, pass_signals
from zitadel_notification_operator.cli.options.durations import Duration
from zitadel_notification_operator.cli.options.examples import ExampleCommand
from zitadel_notification_operator.cli.process.signals import Signals

CHANGES = 2
"""The exit code of `--detailed-exitcode` when there are changes."""


@click.command(
    name="plan",
    help="""Show what the objects would change in ZITADEL, and write nothing.

    The operator's own engine decides, over a copy of the cluster's objects. With -f, it
    is as if these manifests were applied now. With --url and a file with a credential,
    no cluster is asked.

    Each line is an object that changes something, is in conflict, or could not be found
    out about. In the last case the exit code is 1.
    """,
    cls=ExampleCommand,
    examples=(
        "znp plan",
        "znp plan -f policies/ -R --detailed-exitcode",
        "znp plan -f policy.yaml --url https://zitadel.example.com --token-file token",
    ),
)
@option(
    "--filename",
    "-f",
    "sources",
    multiple=True,
    metavar="FILE|DIR|-",
    help="A manifest, a folder of manifests, or - for standard input; repeat for more.",
)
@option("--recursive", "-R", is_flag=True, help="Also read the folders in a folder.")
@object_options
@cluster_options
@zitadel_options
@option(
    "--output",
    "-o",
    type=click.Choice(["text", "json"]),
    default="text",
    help="The format; docs/reference/schemas/plan.json describes the JSON.",
)
@option("--show-unchanged", is_flag=True, help="Also list what changes nothing.")
@option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes.")
@option(
    "--trust-instances",
    is_flag=True,
    help="Also connect where a ZitadelInstance of the manifests leads, with the Secret "
    "that it names. Without this, what needs it is unknown.",
)
@option(
    "--timeout",
    type=Duration(1, 86400, "from 1s to 24h"),
    default="10m",
    help="How long to wait; what is not found out by then is unknown.",
)
@pass_signals
def command(
    signals: Signals,
    /,
    *,
    sources: tuple[str, ...],
    recursive: bool,
    output: str,
    show_unchanged: bool,
    detailed_exitcode: bool,
    trust_instances: bool,
    timeout: float,
    **others: Any,
) -> None:
    """Check the options, run the plan, and print it."""
    cluster = ClusterOptions.take(others)
    zitadel = ZitadelOptions.take(others)
    if zitadel.is_direct and not sources:
        raise click.UsageError("Without a cluster there is nothing to plan: add -f")
    if cluster.selector:
        raise click.UsageError(
            "A plan has no -l: objects compete with those that it would leave out"
        )
    from zitadel_notification_operator.cli.process.running import run
    from zitadel_notification_operator.planning.wording import as_json, as_text

    from .plan_manifests import read
    from .plan_run import PlanOptions, make

    manifests = read(sources, recursive=recursive)
    options = PlanOptions(cluster, zitadel, timeout, trust_instances)
    plan = run(make(manifests, options), signals)
    if output == "json":
        json.dump(as_json(plan, show_unchanged=show_unchanged), sys.stdout, indent=2)
        click.echo()
    else:
        for line in as_text(plan, show_unchanged=show_unchanged):
            click.echo(line)
    if not plan.is_certain:
        raise click.exceptions.Exit(1)
    if detailed_exitcode and plan.has_changes:
        raise click.exceptions.Exit(CHANGES)
