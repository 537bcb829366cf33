"""A mutating admission webhook, over TLS, as a platform team might run one."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.authorities import Authority, write_pair
from zitadel_notification_operator.demo.control_plane import ControlPlane


@contextmanager
def mutating(
    plane: ControlPlane,
    folder: Path,
    namespace: str,
    patch: Sequence[Mapping[str, Any]],
) -> Iterator[None]:
    """Apply a JSON patch to each policy of a namespace that is created or changed.

    Args:
        plane: The control plane that calls the webhook.
        folder: A folder for the certificate.
        namespace: The namespace; it must be labelled with its own name, which
            kube-apiserver does.
        patch: The operations of the patch.
    """
    authority = Authority("webhook")
    path = write_pair(folder, authority.issue())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _answering(patch))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"https://127.0.0.1:{server.server_port}/"
    configuration = _configuration(namespace, url, authority.pem)
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(configuration))
    try:
        yield
    finally:
        kind = "mutatingwebhookconfiguration"
        plane.kubectl("delete", kind, configuration["metadata"]["name"])
        server.shutdown()
        server.server_close()
        thread.join()


def _configuration(namespace: str, url: str, authority: str) -> dict[str, Any]:
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rule = {
        "apiGroups": ["zitadel-notification.dev"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["notificationpolicies"],
    }
    webhook = {
        "name": "mutating.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "namespaceSelector": selector,
        "rules": [rule],
        "clientConfig": {
            "url": url,
            "caBundle": base64.b64encode(authority.encode()).decode(),
        },
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": f"mutating-{namespace}"},
        "webhooks": [webhook],
    }


def _answering(patch: Sequence[Mapping[str, Any]]) -> type[BaseHTTPRequestHandler]:
    encoded = base64.b64encode(json.dumps(patch).encode()).decode()

    class Answering(BaseHTTPRequestHandler):
        """Answers each AdmissionReview with the same patch."""

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            review = json.loads(self.rfile.read(length))
            response = {
                "uid": review["request"]["uid"],
                "allowed": True,
                "patchType": "JSONPatch",
                "patch": encoded,
            }
            body = json.dumps({**review, "response": response}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    return Answering
