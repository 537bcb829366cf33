"""What `znp plan` does: it brings objects, Secrets and ZITADEL together."""

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import click

from zitadel_notification_operator.cli.connecting.cluster_options import ClusterOptions
from zitadel_notification_operator.cli.connecting.zitadel_access import (
    access_of_files,
    adjusted,
)
from zitadel_notification_operator.cli.connecting.zitadel_options import ZitadelOptions
from zitadel_notification_operator.cluster.calls import ApiClient, Forbidden
from zitadel_notification_operator.cluster.connection import connect
from zitadel_notification_operator.cluster.reader import ClusterReader
from zitadel_notification_operator.cluster.secrets import ClusterSecrets
from zitadel_notification_operator.core.credentials import Credential
from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.instance_object import Endpoint, InstanceObject
from zitadel_notification_operator.core.kinds import (
    INSTANCE,
    KINDS,
    POLICY,
    SET,
    Kind,
)
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.ports import Connector, PolicyClient
from zitadel_notification_operator.manifests.reading import Manifests
from zitadel_notification_operator.planning.applying import (
    New,
    apply,
    forbidden_changes,
    led_elsewhere,
)
from zitadel_notification_operator.planning.dry_run import (
    DryRun,
    observed_only_by_reads,
    run,
)
from zitadel_notification_operator.planning.memory_cluster import MemoryCluster
from zitadel_notification_operator.planning.plan import Line, Plan, make_plan
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

