"""What the emulator has recorded: requests of clients, and events."""

from typing import Any, TypedDict

from .control_path import ControlPath, part


class Request(TypedDict):
    """A request of a client.

    Attributes:
        method: The verb.
        path: The path, without the query.
        organization: The header `x-zitadel-orgid`; empty if it was absent.
        status: The status of the answer; 0 if none was sent.
        time: When it arrived, in seconds since 1970.
        host: The header `Host`.
        server_name: The name in the TLS handshake; empty without TLS.
    """

    method: str
    path: str
    organization: str
    status: int
    time: float
    host: str
    server_name: str


class Event(TypedDict):
    """An event of the log.

    Attributes:
        aggregate: The id of the organization, user or instance that changed.
        type: The full name, such as `org.policy.notification.added`.
        sequence: The number within the aggregate.
        time: When it was written, in RFC 3339.
        editor: The id of the user who made the change; empty if it was none of them.
        resourceOwner: The id of the organization or instance that owns the aggregate.
        payload: The new values.
    """

    aggregate: str
    type: str
    sequence: int
    time: str
    editor: str
    resourceOwner: str
    payload: dict[str, Any]


class Records(ControlPath):
    """What tests can ask afterwards."""

    def requests(self, method: str = "", path: str = "") -> list[Request]:
        """Return the requests of clients so far, oldest first.

        Args:
            method: Only requests with this verb; empty means any.
            path: Only requests to exactly this path; empty means any.
        """
        found: list[Request] = self.control("GET", "requests")
        return [
            each
            for each in found
            if method in {"", each["method"]} and path in {"", each["path"]}
        ]

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self.control("DELETE", "requests")

    def events(self, aggregate: str = "") -> list[Event]:
        """Return the event log, oldest first, with the events that were lost.

        Args:
            aggregate: Only events of this organization, user or instance, by its id.
        """
        query = f"?aggregate={part(aggregate)}" if aggregate else ""
        found: list[Event] = self.control("GET", f"events{query}")
        return found
