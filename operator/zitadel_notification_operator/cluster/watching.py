"""The session for kopf's watches, which waits and retries where kopf would fail.

kopf would log each failed attempt, start its backoff anew every 70 seconds, and log in
again and again after a 401, without any pause. So kopf never sees an error that may be
temporary: the retries with their growing delays are made here, and each cause is logged
once.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from zitadel_notification_operator.core.backoff import bounded_delay
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)

from .calls import Expired, note, place_of, read_answer, went_well
from .failure_log import FailureLog
from .session import ApiSession
from .unknown_events import ShortWatch
from .unknown_items import (
    IsKnown,
    ShortAnswer,
    kind_listed,
    token_after,
    with_token,
    without_known,
)

SHORT = 5.0
"""If the same request is repeated within this many seconds, the first was in vain."""

FREE = 3
"""How many such requests in a row are not delayed: a watch may be cut now and then."""

_FIRST_ERROR = 400
_JSON = "application/json"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Line:
    """The retry state of one request that is made again and again.

    Attributes:
        version: Of a LIST, the resourceVersion of its first page. kopf watches from
            there, also if later pages are of a later state.
    """

    failures: int = 0
    vain: int = 0
    begun: float = -SHORT
    not_before: float = 0.0
    version: str = ""


class WatchSession:
    """Stands in for `aiohttp.ClientSession`, with the members that kopf uses.

    Args:
        session: Makes the requests.
        failure_log: Records the causes of failures, as for the operator's own calls.
        is_known: Decides which objects of LISTs and watches are left out; None for no
            object.
    """

    def __init__(
        self,
        session: ApiSession,
        failure_log: FailureLog,
        is_known: IsKnown | None = None,
    ) -> None:
        self._session = session
        self._failure_log = failure_log
        self._is_known = is_known
        self._lines: dict[str, _Line] = {}
        self.headers = session.headers

    @property
    def closed(self) -> bool:
        """Always False.

        If it were True, kopf would log in again, and its watches would wait for that
        login when they should end. A request after `close` is cancelled instead, which
        ends the watch.
        """
        return False

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def request(
        self,
        *,
        method: str,
        url: str,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own argument
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientResponse | ShortAnswer | ShortWatch:
        """Repeat a request until there is a response that kopf can handle.

        That is a successful one, or one that says something about an object or a
        version. Its body has been read, unless it is that of a watch. LISTs and watches
        lack what is known already.

        Raises:
            CancelledError: The session was closed, so the process is ending. kopf does
                not wait for all requests that it has begun, and asyncio would log any
                other exception of theirs as one that nobody has retrieved.
        """
        parts = urlsplit(url)
        is_watch = "watch=true" in parts.query
        name = parts.path + ("?watch" if is_watch else "")
        line = self._lines.setdefault(name, _Line())
        where = place_of(method.upper(), name)
        # The pages of one LIST look like the same request, but none of them is in vain.
        if "continue=" not in parts.query:
            self._count(line)
        while True:
            await asyncio.sleep(max(0.0, line.not_before - time.monotonic()))
            if self._session.closed:
                raise asyncio.CancelledError
            line.begun = time.monotonic()
            try:
                answer = await self._session.request(
                    method, url, timeout=timeout, json=json, headers=headers
                )
                await self._require_usable(answer, f"{method.upper()} {name}")
                data = b"" if is_watch else await self._session.read(answer)
            except ClusterError as error:
                if self._session.closed:
                    raise asyncio.CancelledError from error
                self._put_off(line, error, where)
                continue
            line.failures = 0
            went_well(self._failure_log, where)
            kind = kind_listed(parts.path)
            if kind is None or self._is_known is None:
                return answer
            if is_watch:
                good = answer.status < _FIRST_ERROR
                return ShortWatch(answer, kind, self._is_known) if good else answer
            is_first = "continue=" not in parts.query
            token = "" if is_first else token_after(answer.status, data)
            if not token:
                version = "" if is_first else line.version
                short = without_known(answer, data, kind, self._is_known, version)
                if isinstance(short, ShortAnswer):
                    line.version = short.version
                return short
            # Reading took longer than the token lives. Without this, kopf would end.
            url = with_token(url, token)

    def _count(self, line: _Line) -> None:
        """Delay a request that comes again at once: the last one was in vain."""
        if line.failures:
            return
        now = time.monotonic()
        line.vain = line.vain + 1 if now - line.begun < SHORT else 0
        if line.vain > FREE:
            line.not_before = now + bounded_delay(line.vain - FREE, chance=0.5)

    def _put_off(self, line: _Line, error: ClusterError, where: str) -> None:
        note(self._failure_log, error, where)
        line.failures += 1
        pause = bounded_delay(line.failures, random.random(), error.retry_after)  # noqa: S311 - it spreads load
        line.not_before = time.monotonic() + pause
        level = logging.WARNING if error.claim_logging() else logging.DEBUG
        _log.log(level, "A watch waits: %s", error.message)

    async def _require_usable(self, answer: aiohttp.ClientResponse, what: str) -> None:
        """Raise the error of a response, unless kopf can handle that.

        The body of a response that has such an error is consumed.
        """
        good = answer.status < _FIRST_ERROR
        if good and answer.content_type == _JSON:
            return
        data = await self._session.read(answer)
        with suppress(ObjectGone, ObjectChanged, Expired):
            # What is not called JSON counts as none, whatever it holds.
            read_answer(what, answer.status, answer.headers, b"" if good else data)
