"""A ZITADEL that loses events, an operator that uses it, and checks of both."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from cluster.conftest import System
from support.kube_calls import Refused, delete, merge, read_all
from support.running import EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from support.watching import StatusWatch
from zitadel_notification_operator.demo.control_plane import ControlPlane

POLICY = "/management/v1/policies/notification"
DRIFT = {"method": "Poll", "pollInterval": "10s"}
"""Short enough that all policies are polled while a read side answers no GET."""

EVENTS = {"method": "Events", "eventsInterval": "5s"}
"""Short enough that changes of others are found soon."""


@contextmanager
def world_of_its_own(
    plane: ControlPlane, folder: Path, *options: str, **instance: Any
) -> Iterator[System]:
    """Run an emulator and an operator for one test, and check every status.

    Repairs are limited for each ZITADEL, and all emulators have the same id. So each
    test needs a new operator, which has made no repair yet.

    Args:
        plane: A control plane that has the CRDs and no other operator.
        folder: Where logs are written.
        options: Options of the emulator.
        instance: Fields of the spec of the instance `shared`.
    """
    folder.mkdir(exist_ok=True)
    create_secret(plane, "zitadel-credentials")
    watch = StatusWatch(plane, folder)
    emulator = EmulatorProcess(folder, 0, *options)
    with emulator.program:
        made = System(plane, emulator, OperatorProcess(plane, folder), folder)
        try:
            made.operator.wait_ready()
            made.instance("shared", emulator.url, **instance)
            made.wait_for("", "shared", kind="zni")
            yield made
        finally:
            # Clean up after a failure, too, so that the next test begins with nothing.
            try:
                clear(made)
            finally:
                code = made.operator.program.stop()
                judged, found = watch.stop()
    assert code == 0
    assert judged
    assert not found


def clear(system: System) -> None:
    """Delete all objects through the operator, and wait until they are gone."""
    for kind in ("znp", "zni"):
        for body in read_all(system.plane, kind):
            metadata = body["metadata"]
            where = metadata.get("namespace", "")
            with suppress(Refused):  # its set may have deleted it meanwhile
                delete(system.plane, kind, metadata["name"], where)
        eventually(partial(_none_left, system, kind), 60, f"no {kind}")


def _none_left(system: System, kind: str) -> bool:
    return not read_all(system.plane, kind)


def restart(system: System) -> None:
    """Kill the operator as a lost node would, and start another one."""
    system.operator.program.kill()
    system.operator = OperatorProcess(system.plane, system.folder)


def lose(system: System, kind: str, organization: str) -> None:
    """Let the read side miss an organization's next event of a kind."""
    loss = {"kind": kind, "organization": organization}
    system.emulator.call("POST", "/emulator/v1/losses", loss)


def edit(system: System, namespace: str, name: str, *, value: bool) -> None:
    """Change the value in a policy's spec."""
    patch = {"spec": {"passwordChange": value}}
    merge(system.plane, "znp", name, patch, namespace)


def writes_to(system: System, organization: str) -> list[str]:
    """Return the verbs of all writes to an organization's policy."""
    return [w[0] for w in system.emulator.writes() if w[2] == organization]


def wait_for_writes(
    system: System, organization: str, count: int, patience: float = 30
) -> None:
    """Wait until ZITADEL has answered `count` writes to an organization's policy."""
    eventually(
        lambda: len(writes_to(system, organization)) >= count,
        patience,
        f"{count} writes to {organization}",
        every=0.02,
    )


def repairs(operator: OperatorProcess, missed: str = "") -> int:
    """Return how many repairs a process has counted, of one kind or of all kinds."""
    label = re.escape(missed) or "[a-z]+"
    found = re.findall(
        rf'^znp_read_side_repairs_total{{missed="{label}"}} (\S+)$',
        operator.metrics(),
        re.MULTILINE,
    )
    return int(sum(map(float, found)))


def repair_notes(system: System, namespace: str, name: str = "") -> list[str]:
    """Return the notes of the Events about repairs in a namespace, or of one policy."""
    found = read_all(
        system.plane, "event", namespace, fieldSelector="reason=ReadSideRepaired"
    )
    return [
        event["note"] for event in found if name in {"", event["regarding"]["name"]}
    ]


def require_repair(system: System, namespace: str, name: str, missed: str) -> None:
    """Wait for the Event of one repair, and check that the repair is counted."""
    eventually(lambda: repair_notes(system, namespace, name), 20, "ReadSideRepaired")
    (note,) = repair_notes(system, namespace, name)
    assert f"({missed})" in note
    assert (repairs(system.operator), repairs(system.operator, missed)) == (1, 1)


def require_shown(system: System, body: dict[str, Any], organization: str) -> None:
    """Check that a status shows what a GET returns: the value and its version."""
    shown, status = system.emulator.policy(organization), body["status"]
    details = shown["details"]
    assert status["isDefault"] is shown.get("isDefault", False)
    assert status["passwordChange"] is shown.get("passwordChange", False)
    assert status["sequence"] == details["sequence"]
    assert status["changeDate"] == details["changeDate"]


def require_agreement(system: System, organization: str, *, value: bool) -> None:
    """Check that the event log and GETs agree on an organization's own policy."""
    shown = system.emulator.policy(organization)
    assert "isDefault" not in shown
    assert shown.get("passwordChange", False) is value
    with pytest.raises(HTTPError) as refused:
        system.emulator.call("PUT", POLICY, {"passwordChange": value}, organization)
    assert refused.value.code == 400
    assert "Org-ioqnxz" in refused.value.read().decode()


def busy_answers(system: System, organization: str) -> int:
    """Return how many GETs of a policy failed because an insert was being retried."""
    return sum(
        request["status"] == 500
        for request in system.emulator.requests(POLICY)
        if request["method"] == "GET" and request["organization"] == organization
    )
