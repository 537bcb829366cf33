"""What `znp export` reads, and what it writes and says."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import click

from zitadel_notification_operator.cli.connecting.cluster_options import ClusterOptions
from zitadel_notification_operator.cli.connecting.zitadel_access import open_zitadel
from zitadel_notification_operator.cli.connecting.zitadel_options import ZitadelOptions
from zitadel_notification_operator.cli.process.output import utf8_output
from zitadel_notification_operator.cli.process.progress import progress_of
from zitadel_notification_operator.core.policy import (
    ManagementPolicy,
    ObservedPolicy,
    Organization,
)
from zitadel_notification_operator.core.references import By
from zitadel_notification_operator.core.text import shown_name
from zitadel_notification_operator.manifests.errors import ManifestError
from zitadel_notification_operator.manifests.exporting import (
    Exporter,
    instance_manifest,
)
from zitadel_notification_operator.manifests.manifest import (
    DEFAULT_INSTANCE,
    Manifest,
    Style,
)
from zitadel_notification_operator.manifests.survey import Survey, Surveyor
from zitadel_notification_operator.manifests.terraform_import import write_imports
from zitadel_notification_operator.manifests.writing import Format, write_manifests


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The options of the command that are its own; see its help."""

    shape: str
    include_inherited: bool
    instance_policy: bool
    management_policy: str
    by: str
    set_name: str
    namespace: str
    instance_ref: str
    output: str


async def export(
    options: ExportOptions, zitadel: ZitadelOptions, cluster: ClusterOptions
) -> None:
    """Read a ZITADEL whole, then write what it holds.

    Raises:
        click.ClickException: It cannot be written as asked; the text says why.
        NoCluster: There is no way into a cluster.
        OperatorError: Something cannot be read. Nothing has been written then.
    """
    async with open_zitadel(zitadel, cluster) as (client, access):
        with progress_of("policies") as progress:
            surveyor = Surveyor(
                client,
                workers=access.endpoint.rate_limit.max_concurrent,
                progress=progress,
            )
            survey = await surveyor.survey()
            instance = None
            if options.instance_policy:
                instance = await surveyor.patiently(lambda: client.observe(None))
    reference = options.instance_ref or zitadel.instance or DEFAULT_INSTANCE
    management = ManagementPolicy(options.management_policy)
    _tell(survey)
    if options.instance_policy and instance is None:
        _warn("The instance has no policy of its own, so there is none in the output")
    try:
        _write(options, survey, instance, Style(reference, management))
    except ManifestError as error:
        raise click.ClickException(str(error)) from error


def _write(
    options: ExportOptions,
    survey: Survey,
    instance: ObservedPolicy | None,
    style: Style,
) -> None:
    stream = utf8_output()
    if options.shape == "terraform-import":
        count = write_imports(survey, stream, instance=instance is not None)
    else:
        count = write_manifests(
            _manifests(options, survey, instance, style),
            stream,
            form=Format(options.output),
            namespace=options.namespace,
        )
    if not count:
        _say(
            "No organization has a policy of its own; --include-inherited writes those "
            "that inherit"
        )


def _manifests(
    options: ExportOptions,
    survey: Survey,
    instance: ObservedPolicy | None,
    style: Style,
) -> Iterator[Manifest]:
    exporter = Exporter(survey, style, By(options.by))
    first = () if instance is None else (instance_manifest(instance, style),)
    if options.shape == "set":
        # Nothing is written if there can be no set.
        return chain(first, exporter.set_of_all(options.set_name))
    return chain(first, exporter.policies(inherited=options.include_inherited))


def _tell(survey: Survey) -> None:
    for one in survey.removed:
        _warn(f"{_title(one)} was removed meanwhile; it is not in the output")
    for one in survey.without:
        _warn(f"For {_title(one)} no policy is in force; it is not in the output")
    if survey.hidden:
        _warn(
            f"ZITADEL has {survey.hidden} more organizations, which the credential may "
            "not see; they are not in the output"
        )


def _title(organization: Organization) -> str:
    return f"Organization {shown_name(organization.name)} ({organization.id})"


def _warn(sentence: str) -> None:
    _say(f"Warning: {sentence}")


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
