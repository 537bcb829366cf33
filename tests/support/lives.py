"""Lives of policies on real servers: created, edited, reset by somebody else, deleted.

A life that ends well always shows the same states, events and Events, so a life under
faults can be compared with one that had none.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from support.running import OWN_NAMESPACE, TOKEN, EmulatorProcess
from zitadel_notification_operator.demo.control_plane import ControlPlane

GROUP = "zitadel-notification.dev/v1alpha1"
POLICY = "/management/v1/policies/notification"
PATIENCE = 300.0
"""Seconds that one phase may take on a busy machine; kopf alone waits 70 seconds for a
silent watch."""

LOOK_INTERVAL = 0.2
"""Seconds between two reads; a hundred lives that read more often would be a load."""

HISTORY = [
    ("org.policy.notification.added", {}),
    ("org.policy.notification.changed", {"passwordChange": True}),
    ("org.policy.notification.removed", {}),
    ("org.policy.notification.added", {"passwordChange": True}),
    ("org.policy.notification.removed", {}),
]
"""The events of a life in ZITADEL's log; the first removal is somebody else's."""

EVENT_REASONS = ["Created", "Deleted", "DriftCorrected", "Updated"]
"""The reasons of the Events of a life in Kubernetes."""

OPTIONAL_REASONS = {"InstanceNotFound", "Recovered"}
"""More reasons, which occur if the policy's watch was faster than its instance's."""


@dataclass
class Servers:
    """A control plane and a ZITADEL, with the calls that the test makes to them."""

    plane: ControlPlane
    emulator: EmulatorProcess
    session: aiohttp.ClientSession
    somebody: str
    _reads: dict[str, asyncio.Task[dict[str, Any]]] = field(default_factory=dict)

    async def read(self, path: str) -> Any:
        """Return an object, or None if there is none."""
        collection, _, name = path.rpartition("/")
        return (await self.read_all(collection)).get(name)

    async def read_all(self, collection: str) -> dict[str, Any]:
        """Return the objects of a collection by name; concurrent reads share a LIST."""
        under_way = self._reads.get(collection)
        if under_way is None or under_way.done():
            under_way = asyncio.create_task(self._list(collection))
            self._reads[collection] = under_way
        return await asyncio.shield(under_way)

    async def _list(self, collection: str) -> dict[str, Any]:
        await asyncio.sleep(0.4)
        found = await self.kubernetes("GET", collection)
        return {item["metadata"]["name"]: item for item in found["items"]}

    async def kubernetes(self, method: str, path: str, body: Any = None) -> Any:
        """Make a call as the administrator; retry it while Kubernetes is unavailable.

        Returns:
            The response, or None if there is no such object.
        """
        kind = "merge-patch+json" if method == "PATCH" else "json"
        headers = {
            "Authorization": f"Bearer {self.plane.token}",
            "Content-Type": f"application/{kind}",
            "User-Agent": "kubectl of the test",
            # On loopback, to compress a list costs more than to send it.
            "Accept-Encoding": "identity",
        }
        data = None if body is None else json.dumps(body)
        url = self.plane.url + path
        while True:
            call = self.session.request(method, url, headers=headers, data=data)
            try:
                async with call as answer:
                    if answer.status == 404:
                        return None
                    if answer.status < 400:
                        return await answer.json()
                    text = await answer.text()
                    # Just after its start an API server may refuse anything.
                    assert answer.status in {403, 429, 500, 503}, text
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)

    async def zitadel(self, method: str, path: str, *rest: Any) -> Any:
        """Call ZITADEL as the IAM_OWNER, or with another token."""
        return await asyncio.to_thread(self.emulator.call, method, path, *rest)

    async def add_instance(self, name: str, group: str) -> None:
        """Create an instance with its Secret, for the operators of a group."""
        path = f"/api/v1/namespaces/{OWN_NAMESPACE}/secrets"
        secret = {"metadata": {"name": name}, "stringData": {"token": TOKEN}}
        await self.kubernetes("POST", path, secret)
        body = {
            "apiVersion": GROUP,
            "kind": "ZitadelInstance",
            "metadata": {"name": name, "labels": {"faults": group}},
            "spec": {
                "url": self.emulator.url,
                "allowInsecureHTTP": True,
                "credentials": {"personalAccessToken": {"secretRef": {"name": name}}},
                "driftDetection": {"eventsInterval": "5s"},
                "grants": [{"namespaces": ["*"]}],
            },
        }
        await self.kubernetes("POST", f"/apis/{GROUP}/zitadelinstances", body)

    async def add_policy(self, namespace: str, name: str, instance: str) -> str:
        """Create an organization and its policy; return the organization's id."""
        org = {"name": f"{namespace} {name}"}
        id_: str = (await self.zitadel("POST", "/management/v1/orgs", org))["id"]
        body = {
            "apiVersion": GROUP,
            "kind": "NotificationPolicy",
            "metadata": {"name": name},
            "spec": {
                "scope": "Organization",
                "instanceRef": {"name": instance},
                "organization": {"id": id_},
                "passwordChange": False,
            },
        }
        path = f"/apis/{GROUP}/namespaces/{namespace}/notificationpolicies"
        await self.kubernetes("POST", path, body)
        return id_

    async def reconcile_instance(self, instance: str, token: str) -> None:
        """Request a pass over an instance, and wait until it has ended."""
        path = f"/apis/{GROUP}/zitadelinstances/{instance}"
        key = "zitadel-notification.dev/reconcile-requested-at"
        body = {"metadata": {"annotations": {key: token}}}
        await self.kubernetes("PATCH", path, body)
        async with asyncio.timeout(PATIENCE):
            while True:
                status = (await self.read(path)).get("status", {})
                if status.get("lastHandledReconcileAt") == token:
                    return
                await asyncio.sleep(LOOK_INTERVAL)


