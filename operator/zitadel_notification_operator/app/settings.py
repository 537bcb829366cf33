"""The settings of one process."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of `znp run`, from its options and environment variables.

    Attributes:
        namespace: The operator's own namespace.
        operator_class: The class of the instances that it serves.
        watch_namespaces: The namespaces whose policies are watched; empty for all.
        kubeconfig: A kubeconfig file. None to try the pod's service account, then
            KUBECONFIG.
        bind_address: The address of both endpoints; empty for every address, by IPv4
            and IPv6.
        health_port: 0 picks a free port and logs it.
        metrics_port: Likewise.
        object_metrics: Whether /metrics has series for each policy.
        allow_local_urls: Whether instances may have loopback and link-local addresses.
        workers: How many passes over the policies of one instance may run at once.
        lease_duration: The duration of the leader's lease, in seconds. None if there is
            only one replica, which needs no lease.
    """

    namespace: str
    operator_class: str = ""
    watch_namespaces: tuple[str, ...] = ()
    kubeconfig: Path | None = None
    bind_address: str = ""
    health_port: int = 8081
    metrics_port: int = 8080
    object_metrics: bool = True
    allow_local_urls: bool = False
    workers: int = 16
    lease_duration: float | None = 15.0
