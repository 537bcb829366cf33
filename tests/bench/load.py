"""The load: many objects created, edited and deleted, and a watch that records times.

The driver calls the API server itself and not through kubectl, because most of the
measured time would be kubectl's start and its reading of schemas.
"""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from bench.processes import INSTANCE, NAMESPACE, POLICIES, Processes

_API = "/apis/zitadel-notification.dev/v1alpha1"
SETS = f"{_API}/namespaces/{NAMESPACE}/notificationpolicysets"
INSTANCE_PATH = f"{_API}/zitadelinstances/{INSTANCE}"
USER_AGENT = "bench-driver"
"""By which the logs of both servers tell the driver's requests from the operator's."""
AT_ONCE = 16
"""The number of concurrent requests of the driver."""
PAGE = 500
"""The number of policies in one page of a LIST."""
PATIENCE, PATIENCE_EACH = 600.0, 0.2
"""Seconds to wait until all objects of a load have reached the wanted state: at least,
and for each of them."""
_NOT_FOUND = 404

Json = dict[str, Any]


def policy_of(organization: str, *, value: bool) -> Json:
    """Return the policy of an organization, named after it."""
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicy",
        "metadata": {"name": f"p-{organization}"},
        "spec": {
            "scope": "Organization",
            "organization": {"id": organization},
            "passwordChange": value,
        },
    }


def is_ready(body: Json) -> bool:
    """Return whether a policy is Ready for its newest spec."""
    generation = body["metadata"]["generation"]
    return any(
        c["type"] == "Ready"
        and c["status"] == "True"
        and c["observedGeneration"] == generation
        for c in body["status"].get("conditions", ())
    )


