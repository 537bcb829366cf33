"""What `znp plan` reads: the cluster's objects, manifests, and ZITADEL."""

import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime

import click

from zitadel_notification_operator.cluster.calls import ApiClient, Forbidden
from zitadel_notification_operator.cluster.connection import connect
from zitadel_notification_operator.cluster.reader import ClusterReader
from zitadel_notification_operator.cluster.resources import UnusableObject, parse
from zitadel_notification_operator.cluster.secrets import ClusterSecrets
from zitadel_notification_operator.core.credentials import (
    CLIENT_ID,
    CLIENT_SECRET,
    AccessToken,
    CaRef,
    ClientSecret,
    Credential,
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import INSTANCE, KINDS, Kind, ObjectKey
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.engine.ports import SecretReader
from zitadel_notification_operator.manifests.errors import ManifestError
from zitadel_notification_operator.manifests.reading import read_manifests
from zitadel_notification_operator.planning.applying import (
    New,
    apply,
    says_suspend,
    with_metadata,
)
from zitadel_notification_operator.planning.dry_run import (
    observed_only_by_reads,
    run,
)
from zitadel_notification_operator.planning.memory_cluster import MemoryCluster
from zitadel_notification_operator.planning.plan import Plan, make_plan
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

from .cluster_options import ClusterOptions
from .zitadel_access import Access, access_of_files, adjusted
from .zitadel_options import ZitadelOptions

_SECRET = "credential"  # noqa: S105 - the name of what holds it
_EVERYTHING = Grant(("*",), frozenset(Scope))


async def make(
    sources: Sequence[str],
    cluster: ClusterOptions,
    zitadel: ZitadelOptions,
    *,
    recursive: bool,
    timeout: float,  # noqa: ASYNC109 - it ends the plan with what is known
) -> Plan:
    """Read all objects, and return what the operator would do about them.

    Args:
        sources: Files, folders or `-`.
        cluster: Which cluster.
        zitadel: Which ZITADEL.
        recursive: Whether folders in folders are read, too.
        timeout: Seconds after which what is left counts as unknown.

    Raises:
        NoCluster: There is no way into a cluster.
        OperatorError: Kubernetes or a file cannot be used.
    """
    # The engine's log is for the operator. What matters here is in the plan.
    logging.getLogger("zitadel_notification_operator").addHandler(logging.NullHandler())
    async with AsyncExitStack() as stack:
        secrets: SecretReader
        ending: Callable[[Kind], Awaitable[bool]]
        if zitadel.is_direct:
            namespace = cluster.namespace or "default"
            manifests = _records(sources, namespace, recursive=recursive)
            objects = apply([], manifests)
            access = access_of_files(zitadel)
            objects += _instances_of_url(objects, access)
            secrets, ending = _FileSecrets(access), _never
        else:
            api = (await connect(cluster.kubeconfig, context=cluster.context)).api
            stack.push_async_callback(api.close)
            reader = ClusterReader(api, ())
            objects = await _read_all(reader, api, cluster)
            manifests = _records(
                sources, cluster.effective_namespace() or "default", recursive=recursive
            )
            objects = apply(objects, manifests)
            secrets = ClusterSecrets(api, zitadel.operator_namespace, for_person=True)
            ending = reader.crd_is_ending
        objects = [_prepared(one, zitadel) for one in objects]
        if zitadel.instance:
            _require_instance(objects, zitadel.instance)
            objects = [one for one in objects if _is_of(one, zitadel.instance)]
        connector = ZitadelConnector(allow_local=zitadel.allow_local_urls)
        stack.push_async_callback(connector.aclose)
        memory = MemoryCluster(objects, ending)
        done = await run(
            objects, memory, secrets, connector, zitadel.operator_namespace, timeout
        )
    plan = make_plan(done)
    if cluster.namespace and not zitadel.is_direct:
        lines = (line for line in plan.lines if line.about.key.namespace)
        plan = Plan(
            tuple(one for one in lines if one.about.key.namespace == cluster.namespace)
        )
    return plan


async def _read_all(
    reader: ClusterReader, api: ApiClient, cluster: ClusterOptions
) -> list[OwnObject]:
    """Return the objects of all namespaces, or of one where no more may be read."""
    reader.kinds = await reader.kinds_served()
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


def _records(sources: Sequence[str], namespace: str, *, recursive: bool) -> list[New]:
    """Return what the manifests would make."""
    if not sources:
        return []
    try:
        manifests = read_manifests(sources, recursive=recursive, stdin=sys.stdin)
    except ManifestError as error:
        raise click.ClickException(str(error)) from error
    if manifests.skipped:
        many = manifests.skipped > 1
        what = "objects of other kinds" if many else "object of another kind"
        click.echo(f"Skipped {manifests.skipped} {what}", err=True)
    now, found = datetime.now(UTC), []
    for number, (kind, body) in enumerate(manifests.objects):
        try:
            record = parse(kind, with_metadata(kind, body, namespace, number, now))
            found.append(New(record, says_suspend(body)))
        except UnusableObject as error:
            raise click.ClickException(f"A manifest of {kind}: {error}") from error
    return found


def _prepared(one: OwnObject, zitadel: ZitadelOptions) -> OwnObject:
    """Return an object as the dry run needs it."""
    if not isinstance(one, InstanceObject):
        return one
    if not zitadel.is_direct:
        endpoint = adjusted(one.endpoint, zitadel)
        one = replace(
            one,
            url=endpoint.url if zitadel.instance == one.name else one.url,
            external_domain=endpoint.external_domain,
            rate_limit=endpoint.rate_limit,
        )
    return observed_only_by_reads(one)


def _require_instance(objects: Sequence[OwnObject], name: str) -> None:
    if not any(one.kind is INSTANCE and one.name == name for one in objects):
        raise click.ClickException(f"There is no ZitadelInstance {name}")


def _is_of(one: OwnObject, instance: str) -> bool:
    if one.kind is INSTANCE:
        return one.name == instance
    return one.needed_instance == instance


def _instances_of_url(
    objects: Sequence[OwnObject], access: Access
) -> list[InstanceObject]:
    """Return an instance for each name that objects use, all at the same URL."""
    names = {one.needed_instance for one in objects if one.needed_instance}
    return [
        InstanceObject(
            key=ObjectKey("", name),
            uid=f"url-{name}",
            generation=1,
            created="1970-01-01T00:00:00Z",
            url=access.endpoint.url,
            external_domain=access.endpoint.external_domain,
            rate_limit=access.endpoint.rate_limit,
            credential=_reference_to(access.credential),
            ca=CaRef("ConfigMap", _SECRET, _SECRET) if access.roots else None,
            grants=(_EVERYTHING,),
        )
        for name in sorted(names)
    ]


def _reference_to(credential: Credential) -> CredentialRef:
    if isinstance(credential, AccessToken):
        return CredentialRef(CredentialKind.TOKEN, _SECRET, _SECRET)
    if isinstance(credential, ClientSecret):
        return CredentialRef(CredentialKind.CLIENT, _SECRET)
    return CredentialRef(CredentialKind.KEY, _SECRET, _SECRET)


class _FileSecrets:
    """Hands out the credential and the roots of files; implements `SecretReader`."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def read_secret(self, name: str) -> Mapping[str, bytes] | None:
        credential = self._access.credential
        if isinstance(credential, AccessToken):
            return {_SECRET: credential.token.encode()}
        if isinstance(credential, ClientSecret):
            return {
                CLIENT_ID: credential.client_id.encode(),
                CLIENT_SECRET: credential.secret.encode(),
            }
        return {_SECRET: self._access.content}

    async def read_config_map(self, name: str) -> Mapping[str, bytes] | None:
        return {_SECRET: (self._access.roots or "").encode()}


async def _never(_kind: Kind) -> bool:
    """Say that no CRD is being deleted, where there is no cluster."""
    return False
