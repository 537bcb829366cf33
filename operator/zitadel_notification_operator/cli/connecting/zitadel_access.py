"""Opens a ZITADEL for a command: by a ZitadelInstance and its Secret, or by a URL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import click

from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.connection import connect
from zitadel_notification_operator.cluster.reader import ClusterReader
from zitadel_notification_operator.cluster.secrets import ClusterSecrets
from zitadel_notification_operator.core.credentials import (
    Credential,
    CredentialKind,
    parse_credential,
    parse_credential_file,
    parse_roots,
)
from zitadel_notification_operator.core.instance_object import (
    Endpoint,
    InstanceObject,
    RateLimit,
)
from zitadel_notification_operator.core.kinds import INSTANCE, ObjectKey
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

from .cluster_options import ClusterOptions
from .zitadel_options import ZitadelOptions

NO_NAME = "url"
"""The name under which messages and pools know a ZITADEL that no object describes."""


@dataclass(frozen=True, slots=True)
class Access:
    """How one ZITADEL is reached.

    Attributes:
        name: The name of the ZitadelInstance; `NO_NAME` without one.
        endpoint: Its address and limits.
        credential: The credential of a service user.
        roots: PEM text of additional trusted roots; None for the system's only.
        instance: The ZitadelInstance; None without one.
        content: The content of the file that held the credential; empty without one.
    """

    name: str
    endpoint: Endpoint
    credential: Credential
    roots: str | None = None
    instance: InstanceObject | None = None
    content: bytes = field(default=b"", repr=False)


@asynccontextmanager
async def open_zitadel(
    options: ZitadelOptions, cluster: ClusterOptions
) -> AsyncIterator[tuple[ZitadelClient, Access]]:
    """Open the ZITADEL that a command is about, and close it at the end.

    Args:
        options: Which ZITADEL.
        cluster: Where its ZitadelInstance is; unused with a URL and a credential.

    Raises:
        click.UsageError: Neither an instance nor a URL is named.
        NoCluster: There is no way into a cluster.
        OperatorError: The instance, its Secret or a file cannot be used.
    """
    access = await find_access(options, cluster)
    connector = ZitadelConnector(allow_local=options.allow_local_urls)
    try:
        client = connector.connect(
            access.name, access.endpoint, access.credential, access.roots
        )
        yield client, access
    finally:
        await connector.aclose()


async def find_access(options: ZitadelOptions, cluster: ClusterOptions) -> Access:
    """Return how the ZITADEL is reached; see `open_zitadel`.

    Raises:
        click.UsageError: Neither an instance nor a URL is named.
        click.ClickException: There is no such ZitadelInstance.
        NoCluster: There is no way into a cluster.
        OperatorError: The instance, its Secret or a file cannot be used.
    """
    if options.is_direct:
        return access_of_files(options)
    if not options.instance:
        raise click.UsageError(
            "Say which ZITADEL: --instance NAME, or --url with a file that holds a "
            "credential"
        )
    api = (await connect(cluster.kubeconfig, context=cluster.context)).api
    try:
        return await _access_of_instance(api, options)
    finally:
        await api.close()


def access_of_files(options: ZitadelOptions) -> Access:
    """Return how a ZITADEL is reached that is named by URL and files alone.

    Raises:
        click.UsageError: There is no file with a credential.
        OperatorError: A file does not hold what it must.
    """
    kinds = {
        options.token_file: CredentialKind.TOKEN,
        options.key_file: CredentialKind.KEY,
        options.client_credentials_file: CredentialKind.CLIENT,
    }
    path = options.credential_file
    if path is None:
        raise click.UsageError("--url needs a file that holds a credential")
    credential = parse_credential_file(
        kinds[path], f"File {path}", options.content, datetime.now(UTC)
    )
    endpoint = adjusted(Endpoint(options.url.rstrip("/")), options)
    return Access(NO_NAME, endpoint, credential, options.roots, content=options.content)


def adjusted(endpoint: Endpoint, options: ZitadelOptions) -> Endpoint:
    """Return an endpoint with what the command line replaces of it."""
    limit = endpoint.rate_limit
    if options.requests_per_second:
        rate = options.requests_per_second
        limit = RateLimit(rate, max(rate, 1), limit.max_concurrent)
    return replace(
        endpoint,
        url=options.url.rstrip("/") or endpoint.url,
        external_domain=options.external_domain or endpoint.external_domain,
        rate_limit=limit,
    )


async def _access_of_instance(api: ApiClient, options: ZitadelOptions) -> Access:
    name, namespace = options.instance, options.operator_namespace
    found = await ClusterReader(api, ()).read(INSTANCE, ObjectKey("", name))
    if not isinstance(found, InstanceObject):
        raise click.ClickException(
            f"There is no ZitadelInstance {name}; kubectl get zitadelinstances lists "
            "those that exist"
        )
    if found.not_understood is not None:
        raise click.ClickException(
            f"The spec of ZitadelInstance {name} is not understood: "
            f"{found.not_understood.sentence}"
        )
    secrets = ClusterSecrets(api, namespace, for_person=True)
    roots = None
    if found.ca is not None:
        read = secrets.read_secret
        if found.ca.kind == "ConfigMap":
            read = secrets.read_config_map
        roots = parse_roots(found.ca, await read(found.ca.name), namespace)
    data = await secrets.read_secret(found.credential.secret)
    credential = parse_credential(found.credential, data, namespace, datetime.now(UTC))
    endpoint = adjusted(found.endpoint, options)
    return Access(name, endpoint, credential, roots, found)
