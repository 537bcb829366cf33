"""Reads Secrets by name, in the operator's own namespace only; watches none."""

import base64
import binascii
from urllib.parse import quote

from kubernetes.aio.client import ApiClient

from zitadel_notification_operator.cluster.calls import Forbidden, call
from zitadel_notification_operator.core.errors import ObjectGone, TransientError
from zitadel_notification_operator.core.objects import SecretRef
from zitadel_notification_operator.core.reasons import Reason


class ClusterSecrets:
    """The engine's `SecretReader`."""

    def __init__(self, api: ApiClient, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def read(self, ref: SecretRef) -> bytes | None:
        """Return the decoded value; None: no such Secret or key.

        Raises:
            TransientError: The operator may not read it; says what to grant.
            ClusterError: Kubernetes did not answer.
        """
        name = quote(ref.name, safe="")
        path = f"/api/v1/namespaces/{self._namespace}/secrets/{name}"
        try:
            secret = await call(self._api, "GET", path)
        except ObjectGone:
            return None
        except Forbidden as error:
            raise TransientError(
                Reason.CREDENTIALS_MISSING,
                f"The operator may not read Secret {self._namespace}/{ref.name}; "
                "give the operator's role the verb get on it",
            ) from error
        value = (secret.get("data") or {}).get(ref.key)
        if value is None:
            return None
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            return None
