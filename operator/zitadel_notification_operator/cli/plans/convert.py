"""`znp convert`: manifests of what other tools hold."""

import sys
from typing import Any

import click

from zitadel_notification_operator.cli.options.declaring import option
from zitadel_notification_operator.cli.options.examples import ExampleCommand

from .manifest_options import manifest_options

TOOLS = ("terraform", "pulumi", "truvity", "crossplane")


@click.command(
    name="convert",
    help="""Write manifests of the notification policies that another tool manages.

    FILE is what one of these prints, and - is standard input: terraform state pull or
    terraform show -json (OpenTofu's, too), pulumi stack export, kubectl get -o json.
    Each manifest names its organization by id, says where it comes from, and has
    deletionPolicy Retain. What cannot be read is an error; there is no output then.
    ZITADEL is not asked.

    """,
    cls=ExampleCommand,
    examples=(
        "terraform state pull | znp convert --from terraform -",
        "znp convert --from truvity --management-policy Observe objects.json",
    ),
)
@click.argument("file", metavar="FILE|-")
@option(
    "--from",
    "tool",
    type=click.Choice(TOOLS),
    required=True,
    help="The tool.",
)
@option(
    "--management-policy",
    type=click.Choice(("Manage", "Observe")),
    default="Manage",
    help="The managementPolicy of what is written; Observe to move in without a write.",
)
@manifest_options
def command(file: str, tool: str, management_policy: str, **options: Any) -> None:
    """Read a file whole, then write manifests."""
    from zitadel_notification_operator.cli.process.output import utf8_output
    from zitadel_notification_operator.core.policy import ManagementPolicy
    from zitadel_notification_operator.core.text import one_line
    from zitadel_notification_operator.manifests.conversion.policies import (
        READERS,
        manifests_of,
    )
    from zitadel_notification_operator.manifests.errors import ManifestError
    from zitadel_notification_operator.manifests.manifest import (
        DEFAULT_INSTANCE,
        Style,
    )
    from zitadel_notification_operator.manifests.sources import read_text
    from zitadel_notification_operator.manifests.writing import Format, write_manifests

    instance = options["instance_ref"] or DEFAULT_INSTANCE
    style = Style(instance, ManagementPolicy(management_policy))
    try:
        name, text = read_text(file, sys.stdin)
        findings = READERS[tool](text, name)
        manifests = manifests_of(findings, style)
    except ManifestError as error:
        raise click.ClickException(str(error)) from error
    for warning in findings.warnings:
        click.echo(f"Warning: {one_line(warning)}", err=True)
    write_manifests(
        manifests,
        utf8_output(),
        form=Format(options["output"]),
        namespace=options["namespace"],
    )
    if not manifests:
        click.echo(
            f"There is no notification policy in {one_line(name)}; other resources: "
            f"{findings.skipped}",
            err=True,
        )
