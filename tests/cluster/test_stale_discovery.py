"""Discovery may be out of date about the kinds that the API server serves."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from support.apiserver import ApiServer, kubeconfig, status
from support.waiting import soon

pytestmark = pytest.mark.clock
PATIENCE = 40.0
"""Seconds; a busy machine takes several for what is a moment on a quiet one."""

GROUP = "/apis/zitadel-notification.dev/v1alpha1"
POLICIES, INSTANCES = "notificationpolicies", "zitadelinstances"
KINDS = {
    POLICIES: "NotificationPolicy",
    INSTANCES: "ZitadelInstance",
    "namespaces": "Namespace",
}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"


PROGRAM = """
import asyncio, logging, pathlib, sys
from zitadel_notification_operator import app
logging.basicConfig(level=logging.INFO)
app.CRD_INTERVAL, app.STEADY_INTERVAL = 0.1, 0.2
kubeconfig = pathlib.Path(sys.argv[1])
ports = {"bind_address": "127.0.0.1", "health_port": 0, "metrics_port": 0}
ports |= {"kubeconfig": kubeconfig, "lease_duration": None}
settings = app.Settings("operator", **ports)
asyncio.run(app.Operator(settings).run())
"""
"""An operator without replicas that looks for CRDs more often."""


class Cluster:
    """An API server without objects that serves the kinds that a test chooses.

    Attributes:
        discovered: The kinds that discovery lists.
        served: The kinds that are served.
        watched: The kinds of the watches that have begun, in order.
        refused: The number of calls for a kind that is not served.
        on_list: A callback that receives the kind of each LIST.
        log: The operator's log file.
    """

    def __init__(self) -> None:
        self.discovered = {POLICIES, INSTANCES}
        self.served = {POLICIES, INSTANCES}
        self.watched: list[str] = []
        self.refused = 0
        self.log = Path()
        self.on_list: Callable[[str], None] = lambda _: None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer discovery, LISTs and watches of our kinds, and nothing else."""
        path = request.path.rstrip("/")
        if path == "/version":
            return web.json_response({"major": "1"})
        if path == "/api":
            return web.json_response({"versions": ["v1"]})
        if path == "/api/v1":
            # kopf starts only after it has listed these.
            return web.json_response({"resources": [resource("namespaces")]})
        if path == "/apis":
            version = {
                "groupVersion": "zitadel-notification.dev/v1alpha1",
                "version": "v1alpha1",
            }
            group = {
                "name": "zitadel-notification.dev",
                "versions": [version],
                "preferredVersion": version,
            }
            return web.json_response({"groups": [group]})
        if path == GROUP:
            return web.json_response(
                {"resources": [resource(n) for n in self.discovered]}
            )
        plural = path.rpartition("/")[2].partition(".")[0]
        if plural not in self.served:
            self.refused += 1
            return status(404)
        if path.startswith(CRDS):
            return web.json_response({"metadata": {"name": plural}, "spec": {}})
        if "watch" in request.query:
            return await self._watch(request, plural)
        self.on_list(plural)
        kind = resource(plural)["kind"]
        return web.json_response(
            {
                "kind": f"{kind}List",
                "apiVersion": "zitadel-notification.dev/v1alpha1",
                "metadata": {"resourceVersion": "1"},
                "items": [],
            }
        )

    async def _watch(self, request: web.BaseRequest, plural: str) -> web.StreamResponse:
        self.watched.append(plural)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while plural in self.served:  # noqa: ASYNC110 - a test changes it
            await asyncio.sleep(0.05)
        return response


def resource(plural: str) -> dict[str, Any]:
    """Return the entry of discovery for a kind."""
    kind = KINDS[plural]
    return {
        "name": plural,
        "singularName": kind.lower(),
        "kind": kind,
        "namespaced": plural == POLICIES,
        "verbs": ["get", "list", "watch", "patch"],
    }


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Run an operator on it, and end that by a signal, which must be quick.

    It is a process of its own, because kopf cancels all tasks of its event loop.
    """
    found = Cluster()
    async with ApiServer(answer=found.answer) as server:
        path = kubeconfig(tmp_path / "config", server.url)
        found.log = tmp_path / "log"
        with found.log.open("wb") as log:
            operator = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", PROGRAM, str(path)), stdout=log, stderr=log
            )
        try:
            yield found
            assert operator.returncode is None, found.log.read_text()
            operator.terminate()
            assert await asyncio.wait_for(operator.wait(), 4) == 0
        finally:
            if operator.returncode is None:
                operator.kill()
                await operator.wait()


@pytest.mark.parametrize("gone", [POLICIES, INSTANCES])
async def test_a_kind_that_is_discovered_but_not_served(
    cluster: Cluster, gone: str
) -> None:
    """The operator does not list it for ever, and serves the other kind."""
    cluster.served.discard(gone)
    (other,) = cluster.served
    await soon(lambda: cluster.refused == 2, PATIENCE)
    assert not cluster.watched
    cluster.discovered.discard(gone)
    await soon(lambda: cluster.watched == [other], PATIENCE)
    cluster.discovered.add(gone)
    cluster.served.add(gone)
    await soon(lambda: len(cluster.watched) == 3, PATIENCE)
    assert set(cluster.watched[1:]) == {gone, other}


async def test_a_kind_that_goes_before_it_is_watched(cluster: Cluster) -> None:
    """No watch reveals that, so the operator checks for it."""

    def go(plural: str) -> None:
        if plural == POLICIES:
            cluster.served.discard(POLICIES)
            cluster.discovered.discard(POLICIES)

    cluster.on_list = go
    await soon(lambda: cluster.watched.count(INSTANCES) == 2, PATIENCE)
    assert set(cluster.watched) == {INSTANCES}


async def test_a_crd_that_is_deleted_is_no_error(cluster: Cluster) -> None:
    """The log has one sentence, and no traceback of kopf."""
    await soon(lambda: len(cluster.watched) == 2, PATIENCE)
    cluster.served.discard(POLICIES)
    cluster.discovered.discard(POLICIES)
    await soon(lambda: cluster.watched[2:] == [INSTANCES], PATIENCE)
    log = cluster.log.read_text()
    assert "its CRD was deleted" in log
    assert "ERROR" not in log
    assert "Traceback" not in log
