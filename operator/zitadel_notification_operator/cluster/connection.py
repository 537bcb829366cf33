"""The way into the cluster, for our own calls and for kopf's watches."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from zitadel_notification_operator.cluster.names import FIELD_MANAGER
from zitadel_notification_operator.version import VERSION

TOKEN_LIFE = timedelta(minutes=10)
"""How long kopf may use a token before it asks again; mounted tokens rotate."""


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


class ClusterAccess:
    """A loaded configuration and the client that uses it."""

    def __init__(self, configuration: Configuration) -> None:
        # A proxy is for the way out, to ZITADEL. The package's session would take
        # one from the environment (and credentials from a .netrc) also for these.
        configuration.proxy = None
        configuration.client_session_kwargs = {"trust_env": False}
        self.configuration = configuration
        self.api = ApiClient(configuration)
        self.api.user_agent = f"{FIELD_MANAGER}/{VERSION}"

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


async def connect(kubeconfig: Path | None) -> ClusterAccess:
    """Load the configuration: a file, else in-cluster, else KUBECONFIG.

    Args:
        kubeconfig: A file that was asked for; None looks where kubectl looks.

    Raises:
        ConfigException: There is none, or it cannot be used; the text says which.
    """
    configuration = Configuration()
    if kubeconfig is not None:
        await config.load_kube_config(
            config_file=str(kubeconfig), client_configuration=configuration
        )
        return ClusterAccess(configuration)
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)
    return ClusterAccess(configuration)
