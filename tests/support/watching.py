"""Watches every status that is ever stored, and lets the oracle judge each."""

import json
from pathlib import Path

from support.oracle import complaints
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.demo.processes import Program


class StatusWatch:
    """`kubectl get --watch` on both kinds, kept in files until the end."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._programs = [
            Program(
                kind,
                [
                    str(plane.kubectl_path),
                    f"--kubeconfig={plane.kubeconfig}",
                    *("get", kind, "--all-namespaces", "--watch", "--output=json"),
                ],
                folder / f"{kind}.json",
            )
            for kind in ("notificationpolicies", "zitadelinstances")
        ]

    def stop(self) -> tuple[int, list[str]]:
        """End it; return how many states were judged and what is wrong with them."""
        judged, found = 0, []
        decoder = json.JSONDecoder()
        for program in self._programs:
            program.stop()
            text = program.log.read_text().strip()
            while text.startswith("{"):
                body, end = decoder.raw_decode(text)
                text = text[end:].strip()
                judged += 1
                name = body["metadata"]["name"]
                found += [f"{name}: {text}" for text in complaints(body)]
        return judged, found
