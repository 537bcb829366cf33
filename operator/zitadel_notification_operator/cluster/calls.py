"""One call to Kubernetes: a path, a content type, a timeout; errors mapped to ours.

The generated classes of the client package cost a model per answer; what we need is
JSON in and out, so the package's transport and authentication are used directly.
"""

import json
import os
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException
from kubernetes.aio.config import ConfigException

from zitadel_notification_operator.cluster.names import GROUP, POLICIES, VERSION
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)

TIMEOUT = 30.0
"""Seconds for one call to Kubernetes."""

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

_NOT_FOUND = 404
_CHANGED = {409, 422}
_FIRST_ERROR = 400
_MESSAGE_LIMIT = 300


class Expired(ClusterError):
    """410: a continue token or a resource version is too old."""


class Forbidden(ClusterError):
    """403: the operator's role lacks a verb."""


def path_of(
    plural: str, namespace: str = "", name: str = "", subresource: str = ""
) -> str:
    """Return the path of a collection or an object of our group."""
    parts = [f"/apis/{GROUP}/{VERSION}"]
    if plural == POLICIES and namespace:
        parts.append(f"namespaces/{namespace}")
    parts.append(plural)
    parts.extend(part for part in (quote(name, safe=""), subresource) if part)
    return "/".join(parts)


async def call(
    api: ApiClient,
    method: str,
    path: str,
    *,
    query: dict[str, str] | None = None,
    body: Any = None,
    content_type: str = JSON,
) -> Any:
    """Make one call and return the JSON of the answer.

    Raises:
        ObjectGone: 404.
        ObjectChanged: 409 or 422: another uid, a failed `test`, a finalizer for an
            object that is being deleted.
        Forbidden: 403.
        Expired: 410.
        ClusterError: Everything else that Kubernetes or the network may do.
    """
    headers = {"Accept": JSON}
    if body is not None:
        headers["Content-Type"] = content_type
    what = f"{method} {path}"
    try:
        parameters = await api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        response = await api.call_api(*parameters, _request_timeout=TIMEOUT)
        data = await response.read()
    except TimeoutError as error:
        raise ClusterError(f"Kubernetes did not answer {what} in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ClusterError(
            f"Kubernetes was not reached: {what}: {_kind(error)}"
        ) from error
    except RuntimeError as error:
        # uvloop's, when a connection is cut while the next one gets its number.
        if "File descriptor" not in str(error):
            raise
        raise ClusterError(f"Kubernetes was not reached: {what}: no socket") from error
    except (ApiException, ConfigException) as error:
        # The package's own: a token file that is empty just now, a login program.
        kind = type(error).__name__
        raise ClusterError(f"The client failed at {what}: {kind}") from error
    return _answer(what, response.status, data)


def _kind(error: Exception) -> str:
    """Say what happened without what differs from try to try."""
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        why = os.strerror(number) if number and number > 0 else "no connection"
        return f"{error.host}:{error.port}: {why}"
    return type(error).__name__


def _answer(what: str, status: int, data: bytes) -> Any:
    try:
        content = json.loads(data)
    except ValueError as error:
        if status < _FIRST_ERROR:
            raise ClusterError(f"Kubernetes answered no JSON to {what}") from error
        content = {}
    if status < _FIRST_ERROR:
        return content
    # A proxy's error page, too, may be JSON, of any form.
    told = content.get("message", "") if isinstance(content, dict) else ""
    reason = str(told)[:_MESSAGE_LIMIT]
    message = f"Kubernetes refused {what}: {status} {reason}"
    if status == _NOT_FOUND:
        raise ObjectGone(message)
    if status in _CHANGED:
        raise ObjectChanged(message)
    if status == 403:  # noqa: PLR2004 - HTTP's own number
        raise Forbidden(message)
    if status == 410:  # noqa: PLR2004 - HTTP's own number
        raise Expired(message)
    raise ClusterError(message)
