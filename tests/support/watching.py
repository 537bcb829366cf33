"""Watches every status that is stored, and checks each against the rules of Flux."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.judges import argo
from support.oracle import complaints
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.demo.processes import Program

# Some tests stop the API server, which ends the watch; then the next watch starts.
_AGAIN_AND_AGAIN = """
trap 'kill $! 2>/dev/null; exit 0' TERM
while true; do {command} 2>/dev/null & wait $!; sleep 0.1; done
"""


class StatusWatch:
    """`kubectl get --watch` of all kinds, whose output is kept in files."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._programs = []
        for kind in (
            *("notificationpolicies", "notificationpolicysets"),
            "zitadelinstances",
        ):
            watch = [
                str(plane.kubectl_path),
                f"--kubeconfig={plane.kubeconfig}",
                *("get", kind, "--all-namespaces", "--watch", "--output=json"),
            ]
            script = _AGAIN_AND_AGAIN.format(command=shlex.join(watch))
            program = Program(kind, ["sh", "-c", script], folder / f"{kind}.json")
            self._programs.append(program)

    def stop(self) -> tuple[int, list[str]]:
        """End the watch; return the number of states and the violations in them."""
        judged, found = 0, []
        for program in self._programs:
            assert program.running, f"the watch of {program.name} has ended"
            program.stop()
            for body in _bodies(program.log.read_text()):
                if body["kind"] == "Status":
                    # The API server has ended this watch, as after a change of the CRD.
                    continue
                judged += 1
                name = body["metadata"]["name"]
                found += [f"{name}: {text}" for text in complaints(body)]
                argo(body)  # this raises if the script fails
        return judged, found


def _bodies(text: str) -> Iterator[dict[str, Any]]:
    """Yield each object of a text that is a sequence of JSON objects."""
    decoder, text, position = json.JSONDecoder(), text.strip(), 0
    while position < len(text):
        body, position = decoder.raw_decode(text, position)
        yield body
        while text[position : position + 1].isspace():
            position += 1
