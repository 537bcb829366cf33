"""One call with one credential, up to a model or an error; clients build on it."""

from collections.abc import Callable, Mapping
from typing import TypeVar, overload

from pydantic import ValidationError

from zitadel_notification_operator.core.policy import Answer
from zitadel_notification_operator.zitadel.calls import Call, Reply
from zitadel_notification_operator.zitadel.errors import (
    is_rejection,
    refusal_of,
    unexpected,
)
from zitadel_notification_operator.zitadel.models import Model
from zitadel_notification_operator.zitadel.pool import Pool
from zitadel_notification_operator.zitadel.tokens import TokenSource

_OK = 200

M = TypeVar("M", bound=Model)


class Asker:
    """Asks; keeps nothing, so calls may run concurrently.

    Args:
        pool: Connections and limits, shared by all clients of the instance object.
        tokens: Where the token of a call comes from.
        check: Asked right before each call goes out; what it raises ends the call.
    """

    def __init__(
        self, pool: Pool, tokens: TokenSource, check: Callable[[], None] | None
    ) -> None:
        self.pool = pool
        self.tokens = tokens
        self._check = check

    def guarded(self, check: Callable[[], None]) -> "Asker":
        """Return one that asks `check`, too, after what it asks already."""
        before = self._check
        if before is None:
            return Asker(self.pool, self.tokens, check)

        def both() -> None:
            before()
            check()

        return Asker(self.pool, self.tokens, both)

    @overload
    async def ask(self, call: Call, model: type[M]) -> M: ...

    @overload
    async def ask(
        self, call: Call, model: type[M], facts: Mapping[str, Answer]
    ) -> M | Answer: ...

    async def ask(
        self, call: Call, model: type[M], facts: Mapping[str, Answer] | None = None
    ) -> M | Answer:
        """Make a call and read its answer.

        Args:
            call: What to ask.
            model: What a good answer looks like.
            facts: Error ids that are answers, too.

        Raises:
            OperatorError: Every other answer, or none.
        """
        token = await self.tokens.token()
        reply = await self.pool.send(call, token, self._check)
        if reply.status == _OK:
            return _read(call, reply, model, token)
        refusal = refusal_of(reply)
        if is_rejection(refusal) and self.tokens.discard(token):
            # A fetched token may end before its time; nothing was done with it.
            token = await self.tokens.token()
            reply = await self.pool.send(call, token, self._check)
            if reply.status == _OK:
                return _read(call, reply, model, token)
            refusal = refusal_of(reply)
        if facts and refusal.id in facts:
            return facts[refusal.id]
        raise self.pool.trouble_of(call, reply, refusal, token)


def _read(call: Call, reply: Reply, model: type[M], token: str) -> M:
    try:
        return model.model_validate_json(reply.body)
    except ValidationError as error:
        raise unexpected(call, reply.status, reply.body, token) from error
