"""The namespace of the operator itself, which has its Secrets and its Lease."""

from pathlib import Path

_SERVICE_ACCOUNT_NAMESPACE = Path(
    "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
)
_FALLBACK_NAMESPACE = "zitadel-notification-operator"


def own_namespace() -> str:
    """Return the service account's namespace, or the usual one outside a pod."""
    try:
        return _SERVICE_ACCOUNT_NAMESPACE.read_text().strip()
    except OSError:
        return _FALLBACK_NAMESPACE
