"""Fifty policies on a real API server, whose audit log shows all writes."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.conftest import condition_in
from support.audit import AuditLog
from support.kube_calls import read_all
from support.running import (
    OWN_NAMESPACE,
    EmulatorProcess,
    OperatorProcess,
    create_secret,
)
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

pytestmark = [pytest.mark.clock, pytest.mark.timeout(900)]

COUNT = 50
FIRST = 280000000000000101
REJECTED = json.dumps({"code": 16, "message": "Errors.Token.Invalid (AUTH-7fs1e)"})


def manifests(url: str) -> str:
    """Return the instance and its policies as one manifest."""
    api = "zitadel-notification.dev/v1alpha1"
    secret = {"personalAccessToken": {"secretRef": {"name": "zitadel"}}}
    found: list[object] = [
        {
            "apiVersion": api,
            "kind": "NotificationPolicy",
            "metadata": {"name": f"p{number}", "namespace": OWN_NAMESPACE},
            "spec": {
                "scope": "Organization",
                "organization": {"id": str(FIRST + number)},
                "passwordChange": True,
            },
        }
        for number in range(COUNT)
    ]
    # The instance is last, so that its first status has the number of policies.
    found.append(
        {
            "apiVersion": api,
            "kind": "ZitadelInstance",
            "metadata": {"name": "default"},
            "spec": {"url": url, "allowInsecureHTTP": True, "credentials": secret},
        }
    )
    return "\n---\n".join(map(json.dumps, found))


def reasons(plane: ControlPlane, kind: str) -> list[str]:
    """Return the reasons of the Ready conditions of all objects of a kind."""
    where = OWN_NAMESPACE if kind == "znp" else ""
    found = (condition_in(body, "Ready")[1] for body in read_all(plane, kind, where))
    return [reason for reason in found if reason]


def within_a_minute(ask: Callable[[], bool]) -> None:
    """Wait for a condition, with few calls."""
    eventually(ask, 60, every=0.5)


def last_policy_event(emulator: EmulatorProcess) -> str:
    """Return the end of a cursor at the newest event of a policy."""
    events = emulator.call("GET", "/emulator/v1/events")
    event = [e for e in events if ".policy.notification." in e["type"]][-1]
    return f" {event['sequence']} {event['aggregate']}"


def cursor(plane: ControlPlane) -> str:
    """Return the cursor of the instance's events."""
    status = read_all(plane, "zni")[0].get("status", {})
    return str(status.get("driftCursor", ""))


def test_fifty_policies_and_their_instance(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    """A 401, a 503, a missing Secret; then a lasting refusal."""
    plane = control_plane
    emulator = EmulatorProcess(tmp_path, 0, "--organizations", str(COUNT))
    operator = OperatorProcess(plane, tmp_path)
    with emulator.program, operator.program:
        operator.wait_ready()
        made = emulator.user("IAM_OWNER", credential="token")
        create_secret(plane, "zitadel", made["token"])
        plane.kubectl("apply", "-f", "-", stdin=manifests(emulator.url))
        ready = ["Succeeded"] * COUNT
        eventually(lambda: reasons(plane, "znp") == ready, 120, every=0.5)
        # The cursor moves when a search shows the first writes.
        last = last_policy_event(emulator)
        eventually(lambda: cursor(plane).endswith(last), 90, every=1)
        audit = AuditLog(plane)

        def writes(kind: str) -> int:
            return len(audit.by_operator(kind))

        for fault in ({"status": 401, "body": REJECTED}, {"status": 503, "body": ""}):
            path = "/auth/v1/users/me"
            body = {"path": path, "times": 1, **fault}
            emulator.call("POST", "/emulator/v1/faults", body)
            # The call comes 25 seconds after the last call of any kind, with a check
            # that is made every 33 seconds at most; searches of events come between.
            eventually(
                lambda: not emulator.call("GET", "/emulator/v1/faults"), 120, every=0.5
            )
            time.sleep(5)
            assert writes("notificationpolicies") == 0
            assert writes("zitadelinstances") == 0

        plane.kubectl("delete", "secret", "zitadel", "-n", OWN_NAMESPACE)
        eventually(
            lambda: reasons(plane, "zni") == ["CredentialsMissing"], 60, every=0.5
        )
        time.sleep(15)
        assert reasons(plane, "zni") == ["CredentialsMissing"]
        create_secret(plane, "zitadel", made["token"])
        within_a_minute(lambda: reasons(plane, "zni") == ["Succeeded"])
        time.sleep(5)
        assert writes("notificationpolicies") == 0
        assert writes("zitadelinstances") == 2

        user = f"/emulator/v1/users/{made['userId']}"
        for state, reason in (
            ("deactivated", "CredentialsRejected"),
            ("reactivated", "Succeeded"),
        ):
            emulator.call("PUT", user, {"state": state})
            within_a_minute(is_reported(plane, reason))
        assert operator.program.stop() == 0


def is_reported(plane: ControlPlane, reason: str) -> Callable[[], bool]:
    """Return a function that checks whether all have this reason."""
    return lambda: (
        reasons(plane, "zni") == [reason] and reasons(plane, "znp") == [reason] * COUNT
    )