class Watch:
    """The policies according to a watch, and when each reached the wanted state.

    Attributes:
        objects: The newest version of each policy, by name.
        reached: The monotonic time at which `wanted` first held, by name.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.reached: dict[str, float] = {}
        self._wanted: Callable[[Json | None], bool] = lambda _: False
        self._count = 0
        self._end: BaseException | None = None
        self._news = asyncio.Event()

    def expect(self, count: int, wanted: Callable[[Json | None], bool]) -> None:
        """Set what to wait for: `wanted` has to hold for `count` objects.

        Its argument is None if the object is deleted.
        """
        self.reached, self._count, self._wanted = {}, count, wanted
        self._news.clear()

    @property
    def left(self) -> int:
        """How many objects have yet to reach the wanted state."""
        return self._count - len(self.reached)

    async def until_reached(self) -> None:
        """Wait until enough objects have reached the wanted state.

        Raises:
            TimeoutError: They did not reach it in time.
            RuntimeError: The watch has ended.
        """
        async with asyncio.timeout(max(PATIENCE, PATIENCE_EACH * self._count)):
            while len(self.reached) < self._count:
                if self._end is not None:
                    raise RuntimeError("The driver's watch has ended") from self._end
                self._news.clear()
                await self._news.wait()

    def end(self, task: asyncio.Task[None]) -> None:
        """Record that the watch has ended, and why."""
        if not task.cancelled():
            self._end = task.exception()
        self._news.set()

    def take(self, event: Json) -> None:
        """Process an event of the watch."""
        now = time.monotonic()
        body = event["object"]
        name = body["metadata"]["name"]
        gone = event["type"] == "DELETED"
        if gone:
            self.objects.pop(name, None)
        else:
            self.objects[name] = body
        if name not in self.reached and self._wanted(None if gone else body):
            self.reached[name] = now
            if len(self.reached) >= self._count:
                self._news.set()


class Driver:
    """Makes the requests; see `driving`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.watch = Watch()

    async def create(self, body: Json) -> None:
        """Create one policy."""
        await self._send("POST", POLICIES, body)

    async def patch(self, name: str, spec: Json) -> None:
        """Change one policy's spec."""
        await self._send("PATCH", f"{POLICIES}/{name}", {"spec": spec})

    async def delete(self, name: str) -> None:
        """Delete one policy, without waiting until the object is gone."""
        await self._send("DELETE", f"{POLICIES}/{name}")

    async def create_set(self, body: Json) -> None:
        """Create one set."""
        await self._send("POST", SETS, body)

    async def patch_set(self, name: str, spec: Json) -> None:
        """Change a set's spec."""
        await self._send("PATCH", f"{SETS}/{name}", {"spec": spec})

    async def create_secret(self, namespace: str, name: str, size: int) -> None:
        """Create a Secret with one value of this size in bytes."""
        path = f"/api/v1/namespaces/{namespace}/secrets"
        metadata = {"name": name}
        await self._send(
            "POST", path, {"metadata": metadata, "stringData": {"x": "x" * size}}
        )

    async def reported_policies(self) -> int | None:
        """Return the number of policies in the instance's status."""
        async with self._session.get(INSTANCE_PATH) as answer:
            body: Json = await answer.json()
        count: int | None = body.get("status", {}).get("policies")
        return count

    async def policies(self) -> list[Json]:
        """Return all policies, which are read page by page."""
        found: list[Json] = []
        query = {"limit": str(PAGE)}
        while True:
            async with self._session.get(POLICIES, params=query) as answer:
                answer.raise_for_status()
                page: Json = await answer.json()
            found += page["items"]
            going_on = page["metadata"].get("continue", "")
            if not going_on:
                return found
            query["continue"] = going_on

    async def policy(self, name: str) -> Json | None:
        """Return one policy, or None if there is none."""
        async with self._session.get(f"{POLICIES}/{name}") as answer:
            if answer.status == _NOT_FOUND:
                return None
            answer.raise_for_status()
            found: Json = await answer.json()
        return found

    async def patch_secret(self, namespace: str, name: str, change: Json) -> None:
        """Change a Secret."""
        await self._send(
            "PATCH", f"/api/v1/namespaces/{namespace}/secrets/{name}", change
        )

    async def all(self, work: Iterable[Any]) -> None:
        """Make all requests, `AT_ONCE` of them at a time."""
        await asyncio.gather(*work)

    async def follow(self) -> None:
        """Feed the watch until cancelled, and resume it whenever the server ends it.

        The server ends the watch of a client that does not read for too long.
        """
        async with self._session.get(POLICIES) as answer:
            listed = await answer.json()
        for body in listed["items"]:
            self.watch.objects.setdefault(body["metadata"]["name"], body)
        version = listed["metadata"]["resourceVersion"]
        while True:
            version = await self._follow_from(version)

    async def _follow_from(self, version: str) -> str:
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "3600"}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(POLICIES, params=query, timeout=timeout) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise RuntimeError(f"The driver's watch: {event['object']}")
                self.watch.take(event)
                version = event["object"]["metadata"]["resourceVersion"]
        return version

    async def _send(self, method: str, path: str, body: Json | None = None) -> None:
        headers = {"Content-Type": "application/json"}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        data = None if body is None else json.dumps(body)
        async with (
            self._turns,
            self._session.request(method, path, data=data, headers=headers) as answer,
        ):
            text = await answer.text()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]}")


@asynccontextmanager
async def driving(
    processes: Processes, *, watching: bool = True
) -> AsyncIterator[Driver]:
    """Yield a driver whose watch, if it shall have one, runs as long as the block."""
    tls = ssl.create_default_context(cafile=str(processes.plane.folder / "ca.crt"))
    headers = {
        "Authorization": f"Bearer {processes.plane.token}",
        "User-Agent": USER_AGENT,
    }
    connector = aiohttp.TCPConnector(ssl=tls, limit=AT_ONCE + 1)
    async with aiohttp.ClientSession(
        processes.plane.url,
        connector=connector,
        headers=headers,
        # A line of a watch contains a whole object.
        read_bufsize=1 << 20,
    ) as session:
        driver = Driver(session)
        if not watching:
            yield driver
            return
        following = asyncio.create_task(driver.follow())
        following.add_done_callback(driver.watch.end)
        try:
            yield driver
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
