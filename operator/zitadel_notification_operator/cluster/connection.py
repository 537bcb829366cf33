"""The connection to the cluster, for the operator's calls and for kopf's watches."""

import os
from pathlib import Path

from zitadel_notification_operator.core.errors import ClusterError

from .calls import ApiClient
from .connection_config import Source, config_of_pod
from .failure_log import FailureLog
from .kubeconfig import BadKubeconfig, config_of_files, read_entry
from .session import ApiSession, Observer, unobserved
from .unknown_items import IsKnown
from .watching import WatchSession

DEFAULT_KUBECONFIG = "~/.kube/config"


class ClusterAccess:
    """Creates the clients that talk to one API server.

    Args:
        server: The API server's URL.
        source: Supplies address and credentials for each request.
        observe: A callback for each request that our clients make. It is not called for
            kopf's watches.

    Attributes:
        server: The API server's URL, as given.
        api: A client for calls that may wait for each other.
    """

    def __init__(
        self, server: str, source: Source, observe: Observer = unobserved
    ) -> None:
        self.server = server
        self._source = source
        self._observe = observe
        self._failure_log = FailureLog()
        self.api = self.client()

    def client(self) -> ApiClient:
        """Return a client with its own connections, which waits for no other client."""
        return ApiClient(ApiSession(self._source, self._observe), self._failure_log)

    def watcher(self, is_known: IsKnown | None = None) -> WatchSession:
        """Return a session for kopf's watches; kopf closes it.

        Args:
            is_known: Decides what kopf does not get to see in LISTs and watches; None
                if it sees all.
        """
        # No limit on connections: each watched namespace keeps one watch open.
        session = ApiSession(self._source, agent="", connections=0)
        return WatchSession(session, self._failure_log, is_known)


class NoCluster(RuntimeError):
    """No cluster is configured, or its configuration is unusable. The text says why."""


async def connect(
    kubeconfig: Path | None, observe: Observer = unobserved, context: str = ""
) -> ClusterAccess:
    """Find the configuration of the cluster and return access to it.

    The given file comes first. Without one it is the pod's service account, then
    KUBECONFIG, then kubectl's default file. If a context is named, the service account
    is left out.

    Args:
        kubeconfig: The kubeconfig file that was asked for, or None to search as above.
        observe: A callback for each request.
        context: The context of the kubeconfig; empty for its current one.

    Raises:
        NoCluster: There is no configuration, or it cannot be used; the text says which.
    """
    if kubeconfig is None and not context:
        try:
            pod = config_of_pod(os.environ)
        except (OSError, ValueError) as error:
            raise NoCluster(
                f"The service account that is mounted here cannot be used: {error}"
            ) from error
        if pod is not None:
            return ClusterAccess((await pod.present()).server, pod, observe)
    named = str(kubeconfig or os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG)
    files = _present(named)
    if not files:
        raise NoCluster(
            f"There is no Kubernetes to talk to: this is no pod, and there is no "
            f"{named}; give a kubeconfig with --kubeconfig or KUBECONFIG"
        )
    try:
        source = await config_of_files(files, context)
        server = (await source.present()).server
    except BadKubeconfig as error:
        raise NoCluster(
            f"The kubeconfig {named} cannot be used: {error}; see what kubectl says "
            "about it"
        ) from error
    except ClusterError as error:
        raise NoCluster(error.message) from error
    return ClusterAccess(server, source, observe)


def namespace_of(kubeconfig: Path | None, context: str = "") -> str:
    """Return the namespace of a kubeconfig's context, as kubectl uses it.

    Args:
        kubeconfig: The kubeconfig file that was asked for; None for KUBECONFIG, then
            kubectl's default file.
        context: The context; empty for the current one.

    Returns:
        The namespace, or `default` if the context names none or there is no kubeconfig.

    Raises:
        NoCluster: The kubeconfig cannot be used.
    """
    named = str(kubeconfig or os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG)
    files = _present(named)
    try:
        found = read_entry(files, context).namespace if files else ""
    except BadKubeconfig as error:
        raise NoCluster(f"The kubeconfig {named} cannot be used: {error}") from error
    return found or "default"


def _present(named: str) -> list[Path]:
    """Return the files that exist; `named` may list several, as KUBECONFIG does."""
    parts = [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    return [path for path in parts if path.exists()]
