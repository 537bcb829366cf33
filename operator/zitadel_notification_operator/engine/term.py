"""What a pass may still do: nothing without the lease, no more calls at the end.

Asked right before each call, when it is the call's turn, so it also stops passes that
have waited for long.
"""

import math
from collections.abc import Callable

from zitadel_notification_operator.core.credentials import Credential
from zitadel_notification_operator.core.objects import Endpoint
from zitadel_notification_operator.engine.outcome import Superseded
from zitadel_notification_operator.engine.ports import Connector, PolicyClient


class Term:
    """The time in which this process acts.

    Args:
        time_left: Seconds for which it may write; not above 0 means not now. Without
            an election there is no end.
    """

    def __init__(self, time_left: Callable[[], float] = lambda: math.inf) -> None:
        self.time_left = time_left
        self._ending = False

    def end(self) -> None:
        """Let passes end with the call that they are making."""
        self._ending = True

    def require_lease(self) -> None:
        """Do nothing while this process may write.

        Raises:
            Superseded: It may not: another replica goes on.
        """
        if self.time_left() <= 0:
            raise Superseded

    def require(self) -> None:
        """Do nothing while a pass may make one more call to ZITADEL.

        Raises:
            Superseded: The process is ending, or may not write.
        """
        if self._ending:
            raise Superseded
        self.require_lease()


class TermConnector:
    """A `Connector` whose clients make no call outside the term."""

    def __init__(self, connector: Connector, term: Term) -> None:
        self._connector = connector
        self._term = term

    def connect(
        self,
        instance: str,
        endpoint: Endpoint,
        credential: Credential,
        roots: str | None,
    ) -> PolicyClient:
        """Return a client, as the port says; each of its calls asks the term first."""
        client = self._connector.connect(instance, endpoint, credential, roots)
        return client.guarded(self._term.require)

    async def disconnect(self, instance: str) -> None:
        """Close what belongs to this instance object."""
        await self._connector.disconnect(instance)