from .plan_direct import FileSecrets, at_url, no_crd_is_ending
from .plan_manifests import records_of


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The options of the command.

    Attributes:
        cluster: Which cluster.
        zitadel: Which ZITADEL.
        timeout: Seconds after which what is left counts as unknown.
        trust_instances: Whether to connect where instances of the manifests lead.
    """

    cluster: ClusterOptions
    zitadel: ZitadelOptions
    timeout: float
    trust_instances: bool


async def make(manifests: Manifests, options: PlanOptions) -> Plan:
    """Return what the operator would do.

    Args:
        manifests: What would be applied before.
        options: The options of the command.

    Raises:
        click.ClickException: Kubernetes would refuse the manifests, or there is no such
            instance.
        NoCluster: There is no way into a cluster.
        OperatorError: Kubernetes or a credential cannot be used.
    """
    # The engine's log is for the operator. What matters here is in the plan.
    logging.getLogger("zitadel_notification_operator").addHandler(logging.NullHandler())
    real = ZitadelConnector(allow_local=options.zitadel.allow_local_urls)
    try:
        if options.zitadel.is_direct:
            done = await _without_cluster(manifests, options, real)
        else:
            done = await _on_cluster(manifests, options, real)
    finally:
        await real.aclose()
    plan = make_plan(done)
    return Plan(tuple(line for line in plan.lines if _is_meant(line, options)))


async def _without_cluster(
    manifests: Manifests, options: PlanOptions, real: Connector
) -> DryRun:
    access = access_of_files(options.zitadel)
    new = records_of(manifests, options.cluster.namespace or "default")
    objects = _prepared(at_url(apply([], new), access), options.zitadel)
    return await run(
        objects,
        MemoryCluster(objects, no_crd_is_ending),
        FileSecrets(access),
        real,
        options.zitadel.operator_namespace,
        options.timeout,
    )


async def _on_cluster(
    manifests: Manifests, options: PlanOptions, real: Connector
) -> DryRun:
    cluster, zitadel = options.cluster, options.zitadel
    async with AsyncExitStack() as stack:
        api = (await connect(cluster.kubeconfig, context=cluster.context)).api
        stack.push_async_callback(api.close)
        reader = ClusterReader(api, ())
        existing = await _read_all(reader, api, cluster)
        new = records_of(manifests, cluster.effective_namespace() or "default")
        _require_applicable(reader, existing, new)
        objects = _prepared(apply(existing, new), zitadel)
        names = {one.name for one in objects if one.kind is INSTANCE}
        if zitadel.instance and zitadel.instance not in names:
            raise click.ClickException(
                f"There is no ZitadelInstance {zitadel.instance}"
            )
        elsewhere = led_elsewhere(existing, new)
        trusted = frozenset(names if options.trust_instances else names - elsewhere)
        return await run(
            objects,
            MemoryCluster(objects, reader.crd_is_ending),
            ClusterSecrets(api, zitadel.operator_namespace, for_person=True),
            _TrustedConnector(real, trusted),
            zitadel.operator_namespace,
            options.timeout,
        )


def _is_meant(line: Line, options: PlanOptions) -> bool:
    """Return whether a line is about what the options name.

    All objects take part in the run: those that are not shown compete with the others.
    """
    namespace, instance = options.cluster.namespace, options.zitadel.instance
    about = line.about
    if namespace and not options.zitadel.is_direct and about.key.namespace != namespace:
        return False
    return not instance or about.needed_instance == instance


async def _read_all(
    reader: ClusterReader, api: ApiClient, cluster: ClusterOptions
) -> list[OwnObject]:
    """Return the objects of all namespaces, or of one where no more may be read.

    Raises:
        click.ClickException: The cluster lacks the operator's CRDs.
    """
    reader.kinds = await reader.kinds_served()
    missing = [kind.name for kind in (POLICY, INSTANCE) if kind not in reader.kinds]
    if missing:
        raise click.ClickException(
            f"This cluster does not serve {' and '.join(missing)}: the operator's CRDs "
            "are not installed there. Is it the right --context? To plan manifests "
            "without a cluster, use --url"
        )
    objects: list[OwnObject] = []
    for kind in KINDS:
        try:
            found = await reader.list_objects(kind)
        except Forbidden:
            namespace = cluster.effective_namespace()
            if not kind.namespaced or not namespace:
                raise
            click.echo(
                f"Warning: you may read each {kind} of namespace {namespace} only, so "
                "what others claim is not known",
                err=True,
            )
            one = ClusterReader(api, (namespace,))
            one.kinds = reader.kinds
            found = await one.list_objects(kind)
        objects += found.objects
    return objects


def _require_applicable(
    reader: ClusterReader, existing: Sequence[OwnObject], new: Sequence[New]
) -> None:
    """Require what no schema says of a manifest alone.

    Raises:
        click.ClickException: Kubernetes would refuse a manifest.
    """
    problems = list(forbidden_changes(existing, new))
    lacks_sets = SET not in reader.kinds
    if lacks_sets and any(_kind(made) is SET for made in new):
        problems.append(f"This cluster does not serve {SET}: its CRD is not there")
    if problems:
        raise click.ClickException("\n".join(problems))


def _kind(made: New) -> Kind:
    return made.record.kind


def _prepared(objects: Sequence[OwnObject], zitadel: ZitadelOptions) -> list[OwnObject]:
    """Return objects as the dry run needs them."""
    return [
        _prepared_instance(one, zitadel) if isinstance(one, InstanceObject) else one
        for one in objects
    ]


def _prepared_instance(one: InstanceObject, zitadel: ZitadelOptions) -> InstanceObject:
    named = one.name == zitadel.instance
    rate = replace(ZitadelOptions(), requests_per_second=zitadel.requests_per_second)
    endpoint = adjusted(one.endpoint, zitadel if named else rate)
    changed = replace(
        one,
        url=endpoint.url,
        external_domain=endpoint.external_domain,
        rate_limit=endpoint.rate_limit,
    )
    return observed_only_by_reads(changed)


class _TrustedConnector:
    """Connects only where the cluster's own instances lead; implements `Connector`.

    A manifest that nobody has reviewed could otherwise have the operator's credential
    sent to any server.

    Args:
        real: Makes the clients.
        trusted: The names of the instances that may be connected to.
    """

    def __init__(self, real: Connector, trusted: frozenset[str]) -> None:
        self._real = real
        self._trusted = trusted

    def connect(
        self,
        instance: str,
        endpoint: Endpoint,
        credential: Credential,
        roots: str | None,
    ) -> PolicyClient:
        """Return a client of an instance that is trusted.

        Raises:
            TerminalError: `AddressNotAllowed`: it is not.
        """
        if instance not in self._trusted:
            raise TerminalError(
                Reason.ADDRESS_NOT_ALLOWED,
                f"The manifests lead ZitadelInstance {instance} elsewhere than the "
                "cluster does, or it is new; --trust-instances sends the credential "
                "there",
            )
        return self._real.connect(instance, endpoint, credential, roots)

    async def disconnect(self, instance: str) -> None:
        """Close what belongs to this instance object."""
        await self._real.disconnect(instance)
