"""The way into the cluster, for our own calls and for kopf's watches."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from yaml import YAMLError

from zitadel_notification_operator.cluster.names import FIELD_MANAGER
from zitadel_notification_operator.version import VERSION

TOKEN_LIFE = timedelta(minutes=10)
"""How long kopf may use a token before it asks again; mounted tokens rotate."""


DEFAULT_KUBECONFIG = "~/.kube/config"


@dataclass(frozen=True, slots=True)
class Login:
    """What a watch needs to connect; file names, not their contents, where given.

    Attributes:
        server: The API server's URL.
        scheme: Of the Authorization header; None without a token.
        expiration: When to ask again; None for certificates, which do not rotate.
    """

    server: str
    ca_path: str | None
    scheme: str | None
    token: str | None
    certificate_path: str | None
    private_key_path: str | None
    insecure: bool
    expiration: datetime | None


Observer = Callable[[str, str, str], None]
"""Is told of each call: method, HTTP status or `<error>` where no answer came, and the
API server's host and port; returns at once and never raises."""


def unobserved(method: str, code: str, host: str) -> None:
    """Take no notice of a call."""


class ClusterAccess:
    """A loaded configuration and the client that uses it.

    Args:
        configuration: Where the API server is, and how to prove who asks.
        observe: Is told of each call of our clients; kopf's watches have their own.
    """

    def __init__(
        self, configuration: Configuration, observe: Observer = unobserved
    ) -> None:
        # A proxy is for the way out, to ZITADEL. The package's session would take
        # one from the environment (and credentials from a .netrc) also for these.
        configuration.proxy = None
        configuration.client_session_kwargs = {
            "trust_env": False,
            "middlewares": (_observed(configuration.host, observe),),
        }
        self.configuration = configuration
        self.api = self.client()

    def client(self) -> ApiClient:
        """Return a client with connections of its own, that wait for no other's."""
        api = ApiClient(self.configuration)
        api.user_agent = f"{FIELD_MANAGER}/{VERSION}"
        return api

    async def login(self) -> Login:
        """Return the present credentials, with a mounted token read anew."""
        configuration = self.configuration
        settings: Mapping[str, Any] = await configuration.auth_settings()
        header = str(settings.get("BearerToken", {}).get("value") or "")
        scheme, _, token = header.partition(" ")
        return Login(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            scheme="Bearer" if scheme else None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            insecure=not configuration.verify_ssl,
            expiration=datetime.now(UTC) + TOKEN_LIFE if token else None,
        )


def _observed(server: str, observe: Observer) -> aiohttp.ClientMiddlewareType:
    """Return what tells of each request, tries again included.

    A middleware, because aiohttp's tracing makes an object for each part of a body and
    each turn of a connection, whether anybody listens to it or not.
    """
    host = urlsplit(server).netloc.rpartition("@")[2]

    async def told(
        request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        code = "<error>"
        try:
            answer = await send(request)
            code = str(answer.status)
        finally:
            observe(request.method, code, host)
        return answer

    return told


class NoCluster(RuntimeError):
    """No way into a cluster was found, or it cannot be read; the text says which."""


async def connect(
    kubeconfig: Path | None, observe: Observer = unobserved
) -> ClusterAccess:
    """Load the configuration: a file, else in-cluster, else KUBECONFIG.

    Args:
        kubeconfig: A file that was asked for; None looks where kubectl looks.
        observe: Is told of each call.

    Raises:
        NoCluster: There is none, or it cannot be used; the text says which.
    """
    configuration = Configuration()
    if kubeconfig is None:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            pass  # not in a pod
        else:
            return ClusterAccess(configuration, observe)
    named = str(kubeconfig or os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG)
    if not _exists(named):
        raise NoCluster(
            f"There is no Kubernetes to talk to: this is no pod, and there is no "
            f"{named}; give a kubeconfig with --kubeconfig or KUBECONFIG"
        )
    try:
        await config.load_kube_config(
            config_file=named, client_configuration=configuration
        )
    except (config.ConfigException, YAMLError, OSError, ValueError, TypeError) as error:
        # Its text may quote the file, and so a token.
        raise NoCluster(
            f"The kubeconfig {named} cannot be used ({type(error).__name__}); "
            "see what kubectl says about it"
        ) from error
    return ClusterAccess(configuration, observe)


def _exists(files: str) -> bool:
    """Return whether one of the files is there; KUBECONFIG may name several."""
    return any(Path(part).expanduser().exists() for part in files.split(os.pathsep))
