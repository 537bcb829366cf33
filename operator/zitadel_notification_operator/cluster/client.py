"""The client for the operator's own calls: a session and a record of failures."""

from collections.abc import Mapping
from typing import Any

import aiohttp

from .session import ApiSession
from .troubles import Troubles


class ApiClient:
    """Makes single requests and reads each response completely.

    Args:
        session: Makes the requests; its connections are used by this client only.
        troubles: Records the causes of failures; shared by all clients.
    """

    def __init__(self, session: ApiSession, troubles: Troubles) -> None:
        self.session = session
        self.troubles = troubles

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
