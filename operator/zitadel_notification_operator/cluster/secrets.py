"""Reads Secrets and ConfigMaps of the operator's namespace by name, without a watch."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from zitadel_notification_operator.core.errors import ObjectGone, TransientError
from zitadel_notification_operator.core.reasons import Reason

from .calls import ApiClient, Forbidden, call


class ClusterSecrets:
    """The adapter behind the engine's `SecretReader`.

    Args:
        api: Makes the calls.
        namespace: The operator's own namespace.
        for_person: Whether a person reads, with rights of their own, and not the
            operator.
    """

    def __init__(
        self, api: ApiClient, namespace: str, *, for_person: bool = False
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._for_person = for_person

    async def read_secret(self, name: str) -> Mapping[str, bytes] | None:
        """Return the decoded values by key, or None if there is no such Secret.

        Raises:
            TransientError: It may not be read; the text says what to grant.
            ClusterError: Kubernetes did not answer.
        """
        found = await self._read("secrets", name)
        if found is None:
            return None
        values = {}
        for key, text in (found.get("data") or {}).items():
            try:
                values[key] = base64.b64decode(text, validate=True)
            except binascii.Error:
                continue  # the API server would not store it; treat it as absent
        return values

    async def read_config_map(self, name: str) -> Mapping[str, bytes] | None:
        """Return the values by key, or None if there is no such ConfigMap.

        Raises:
            TransientError: It may not be read; the text says what to grant.
            ClusterError: Kubernetes did not answer.
        """
        found = await self._read("configmaps", name)
        if found is None:
            return None
        return {key: text.encode() for key, text in (found.get("data") or {}).items()}

    async def _read(self, plural: str, name: str) -> Any:
        path = f"/api/v1/namespaces/{self._namespace}/{plural}/{quote(name, safe='')}"
        try:
            return await call(self._api, "GET", path)
        except ObjectGone:
            return None
        except Forbidden as error:
            kind, reason = "Secret", Reason.CREDENTIALS_MISSING
            if plural == "configmaps":
                kind, reason = "ConfigMap", Reason.CA_BUNDLE_MISSING
            what = f"may not read {kind} {self._namespace}/{name}"
            text = (
                f"You {what}; you need the verb get on it"
                if self._for_person
                else f"The operator {what}; give the operator's role the verb get on it"
            )
            raise TransientError(reason, text) from error
