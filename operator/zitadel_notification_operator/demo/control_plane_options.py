"""The options and files with which the control plane's programs are started.

All files are in one folder, and all programs listen on loopback. etcd accepts only
clients with the folder's certificate. So if two control planes on a machine mix up
their ports, the connection fails, and neither sees the other's data.
"""

import json
from collections.abc import Sequence
from pathlib import Path

ADMIN_GROUP = "system:masters"
NO_ROTATION = 1_000_000
"""The size in megabytes at which the audit log is rotated.

It is so high that this never happens, because readers of the log remember an offset.
"""

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # Each finished request is one line; a watch is logged when it ends.
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata"}],
}


def write_files(folder: Path, url: str, token: str) -> None:
    """Write the kubeconfig, the token file and the audit policy into a folder.

    Args:
        folder: An existing folder that contains ca.crt.
        url: The URL of the API server.
        token: The bearer token for the administrator.
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
    # JSON is also YAML and needs no extra library.
    _write(folder / "kubeconfig", json.dumps(kubeconfig, indent=2))


def data_folder(folder: Path, port: int) -> Path:
    """Return the data folder of the etcd that listens on this port."""
    return folder / f"etcd-{port}"


def etcd_options(folder: Path, port: int, peer_port: int) -> list[str]:
    """Return etcd's options; each port has its own data folder."""
    clients, peers = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        f"--data-dir={data_folder(folder, port)}",
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
        # Nobody needs the data after a crash, so etcd need not wait for the disk.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server_options(
    folder: Path, port: int, etcd_port: int, admission_plugins: Sequence[str] = ()
) -> list[str]:
    """Return kube-apiserver's options, with RBAC and the audit log enabled.

    Args:
        folder: The folder with certificates and kubeconfig.
        port: The port to listen on.
        etcd_port: The port of etcd.
        admission_plugins: Plugins to use besides those that are on by default.
    """
    more = [f"--enable-admission-plugins={','.join(admission_plugins)}"]
    return [
        *(more if admission_plugins else ()),
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
        # The line is written before the answer is sent, so whoever has received an
        # answer finds its line in the log.
        "--audit-log-mode=blocking",
        # Without a controller manager no namespace gets a default service account.
        "--disable-admission-plugins=ServiceAccount",
        "--shutdown-delay-duration=0s",
        "--v=0",
    ]


def controller_manager_options(
    folder: Path, port: int, controllers: Sequence[str]
) -> list[str]:
    """Return kube-controller-manager's options; it acts as the administrator."""
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
