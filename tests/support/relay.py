"""A TCP relay on loopback that can cut, hang or delay, and that records requests.

In front of the API server it separates a process from Kubernetes. As the HTTP proxy of
one process it records which requests that process sent to ZITADEL, and when.
"""

import contextlib
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Self

_REQUEST = re.compile(rb"(?m)^(GET|POST|PUT|DELETE) http://[^/ ]+(\S+) HTTP/")
_RESET = struct.pack("ii", 1, 0)
_STEP = 0.01


@dataclass(frozen=True, slots=True)
class Passed:
    """A request to ZITADEL, and the time at which it was forwarded."""

    time: float
    method: str
    path: str

    @property
    def writes(self) -> bool:
        """Whether it may change a policy."""
        return self.method != "GET" and "/policies/" in self.path


class Relay:
    """Forwards connections from its port to a target port; a context manager.

    Attributes:
        port: The port where it listens.
        requests: The forwarded requests in order; times are `time.monotonic()`.
    """

    def __init__(self, target: int) -> None:
        """Relay to a port on loopback."""
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.requests: list[Passed] = []
        self._mode = "pass"
        self._delay = 0.0
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._mode = "over"
        self._server.close()
        self._reset_all()

    def cut(self) -> None:
        """Reset all connections, and each new one."""
        self._mode = "cut"
        self._reset_all()

    def hang(self) -> None:
        """Accept connections and bytes, but forward none."""
        self._mode = "hang"

    def resume(self) -> None:
        """Forward again, also what came while it was hanging."""
        self._mode = "pass"

    def delay(self, seconds: float) -> None:
        """Delay each request by some seconds."""
        self._delay = seconds

    def writes(self) -> list[float]:
        """Return the times of the requests that may change policies."""
        return [passed.time for passed in self.requests if passed.writes]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._server.accept()
                if self._mode == "cut":
                    _reset(here)
                    continue
                there = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._ends |= {here, there}
                ways = ((here, there, True), (there, here, False))
                for arguments in ways:
                    pump = threading.Thread(
                        target=self._pump, args=arguments, daemon=True
                    )
                    pump.start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, is_request: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                while self._mode == "hang":
                    time.sleep(_STEP)
                if is_request and self._delay:
                    time.sleep(self._delay)
                if is_request:
                    self._note(data)
                sink.sendall(data)
        for end in (source, sink):
            _reset(end)
        with self._lock:
            self._ends -= {source, sink}

    def _note(self, data: bytes) -> None:
        now = time.monotonic()
        for found in _REQUEST.finditer(data):
            method, path = found[1].decode(), found[2].decode()
            self.requests.append(Passed(now, method, path))

    def _reset_all(self) -> None:
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            _reset(end)


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RDWR)
    end.close()
