"""With what options and files the control plane's programs are started.

Everything lies in one folder; every listener is on loopback. etcd answers only those
who have the folder's certificate: on a machine with two control planes a mixed-up port
fails, and does not lend one the other's data.
"""

import json
from collections.abc import Sequence
from pathlib import Path

ADMIN_GROUP = "system:masters"
NO_ROTATION = 1_000_000
"""Megabytes of audit log before a new file is begun: never, readers hold a place."""

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # A request that ended is one line; a watch is a line when it ends.
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata"}],
}


def write_files(folder: Path, url: str, token: str) -> None:
    """Write kubeconfig, token file and audit policy into a folder.

    Args:
        folder: Exists, and holds ca.crt.
        url: The API server's.
        token: Becomes the administrator's.
    """
    _write(folder / "tokens.csv", f'{token},admin,admin,"{ADMIN_GROUP}"\n')
    _write(folder / "audit-policy.json", json.dumps(_AUDIT_POLICY))
    cluster = {"server": url, "certificate-authority": str(folder / "ca.crt")}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "znp", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "znp", "context": {"cluster": "znp", "user": "admin"}}],
        "current-context": "znp",
    }
    # JSON is YAML, and needs no library.
    _write(folder / "kubeconfig", json.dumps(kubeconfig, indent=2))


def etcd_options(folder: Path, port: int, peer_port: int) -> list[str]:
    """Return etcd's options; its data folder is new for each port."""
    clients, peers = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        f"--data-dir={folder / f'etcd-{port}'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        f"--cert-file={folder / 'serving.crt'}",
        f"--key-file={folder / 'serving.key'}",
        f"--trusted-ca-file={folder / 'ca.crt'}",
        "--client-cert-auth",
        "--enable-grpc-gateway=false",
        # The data is worth nothing after us: no waiting for the disk.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server_options(folder: Path, port: int, etcd_port: int) -> list[str]:
    """Return kube-apiserver's options: RBAC and the audit log are on."""
    return [
        f"--etcd-servers=https://127.0.0.1:{etcd_port}",
        f"--etcd-cafile={folder / 'ca.crt'}",
        f"--etcd-certfile={folder / 'serving.crt'}",
        f"--etcd-keyfile={folder / 'serving.key'}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={folder / 'serving.crt'}",
        f"--tls-private-key-file={folder / 'serving.key'}",
        f"--cert-dir={folder}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        f"--service-account-key-file={folder / 'accounts.key'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--authorization-mode=RBAC",
        f"--audit-log-path={folder / 'audit.log'}",
        f"--audit-policy-file={folder / 'audit-policy.json'}",
        f"--audit-log-maxsize={NO_ROTATION}",
        # Written before the answer is sent: who has an answer finds its line.
        "--audit-log-mode=blocking",
        # Without a controller manager nobody makes service accounts.
        "--disable-admission-plugins=ServiceAccount",
        "--shutdown-delay-duration=0s",
        "--v=0",
    ]


def controller_manager_options(
    folder: Path, port: int, controllers: Sequence[str]
) -> list[str]:
    """Return kube-controller-manager's options, as the administrator."""
    return [
        f"--kubeconfig={folder / 'kubeconfig'}",
        f"--controllers={','.join(controllers)}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={folder / 'serving.crt'}",
        f"--tls-private-key-file={folder / 'serving.key'}",
        "--v=0",
    ]


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
