"""Takes out of a LIST what is known already, before kopf gets to see it.

The operator lists all objects itself before kopf begins, and kopf then lists them once
more, to watch from there. kopf takes most of a millisecond for each object that it is
given, so with a hundred thousand of them that would be the longest part of a restart,
and nobody waits for the result: the handlers drop what is known.
"""

import json
from collections.abc import Callable
from typing import Any, Self

import aiohttp

from zitadel_notification_operator.core.kinds import KINDS, Kind, ObjectKey

from .names import GROUP, VERSION

IsKnown = Callable[[Kind, ObjectKey, str, str], bool]
"""Returns whether an object is known in this version or a newer one, by its kind, its
key, its uid and its resourceVersion."""


class ShortAnswer:
    """The answer to a LIST with fewer items; it has the members that kopf uses.

    Attributes:
        status: The HTTP status.
        headers: The headers of the whole answer.
    """

    def __init__(self, answer: aiohttp.ClientResponse, content: Any) -> None:
        self._answer, self._content = answer, content
        self.status, self.headers = answer.status, answer.headers

    async def json(self) -> Any:
        """Return the content."""
        return self._content

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._answer.release()


def kind_listed(path: str) -> Kind | None:
    """Return the kind whose objects a GET of this path lists; None for other paths."""
    root, _, plural = path.rpartition("/")
    if not root.startswith(f"/apis/{GROUP}/{VERSION}"):
        return None
    return next((kind for kind in KINDS if kind.plural == plural), None)


def without_known(
    answer: aiohttp.ClientResponse, data: bytes, kind: Kind, is_known: IsKnown
) -> aiohttp.ClientResponse | ShortAnswer:
    """Return an answer without the items that are known.

    Args:
        answer: The answer to a LIST. Its body has been read.
        data: The body. If it is not that of a LIST, the answer stays as it is.
        kind: The kind of the items.
        is_known: Decides about each item.
    """
    try:
        content = json.loads(data)
        items = content["items"]
        left = [item for item in items if not _is_known(item, kind, is_known)]
    except (ValueError, TypeError, KeyError):
        return answer
    return ShortAnswer(answer, {**content, "items": left})


def _is_known(item: Any, kind: Kind, is_known: IsKnown) -> bool:
    metadata = item["metadata"]
    key = ObjectKey(metadata.get("namespace", ""), metadata.get("name", ""))
    uid, version = metadata.get("uid", ""), metadata.get("resourceVersion", "")
    return is_known(kind, key, uid, version)
