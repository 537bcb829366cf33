"""`znp export`: manifests of what a ZITADEL holds."""

from typing import Any

import click

from zitadel_notification_operator.cli.connecting.cluster_options import (
    ClusterOptions,
    cluster_options,
)
from zitadel_notification_operator.cli.connecting.zitadel_options import (
    ZitadelOptions,
    zitadel_options,
)
from zitadel_notification_operator.cli.options.declaring import option, pass_signals
from zitadel_notification_operator.cli.options.examples import ExampleCommand
from zitadel_notification_operator.cli.process.signals import Signals

from .manifest_options import manifest_options

SHAPES = ("policies", "set", "terraform-import")


@click.command(
    name="export",
    help="""Write manifests of the notification policies that a ZITADEL holds.

    Each organization that has a policy of its own gets a NotificationPolicy with the
    same values and with deletionPolicy Retain, so that applying it changes nothing in
    ZITADEL, and deleting it neither. The output is complete, or there is none.

    """,
    cls=ExampleCommand,
    examples=(
        "znp export --instance default -n team-a > policies.yaml",
        "znp export --url https://zitadel.example.com --token-file token --as set",
    ),
)
@option(
    "--as",
    "shape",
    type=click.Choice(SHAPES),
    default="policies",
    help="policies: one for each organization. set: one NotificationPolicySet with the "
    "commoner value, and policies for the others; only where each organization has a "
    "policy of its own. terraform-import: blocks that make Terraform take them over.",
)
@option(
    "--include-inherited",
    is_flag=True,
    help="Also the organizations that inherit the instance's policy, with "
    "managementPolicy Observe.",
)
@option("--instance-policy", is_flag=True, help="Also the instance's own policy.")
@option(
    "--management-policy",
    type=click.Choice(("Manage", "Observe")),
    default="Manage",
    help="The managementPolicy of what is written; Observe to move in without a write.",
)
@option(
    "--by",
    type=click.Choice(("id", "name")),
    default="id",
    help="How organizations are named. One whose name is not unique, or cannot be used "
    "in a manifest, is always named by its id.",
)
@option(
    "--set-name",
    default="organizations",
    help="The name of the set of --as set.",
)
@manifest_options
@zitadel_options
@cluster_options
@pass_signals
def command(signals: Signals, /, **options: Any) -> None:
    """Check the options, read ZITADEL, then write."""
    zitadel = ZitadelOptions.take(options)
    # The namespace is not that of objects that are read.
    cluster = ClusterOptions(options.pop("kubeconfig"), options.pop("context") or "")
    _check(options)
    from zitadel_notification_operator.cli.process.running import run

    from .export_run import ExportOptions, export

    run(export(ExportOptions(**options), zitadel, cluster), signals)


def _check(options: dict[str, Any]) -> None:
    """Refuse options that do not fit together.

    Raises:
        click.UsageError: The text says what to do.
    """
    shape = options["shape"]
    if shape != "policies" and options["include_inherited"]:
        raise click.UsageError(f"--include-inherited does not go with --as {shape}")
    if shape == "terraform-import" and options["output"] != "yaml":
        raise click.UsageError("--as terraform-import writes HCL: leave out -o")
    from zitadel_notification_operator.core.names import is_name
    from zitadel_notification_operator.core.set_object import LONGEST_NAME

    name = options["set_name"]
    if not is_name(name) or len(name) > LONGEST_NAME:
        raise click.UsageError(f"--set-name: {name!r} is not the name of a set")
