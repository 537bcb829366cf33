"""Takes out of a LIST what is known already, before kopf gets to see it.

The operator lists all objects itself before kopf begins, and kopf then lists them once
more, to watch from there. kopf takes most of a millisecond for each object that it is
given, so with a hundred thousand of them that would be the longest part of a restart,
and nobody waits for the result: the handlers drop what is known.
"""

import json
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import aiohttp

from zitadel_notification_operator.core.kinds import KINDS, Kind, ObjectKey

from .calls import continue_token
from .names import GROUP, VERSION

_GONE = 410

IsKnown = Callable[[Kind, ObjectKey, str, str], bool]
"""Returns whether an object is known in this version or a newer one, by its kind, its
key, its uid and its resourceVersion."""


class ShortAnswer:
    """The answer to a LIST with fewer items; it has the members that kopf uses.

    Attributes:
        status: The HTTP status.
        headers: The headers of the whole answer.
        version: The resourceVersion of the LIST; empty if the answer is no LIST.
    """

    def __init__(
        self, answer: aiohttp.ClientResponse, content: Any, version: str = ""
    ) -> None:
        self._answer, self._content = answer, content
        self.status, self.headers = answer.status, answer.headers
        self.version = version

    async def json(self) -> Any:
        """Return the content."""
        return self._content

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._answer.release()


def kind_listed(path: str) -> Kind | None:
    """Return the kind whose objects a GET of this path lists; None for other paths."""
    # The URL of an API server may have a path of its own, before this one.
    _, found, rest = path.partition(f"/apis/{GROUP}/{VERSION}/")
    plural = rest.rpartition("/")[2]
    if not found:
        return None
    return next((kind for kind in KINDS if kind.plural == plural), None)


def without_known(
    answer: aiohttp.ClientResponse,
    data: bytes,
    kind: Kind,
    is_known: IsKnown,
    version: str = "",
) -> aiohttp.ClientResponse | ShortAnswer:
    """Return an answer without the items that are known.

    Args:
        answer: The answer to a LIST. Its body has been read.
        data: The body. If it is not that of a LIST, the answer stays as it is.
        kind: The kind of the items.
        is_known: Decides about each item.
        version: The resourceVersion to give as that of the LIST; empty for its own.
    """
    try:
        content = json.loads(data)
        items, metadata = content["items"], content["metadata"]
        left = [item for item in items if not is_known(kind, *version_of(item))]
        version = version or str(metadata.get("resourceVersion", ""))
        metadata["resourceVersion"] = version
    except (ValueError, TypeError, KeyError):
        return answer
    return ShortAnswer(answer, {**content, "items": left}, version)


def token_after(status: int, data: bytes) -> str:
    """Return the token that an answer gives to a LIST whose own token has expired."""
    if status != _GONE:
        return ""
    try:
        content = json.loads(data)
    except ValueError:
        return ""
    return continue_token(content) if isinstance(content, dict) else ""


def with_token(url: str, token: str) -> str:
    """Return the URL of the same LIST that goes on at another continue token."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | {"continue": token}
    return urlunsplit(parts._replace(query=urlencode(query)))


def version_of(item: Any) -> tuple[ObjectKey, str, str]:
    """Return an object's key, uid and resourceVersion.

    Args:
        item: The JSON of the object.

    Raises:
        TypeError: The JSON is not that of an object.
        KeyError: It has no metadata.
        AttributeError: Its metadata is no object.
    """
    metadata = item["metadata"]
    key = ObjectKey(metadata.get("namespace", ""), metadata.get("name", ""))
    return key, metadata.get("uid", ""), str(metadata.get("resourceVersion", ""))
