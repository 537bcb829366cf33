"""The cost of many policies and many instances, on a separate cluster."""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import condition_in
from support.kube_calls import read_all
from support.planes import ready_plane
from support.running import (
    OWN_NAMESPACE,
    EmulatorProcess,
    OperatorProcess,
    create_secret,
)
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

pytestmark = [pytest.mark.clock, pytest.mark.timeout(400)]

COUNT = 1000
LIST_INTERVAL = 2.0
"""Seconds between two looks at all policies: each costs the API server a second."""

INSTANCES = 10
FIRST = 3
"""The emulator's organizations are ACME, Globex, `Organization 3`, and so on."""


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """A separate control plane, without the policies of other tests."""
    with ready_plane() as plane:
        yield plane


def instance(name: str, url: str, credentials: dict[str, Any]) -> dict[str, Any]:
    """Return an instance whose rate limit is never reached."""
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "ZitadelInstance",
        "metadata": {"name": name},
        "spec": {
            "url": url,
            "allowInsecureHTTP": True,
            "credentials": credentials,
            "rateLimit": {"requestsPerSecond": 1000, "burst": 1000},
        },
    }


def policy(number: int, instance: str) -> dict[str, Any]:
    """Return a policy for an organization by its name in another case."""
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicy",
        "metadata": {"name": f"p{number}", "namespace": OWN_NAMESPACE},
        "spec": {
            "scope": "Organization",
            "instanceRef": {"name": instance},
            "organization": {"name": f"organization {number + FIRST}"},
            "passwordChange": False,
        },
    }


def create(plane: ControlPlane, objects: list[dict[str, Any]]) -> None:
    """Create all objects with one command."""
    documents = "\n---\n".join(map(json.dumps, objects))
    plane.kubectl("create", "-f", "-", stdin=documents)


def ready(plane: ControlPlane) -> Counter[str]:
    """Return the number of Ready policies of each instance."""
    return Counter(
        body["spec"]["instanceRef"]["name"]
        for body in read_all(plane, "znp", OWN_NAMESPACE)
        if condition_in(body, "Ready")[0] == "True"
    )


def test_a_thousand_names_cost_few_calls_and_three_each(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """There is one token for all, and no separate check of existence.

    Each policy takes a GET, a write, and the GET that verifies it. On a busy machine a
    write may wait in the queue for more than a second, which takes another GET before
    it.
    """
    emulator = EmulatorProcess(tmp_path, 0, "--organizations", str(COUNT + FIRST))
    operator = OperatorProcess(plane, tmp_path)
    with emulator.program, operator.program:
        operator.wait_ready()
        made = emulator.user("IAM_OWNER", credential="key")
        create_secret(plane, "key", **{"key.json": json.dumps(made["keyFile"])})
        create(plane, [policy(number, "default") for number in range(COUNT)])
        credentials = {"privateKeyJWT": {"secretRef": {"name": "key"}}}
        create(plane, [instance("default", emulator.url, credentials)])
        eventually(lambda: ready(plane)["default"] == COUNT, 200, every=LIST_INTERVAL)
        requests = emulator.requests()
        seconds = requests[-1]["time"] - requests[0]["time"]
        calls = Counter(r["path"] for r in requests)
        tokens = (
            calls.pop("/oauth/v2/token"),
            calls.pop("/.well-known/openid-configuration"),
        )
        assert tokens == (1, 1)
        assert len(emulator.writes()) == COUNT
        looks = calls.pop("/management/v1/policies/notification") - COUNT
        assert 2 * COUNT <= looks <= 3 * COUNT
        # A slow machine takes minutes: events are searched all the time, and the list
        # of organizations, of two pages, is read again with the instance's next check.
        assert calls.pop("/admin/v1/events/_search") <= 6 + seconds / 5
        assert calls.pop("/v2/organizations/_search") in {2, 4, 6, 8}
        assert calls.total() <= 9
        assert operator.program.stop() == 0


def test_instances_run_side_by_side_and_a_dead_one_slows_none(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """Ten have a hundred policies each; one accepts connections only."""
    emulator = EmulatorProcess(tmp_path, 0, "--organizations", str(COUNT + FIRST))
    operator = OperatorProcess(plane, tmp_path)
    with emulator.program, operator.program, socket.create_server(("", 0)) as dead:
        operator.wait_ready()
        create_secret(plane, "token")
        credentials = {"personalAccessToken": {"secretRef": {"name": "token"}}}
        urls = [f"http://127.0.0.1:{dead.getsockname()[1]}"]
        urls += [emulator.url] * (INSTANCES - 1)
        names = [f"i{number}" for number in range(INSTANCES)]
        create(
            plane,
            [policy(number, names[number % INSTANCES]) for number in range(COUNT)],
        )
        create(
            plane,
            [
                instance(name, url, credentials)
                for name, url in zip(names, urls, strict=True)
            ],
        )
        wanted = dict.fromkeys(names[1:], COUNT // INSTANCES)
        # It takes twelve seconds on a quiet machine, a hundred on a busy one. One call
        # to the dead one takes ten, so calls for all its policies would take 1,000.
        eventually(lambda: ready(plane) == wanted, 250, every=LIST_INTERVAL)
        path = 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].reason}'
        done = plane.kubectl("get", "zni", "-o", path)
        assert Counter(done.stdout.split())["Succeeded"] == INSTANCES - 1
        # A call to the dead instance may be in progress; wait for it.
        assert operator.program.stop(timeout=20) == 0


def test_local_addresses_need_the_option(plane: ControlPlane, tmp_path: Path) -> None:
    """No request arrives, neither by address nor by name."""
    emulator = EmulatorProcess(tmp_path)
    operator = OperatorProcess(plane, tmp_path, local=False)
    with emulator.program, operator.program:
        operator.wait_ready()
        create_secret(plane, "token")
        credentials = {"personalAccessToken": {"secretRef": {"name": "token"}}}
        by_name = emulator.url.replace("127.0.0.1", "localhost")
        urls = {"literal": emulator.url, "by-name": by_name}
        create(plane, [instance(name, url, credentials) for name, url in urls.items()])

        def reasons() -> list[str]:
            found = (condition_in(body, "Ready") for body in read_all(plane, "zni"))
            return [reason for _, reason in found if reason]

        eventually(lambda: reasons() == ["AddressNotAllowed"] * 2, 20)
        assert emulator.requests() == []
        assert operator.program.stop() == 0
