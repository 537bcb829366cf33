"""One call to the Kubernetes API, with its errors mapped to those of `core.errors`.

The operator only needs JSON in and out. The generated classes of the Kubernetes client
would build a model for each response, and its transport reads certificate authorities
and login programs only once.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.kinds import Kind
from zitadel_notification_operator.core.text import one_line

from .encoding import encode_json, encode_yaml
from .failure_log import EVERYWHERE, FailureLog
from .login_program import LoginFailed
from .names import GROUP, VERSION
from .session import ApiSession, NotReached

TIMEOUT = 30.0
"""Timeout of one call to Kubernetes, in seconds."""

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

LONGEST_ASKED = 300.0
"""Upper limit in seconds for a Retry-After; a larger value is taken for a mistake."""

_UNAUTHORIZED = 401
_REFUSALS = frozenset({"400", "413", "500"})
"""Statuses that tell of one object only; 500 is that of a webhook that fails."""

_FIRST_ERROR = 400
_NOT_SERVED = b"404 page not found"
"""The body that Kubernetes sends, in place of a Status, when a kind is not served."""
_MESSAGE_LIMIT = 300


class Expired(ClusterError):
    """410: a continue token or a resource version is too old.

    Attributes:
        token: A continue token with which a LIST may go on, at a later state of the
            cluster than that of its first pages; empty if there is none.
    """

    token = ""


class Forbidden(ClusterError):
    """403: the operator's role lacks a verb."""


class Unauthorized(ClusterError):
    """401: the API server did not accept our credentials."""

    is_outage = True


class Refused(ClusterError):
    """Any other response that the operator cannot use.

    Attributes:
        cause: The part that all failures by the same cause share: the HTTP status.
    """

    def __init__(
        self, message: str, cause: str, retry_after: float | None = None
    ) -> None:
        super().__init__(message, retry_after)
        self.cause = cause
        self.is_outage = cause.partition(" ")[0] not in _REFUSALS


