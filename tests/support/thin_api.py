"""An API server that is slow, refuses calls or is silent while a process starts.

It serves only the discovery of our API group and LISTs of our kinds. A test in which
anything is stored needs a real API server.
"""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import urlsplit

GROUP = "/apis/zitadel-notification.dev/v1alpha1"
KINDS = ("notificationpolicies", "notificationpolicysets", "zitadelinstances")

Answer = Callable[[str], tuple[int, Any] | None]
"""Takes a path; returns status and JSON, or None for no response until the end."""


class ThinApi:
    """Serves plain HTTP on a free port of loopback.

    Args:
        answer: Returns the response to a GET of a path.
    """

    def __init__(self, answer: Answer) -> None:
        self.paths: list[str] = []
        self._ended = ended = Event()
        paths = self.paths

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                paths.append(path)
                response = answer(path)
                if response is None:
                    ended.wait(60)
                    self.close_connection = True
                    return
                body = json.dumps(response[1]).encode()
                self.send_response(response[0])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        """Start to serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and close the connections that wait for a response."""
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def silent(_: str) -> None:
    """Send no response."""
    return


def without_crds(_: str) -> tuple[int, Any]:
    """Respond with 404 to every path, as before the CRDs are applied."""
    return 404, {"kind": "Status", "code": 404, "reason": "NotFound"}


def with_crds(lists: Answer) -> Answer:
    """Serve the discovery of our kinds; `lists` answers everything else."""
    resources = [{"name": name} for name in KINDS]

    def answer(path: str) -> tuple[int, Any] | None:
        if path == GROUP:
            return 200, {"kind": "APIResourceList", "resources": resources}
        return lists(path)

    return answer


def only_lists(path: str) -> tuple[int, Any] | None:
    """Serve empty lists of our kinds, and send no response to anything else."""
    if path.rpartition("/")[2] not in KINDS:
        return None
    return 200, {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []}


def write_kubeconfig(folder: Path, server: str, **user: Any) -> Path:
    """Write a kubeconfig for a server; return its path.

    Args:
        folder: Where the file is written.
        server: The URL of the server.
        user: Fields of the user entry, such as `exec`.
    """
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return path
