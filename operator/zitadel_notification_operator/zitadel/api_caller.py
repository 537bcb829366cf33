"""Makes one call with one credential and turns the answer into a model or an error.

The clients are built on this module.
"""

from collections.abc import Callable
from typing import TypeVar, overload

from pydantic import ValidationError

from zitadel_notification_operator.core.policy import WriteOutcome

from .calls import Call, Reply
from .errors import Facts, is_rejection, refusal_of, too_large, unexpected
from .models import Model
from .pool import LARGEST_BODY, Pool
from .tokens import TokenSource

_OK = 200

M = TypeVar("M", bound=Model)


class ApiCaller:
    """Makes calls. It keeps no state, so calls may run concurrently.

    Args:
        pool: The connections and limits, shared by all clients of the instance object.
        tokens: The source of the token for a call.
        checks: Called right before each call is sent. If one raises, nothing is sent.
    """

    def __init__(
        self, pool: Pool, tokens: TokenSource, *checks: Callable[[], None]
    ) -> None:
        self.pool = pool
        self._tokens = tokens
        self._checks = checks

    def guarded(self, check: Callable[[], None]) -> "ApiCaller":
        """Return a copy that also calls `check`, after the present checks."""
        return ApiCaller(self.pool, self._tokens, *self._checks, check)

    @overload
    async def call(self, call: Call, model: type[M]) -> M: ...

    @overload
    async def call(
        self, call: Call, model: type[M], facts: Facts
    ) -> M | WriteOutcome: ...

    async def call(
        self, call: Call, model: type[M], facts: Facts | None = None
    ) -> M | WriteOutcome:
        """Make a call and parse its answer.

        Args:
            call: The call to make.
            model: The model of a successful answer.
            facts: Error ids that are returned as facts instead of being raised.

        Raises:
            OperatorError: There was any other answer, or none.
        """
        token = await self._tokens.token()
        reply = await self.pool.send(call, token, self._checks)
        # A fetched token may end before its time. Nothing was done, so try again.
        if _is_rejected(reply) and self._tokens.discard(token):
            token = await self._tokens.token()
            reply = await self.pool.send(call, token, self._checks)
        if reply.status == _OK:
            return _read(call, reply, model, token)
        refusal = refusal_of(reply)
        if facts and refusal.id in facts:
            return facts[refusal.id]
        raise self.pool.failure_of(call, reply, refusal, token)


def _is_rejected(reply: Reply) -> bool:
    return reply.status != _OK and is_rejection(refusal_of(reply))


def _read(call: Call, reply: Reply, model: type[M], token: str) -> M:
    try:
        return model.model_validate_json(reply.body)
    except ValidationError as error:
        if call.paged and _is_cut(reply):
            raise too_large(call, "was answered with more than is kept") from error
        failure = unexpected(call, reply.status, reply.body, token)
        # The answer was cut, or somebody else has answered instead of ZITADEL.
        failure.maybe_done = call.writes
        raise failure from error


def _is_cut(reply: Reply) -> bool:
    """Return whether this may be ZITADEL's answer, of which only a part was kept."""
    return len(reply.body) >= LARGEST_BODY and reply.body.lstrip()[:1] == b"{"