class ApiClient:
    """Makes single requests and reads each response completely.

    Args:
        session: Makes the requests; its connections are used by this client only.
        failure_log: Records the causes of failures; shared by all clients.
    """

    def __init__(self, session: ApiSession, failure_log: FailureLog) -> None:
        self.session = session
        self.failure_log = failure_log

    async def request(
        self, method: str, path: str, seconds: float, **content: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of the response.

        Args:
            method: The HTTP method.
            path: The path below the API server's URL.
            seconds: The timeout of the whole request.
            content: `params`, `data` and `headers`, as aiohttp takes them.

        Raises:
            NotReached: There was no response, or it was cut off.
            LoginFailed: There are no credentials at present.
        """
        timeout = aiohttp.ClientTimeout(total=seconds)
        answer = await self.session.request(method, path, timeout=timeout, **content)
        async with answer:
            data = await self.session.read(answer)
        return answer.status, answer.headers, data

    async def close(self) -> None:
        """Close the connections of this client."""
        await self.session.close()


def path_of(kind: Kind, namespace: str = "", name: str = "") -> str:
    """Return the API path of a kind's objects, all or those of a namespace, or of one.

    The namespace does not matter if the kind has none.
    """
    parts = [f"/apis/{GROUP}/{VERSION}"]
    if kind.namespaced and namespace:
        parts.append(f"namespaces/{namespace}")
    parts.append(kind.plural)
    if name:
        parts.append(quote(name, safe=""))
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
    """Make one call and return the JSON of the response.

    Raises:
        ObjectGone: 404.
        ObjectChanged: 409 or 422. The uid is another one, a `test` of a JSON patch
            failed, or a finalizer was added to an object that is being deleted.
        Unauthorized: 401.
        Forbidden: 403.
        Expired: 410.
        ClusterError: Every other failure of Kubernetes or the network.
    """
    headers = {"Accept": JSON}
    content: dict[str, Any] = {"headers": headers}
    if query:
        content["params"] = query
    if body is not None:
        headers["Content-Type"] = content_type
        encode = encode_yaml if content_type == APPLY else encode_json
        content["data"] = encode(body)
    what, where = f"{method} {path}", place_of(method, path)
    try:
        answer = await api.request(method, path, TIMEOUT, **content)
        made = read_answer(what, *answer)
    except ClusterError as error:
        note(api.failure_log, error, where)
        raise
    went_well(api.failure_log, where)
    return made


def note(failure_log: FailureLog, error: ClusterError, where: str) -> None:
    """Record why a call failed if other calls may fail for the same cause.

    An error that concerns only one object counts as a response: the API server works.

    Args:
        failure_log: Where the causes of this connection to the cluster are recorded.
        error: The error that the call is about to raise.
        where: The group of calls that this one belongs to, from `place_of`.
    """
    kind = _NAMESPACE.sub("", where)
    if isinstance(error, NotReached):
        if error.is_timeout:
            failure_log.failed(error, f"no answer in time to {kind}", kind)
        else:
            failure_log.failed(error, error.why, EVERYWHERE)
    elif isinstance(error, LoginFailed):
        failure_log.failed(error, error.message, EVERYWHERE)
    elif isinstance(error, Unauthorized):
        failure_log.failed(error, "401 Unauthorized", EVERYWHERE)
    elif isinstance(error, Forbidden):
        failure_log.failed(error, f"403 Forbidden to {where}", where)
    elif isinstance(error, Refused):
        failure_log.failed(error, f"{error.cause} to {kind}", kind)
    else:
        went_well(failure_log, where)


def went_well(failure_log: FailureLog, where: str) -> None:
    """Record that a call was answered, for its group with and without the namespace."""
    failure_log.went_well(where, _NAMESPACE.sub("", where))


_NAMESPACE = re.compile(r"/namespaces/[^/]+(?=/)")


def place_of(method: str, path: str) -> str:
    """Return the group of calls that share failures with this one.

    It consists of the method, the namespace, the kind and the subresource.
    """
    without_name = _NAME.sub(r"\g<kind>\g<sub>", path)
    return f"{method} {without_name}"


_NAME = re.compile(
    r"^(?P<kind>(?:/apis/[^/]+|/api)/[^/]+(?:/namespaces/[^/]+)?/[^/]+)/[^/]+(?P<sub>.*)$"
)


def read_answer(what: str, status: int, headers: Mapping[str, str], data: bytes) -> Any:
    """Return the JSON of a response.

    Args:
        what: Method and path, for the error message.
        status: The HTTP status.
        headers: The headers of the response.
        data: The body of the response.

    Raises:
        ClusterError: The response stands for this error, as in `call`.
    """
    try:
        content = json.loads(data)
    except ValueError:
        content = None
    if status < _FIRST_ERROR:
        if content is None:
            raise Refused(f"Kubernetes answered no JSON to {what}", "no JSON")
        return content
    # The error page of a proxy may be JSON, too, and of any shape.
    fields = content if isinstance(content, dict) else {}
    reason = one_line(str(fields.get("message", "")))[:_MESSAGE_LIMIT]
    message = f"Kubernetes refused {what}: {status} {reason}".rstrip()
    kind, asked = _ERRORS.get(status), _asked(headers, fields)
    if status == _UNAUTHORIZED:
        raise Unauthorized(message, asked)
    # A response of a proxy says nothing about an object, a permission or a version, so
    # it must not be mapped to an error that does.
    ours = fields.get("kind") == "Status" or data.startswith(_NOT_SERVED)
    if kind is None:
        raise Refused(message, str(status), asked)
    if ours:
        error = kind(message, asked)
        if isinstance(error, Expired):
            error.token = continue_token(fields)
        raise error
    message += " (by a proxy: it is no Status of Kubernetes)"
    raise Refused(message, f"{status} of a proxy", asked)


def continue_token(content: Mapping[str, Any]) -> str:
    """Return the token with which a LIST goes on after this answer, if it has one."""
    metadata = content.get("metadata")
    token = metadata.get("continue") if isinstance(metadata, dict) else None
    return token if isinstance(token, str) else ""


def _asked(headers: Mapping[str, str], fields: Mapping[str, Any]) -> float | None:
    """Return for how many seconds Kubernetes asks us to wait, or None if it does not.

    Kubernetes sends seconds. A Retry-After that is a date, as HTTP allows, is ignored.
    """
    details = fields.get("details")
    seconds = details.get("retryAfterSeconds") if isinstance(details, dict) else 0
    for asked in (headers.get("Retry-After"), seconds):
        try:
            seconds = float(asked or 0)
        except (TypeError, ValueError):
            continue
        if 0 < seconds < math.inf:
            return min(seconds, LONGEST_ASKED)
    return None


_ERRORS: dict[int, type[ClusterError]] = {
    403: Forbidden,
    404: ObjectGone,
    409: ObjectChanged,
    410: Expired,
    422: ObjectChanged,
}
