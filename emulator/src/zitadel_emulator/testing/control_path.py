"""HTTP calls of the control path, which need neither a token nor a proxy."""

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

from zitadel_emulator.faults import BadControl

_TIMEOUT = 30.0
"""Seconds without an answer after which a call fails; one takes a millisecond."""


class EmulatorEnded(Exception):
    """Nobody listens at the emulator's address any more."""


class ControlPath:
    """The control path of one emulator.

    Attributes:
        url: The base URL of the emulated ZITADEL, such as `http://127.0.0.1:8085`.
    """

    def __init__(self, url: str) -> None:
        """Attach to a running emulator that serves plain http.

        Args:
            url: The base URL, as the command prints it in its first line.
        """
        self.url = url

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Make one call of the control path and return its JSON.

        The other methods cover all calls; this one is for those that are described in
        the reference only.

        Args:
            method: The verb.
            path: The part of the path after `/emulator/v1/`.
            body: The JSON to send; None sends no body.

        Raises:
            BadControl: The emulator refused the call; the text names the wrong field.
            EmulatorEnded: The emulator does not run any more.
        """
        connection = http.client.HTTPConnection(
            urlsplit(self.url).netloc, timeout=_TIMEOUT
        )
        text = None if body is None else json.dumps(body)
        try:
            connection.request(method, f"/emulator/v1/{path}", text)
            answer = connection.getresponse()
            content = json.load(answer)
        except ConnectionError as error:
            raise EmulatorEnded(f"The emulator at {self.url} has ended") from error
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise BadControl(content["error"])
        return content


def part(text: str) -> str:
    """Return a text as one part of a path."""
    return quote(text, safe="")
