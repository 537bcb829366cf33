"""Where the token of a call comes from: sent as stored, or fetched and shared.

A fetched token serves all calls of an instance object until shortly before it expires.
Callers without a valid token wait for the one fetch in progress (ZITADEL: POST
`/oauth/v2/token`).
"""

import asyncio
import logging
from dataclasses import dataclass, replace

from zitadel_notification_operator.core.credentials import AccessToken, Credential
from zitadel_notification_operator.core.errors import OperatorError, TerminalError
from zitadel_notification_operator.core.reasons import Reason

from .calls import is_sendable
from .pool import Pool
from .token_endpoint import TokenEndpoint

EARLY = 300.0
"""Seconds before its expiry at which a token is renewed, or a tenth of its lifetime.

The smaller of the two applies.
"""

SHORTEST = 10.0
"""Seconds that a token must have been in use before a refusal replaces it."""

QUIET = 1.0
"""Seconds for which an error of the token endpoint is raised again without a call.

Many callers may need a token at the same moment. With a longer time, one refusal could
count as several.
"""

RENEWAL_PAUSE = 5.0
"""Seconds between two tries to renew a token that is still valid."""

_UNTOLD_LIFE = 300

_log = logging.getLogger(__name__)


class StoredToken:
    """A personal access token, sent unchanged.

    Raises:
        TerminalError: `CredentialsInvalid`: no header can carry the token. This is
            checked here, because lower layers would quote it in errors and debug logs.
    """

    def __init__(self, token: str) -> None:
        if not is_sendable(token):
            raise TerminalError(
                Reason.CREDENTIALS_INVALID,
                "The token is empty or holds other than plain ASCII",
            )
        self._token = token

    async def token(self) -> str:
        """Return the token."""
        return self._token

    def discard(self, token: str) -> bool:
        """Return False, because only the Secret can provide another token."""
        del token
        return False


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A token and its times, in seconds of the event loop's clock.

    Attributes:
        refused: Whether a call with it was refused, so that all callers wait for a new
            one.
    """

    token: str
    since: float
    renew_at: float
    ends_at: float
    refused: bool = False


class FetchedToken:
    """Fetches a token, shares it, and renews it in time.

    Args:
        endpoint: Where a token is fetched.
    """

    def __init__(self, endpoint: TokenEndpoint) -> None:
        self._endpoint = endpoint
        self._lock = asyncio.Lock()
        self._fetched: _Fetched | None = None
        self._failure: OperatorError | None = None
        self._quiet_until = float("-inf")
        self._renew_again_at = float("-inf")

    async def token(self) -> str:
        """Return the shared token, after fetching a new one if it expires soon.

        A token that is still valid is used while its renewal is in progress, and also
        if the renewal fails for whatever reason (docs/operations/troubleshooting.md).

        Raises:
            TerminalError: `CredentialsRejected`: the token endpoint refused the
                credential.
            OperatorError: Any other error of the call.
        """
        ready = self._ready()
        if ready is not None:
            return ready
        async with self._lock:
            ready = self._ready(renewing=True)
            if ready is not None:
                return ready
            held = self._fetched
            try:
                self._fetched = await self._fetch()
            except OperatorError as failure:
                if held is None or _time() >= held.ends_at:
                    raise
                self._renew_again_at = _time() + RENEWAL_PAUSE
                _log.info(
                    "A token could not be renewed; the old one serves for %.0f more "
                    "seconds: %s",
                    held.ends_at - _time(),
                    failure.message,
                )
                return held.token
            return self._fetched.token

    def _ready(self, *, renewing: bool = False) -> str | None:
        """Return the token if it may be used without trying to renew it.

        Args:
            renewing: Whether the caller is the one that renews it.
        """
        fetched, now = self._fetched, _time()
        if fetched is None:
            return None
        if now < fetched.renew_at:
            return fetched.token
        if now >= fetched.ends_at:
            return None
        under_way = self._lock.locked() and not renewing and not fetched.refused
        return fetched.token if under_way or now < self._renew_again_at else None

    def discard(self, token: str) -> bool:
        """Have a refused token replaced, unless it is almost new.

        The token is kept until there is a new one, because a single refusal may be a
        mistake of a proxy, and the token endpoint may be failing just then.

        Returns:
            Whether the refused call may be tried again.
        """
        fetched = self._fetched
        if fetched is None or fetched.token != token:
            return True
        if _time() - fetched.since < SHORTEST:
            return False
        if not fetched.refused:
            self._renew_again_at = float("-inf")
        self._fetched = replace(fetched, renew_at=_time(), refused=True)
        return True

    async def _fetch(self) -> _Fetched:
        if self._failure is not None and _time() < self._quiet_until:
            raise self._failure
        try:
            reply = await self._endpoint.fetch()
        except OperatorError as failure:
            self._failure = failure
            self._quiet_until = _time() + QUIET
            raise
        self._failure = None
        life = float(reply.expires_in or _UNTOLD_LIFE)
        now = _time()
        early = min(EARLY, life / 10)
        return _Fetched(reply.access_token, now, now + life - early, now + life)


TokenSource = StoredToken | FetchedToken


def token_source(credential: Credential, pool: Pool) -> TokenSource:
    """Return the source of the tokens for a credential. This makes no call.

    Raises:
        TerminalError: `CredentialsInvalid`: the token or the key cannot be used.
    """
    if isinstance(credential, AccessToken):
        return StoredToken(credential.token)
    return FetchedToken(TokenEndpoint(pool, credential))


def _time() -> float:
    return asyncio.get_running_loop().time()