@dataclass(eq=False)
class Life:
    """One policy, its instance, and the faults that they meet.

    Attributes:
        arm: Adds the faults of a phase; takes its number, 1 to 4.
        patience: Seconds after the deletion within which all Events are there.
    """

    servers: Servers
    namespace: str
    name: str
    instance: str
    arm: Callable[[int], Awaitable[None]]
    patience: int = 60
    states: list[Any] = field(default_factory=list)

    @property
    def _owns(self) -> bool:
        """Whether the instance is created and deleted with the policy."""
        return self.instance == self.name

    async def run(self) -> dict[str, Any]:
        """Live all phases; return the states, ZITADEL's events and the Events."""
        servers = self.servers
        path = f"/apis/{GROUP}/namespaces/{self.namespace}/notificationpolicies/"
        path += self.name
        await self.arm(1)
        if self._owns:
            await servers.add_instance(self.name, self.namespace)
        org = await servers.add_policy(self.namespace, self.name, self.instance)
        await self._until(path, lambda status: status["passwordChange"] is False)
        await self.arm(2)
        change = {"spec": {"passwordChange": True}}
        await servers.kubernetes("PATCH", path, change)
        await self._reconcile_instance("2")
        await self._until(path, lambda status: status["passwordChange"] is True)
        await self.arm(3)
        await servers.zitadel("DELETE", POLICY, None, org, servers.somebody)
        await self._reconcile_instance("3")
        await self._until(path, lambda status: "lastDrift" in status)
        await self.arm(4)
        await self._delete(path)
        if self._owns:
            await self._delete(f"/apis/{GROUP}/zitadelinstances/{self.instance}")
        events = await servers.zitadel("GET", f"/emulator/v1/events?aggregate={org}")
        history = [
            (event["type"], event["payload"])
            for event in events
            if ".policy.notification." in event["type"]
        ]
        reasons = await self._event_reasons()
        return {"states": self.states, "history": history, "reasons": reasons}

    async def _reconcile_instance(self, token: str) -> None:
        if self._owns:
            await self.servers.reconcile_instance(self.instance, token)

    async def _delete(self, path: str) -> None:
        await self.servers.kubernetes("DELETE", path)
        async with asyncio.timeout(PATIENCE):
            while await self.servers.read(path) is not None:  # noqa: ASYNC110 - polled
                await asyncio.sleep(LOOK_INTERVAL)

    async def _until(self, path: str, ask: Callable[[Any], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self.servers.read(path) or {"metadata": {}}
                status = found.get("status", {"conditions": []})
                current = status.get("observedGeneration")
                if current == found["metadata"].get("generation", 0):
                    seen = _seen(status)
                    if ("Ready", "True") in seen["conditions"] and ask(status):
                        self.states.append(seen)
                        return
                await asyncio.sleep(LOOK_INTERVAL)

    async def _event_reasons(self) -> list[str]:
        """Return the reasons of all Events about the policy, once they are complete."""
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"
        for _ in range(self.patience):
            found = (await self.servers.read_all(path)).values()
            own = [e for e in found if e["regarding"]["name"] == self.name]
            reasons = sorted({e["reason"] for e in own} - OPTIONAL_REASONS)
            if reasons == EVENT_REASONS:
                break
            await asyncio.sleep(0.6)  # a second together with the pause before a LIST
        return reasons


def _seen(status: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a status that is the same in each life."""
    fields = ("isDefault", "passwordChange", "original", "observedGeneration")
    drift = status.get("lastDrift")
    return {
        **{name: status.get(name) for name in fields},
        "conditions": [(c["type"], c["status"]) for c in status["conditions"]],
        "drift": drift and (drift["from"], drift["to"]),
    }
