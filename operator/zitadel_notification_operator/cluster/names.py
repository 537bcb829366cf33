"""The operator's names in the Kubernetes API."""

import os
import socket
from datetime import UTC, datetime

GROUP = "zitadel-notification.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "zitadel-notification-operator"
ORIGINAL = f"{GROUP}/original"
REQUESTED_AT = f"{GROUP}/reconcile-requested-at"
ACCEPT_INSTANCE = f"{GROUP}/accept-instance-id"
APPROVE_REMOVAL = f"{GROUP}/approve-removal"
TAKE_OVER = f"{GROUP}/take-over"
SET_LABEL = f"{GROUP}/set"
SETS_FIELD_MANAGER = f"{FIELD_MANAGER}-sets"


def pod_name() -> str:
    """Return the name of this pod, or that of the host outside of a pod.

    The host name of a pod may be that of its node, so the variable comes first.
    """
    return os.environ.get("POD_NAME") or socket.gethostname()


def micro_time(moment: datetime) -> str:
    """Format as RFC 3339, always with microseconds, as Kubernetes requires it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
