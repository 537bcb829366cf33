"""The floor: what the necessary calls cost when a bare client makes them.

    python -m bench.floor CONFIG.json

The client learns of policies by the same watch as the operator, and makes for each
change the calls that are necessary, in the operator's order (the marks are finalizer
and annotation):

    create: GET, existence, apply of the marks, POST, GET, apply of the status
    edit:   GET, PUT, GET, apply of the status
    delete: DELETE, GET, JSON patch of the marks

Sixteen objects are in work at once, as with `znp run --workers 16`, and writes to
ZITADEL go one at a time. It uses aiohttp and uvloop as the operator does. It has no
queue, cache, claims, grants, retries, conditions of its own or metrics, posts no
Events, and ends at the first surprise. So what the operator takes beyond this is the
price of being one.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

AT_ONCE = 16
WATCHING = "watching"
"""What the client prints once it knows the present objects."""

_NOT_YET = {404, 429}
_POLICY = "/management/v1/policies/notification"
_MANAGER = {"fieldManager": "bench-floor", "force": "true"}
_FINALIZER = "zitadel-notification.dev/cleanup"
_ORIGINAL = "zitadel-notification.dev/original"
_TO_ORIGINAL = "/metadata/annotations/zitadel-notification.dev~1original"

Json = dict[str, Any]


class Floor:
    """The client.

    Args:
        api: A session for the API server.
        zitadel: A session for ZITADEL.
        policies: The path of the policies.
    """

    def __init__(
        self, api: aiohttp.ClientSession, zitadel: aiohttp.ClientSession, policies: str
    ) -> None:
        self._api, self._zitadel, self._policies = api, zitadel, policies
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._writing = asyncio.Lock()
        self._seen: dict[str, tuple[int, bool]] = {}

    async def run(self) -> None:
        """Follow the policies, and do what each change calls for."""
        version = await self._version()
        sys.stdout.write(f"{WATCHING}\n")
        sys.stdout.flush()
        async with asyncio.TaskGroup() as group:
            while True:
                version = await self._follow_from(version, group)

    async def _follow_from(self, version: str, group: asyncio.TaskGroup) -> str:
        """Follow until the server ends the watch; return the last version."""
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "3600"}
        endless = aiohttp.ClientTimeout(total=None)
        async with self._api.get(
            self._policies, params=query, timeout=endless
        ) as answer:
            async for line in answer.content:
                event = json.loads(line)
                version = event["object"]["metadata"]["resourceVersion"]
                work = self._work_for(event)
                if work is not None:
                    group.create_task(work)
        return version

    async def _version(self) -> str:
        """Return the version to watch from, once the kind is served."""
        while True:
            async with self._api.get(self._policies) as answer:
                if answer.status not in _NOT_YET:
                    found = json.loads(await _answer_of(answer))
                    return str(found["metadata"]["resourceVersion"])
            await asyncio.sleep(0.1)

    def _work_for(self, event: Json) -> Coroutine[Any, Any, None] | None:
        """Return what an event calls for; None for an echo of our own write."""
        body = event["object"]
        metadata = body["metadata"]
        name, deleting = metadata["name"], "deletionTimestamp" in metadata
        if event["type"] == "DELETED":
            del self._seen[name]
            return None
        before, now = self._seen.get(name), (metadata["generation"], deleting)
        if before == now:
            return None
        self._seen[name] = now
        if deleting:
            return self._delete(body)
        return self._create(body) if before is None else self._edit(body)

    async def _create(self, body: Json) -> None:
        organization, wanted = _target(body)
        async with self._turns:
            found = await self._read(_POLICY, organization)
            there = await self._read("/management/v1/orgs/me", organization)
            text = json.dumps({"uid": body["metadata"]["uid"], "policy": found})
            marks = {"finalizers": [_FINALIZER], "annotations": {_ORIGINAL: text}}
            await self._apply(body, {"metadata": {**_identity(body), **marks}})
            await self._write("POST", organization, {"passwordChange": wanted})
            policy = (await self._read(_POLICY, organization))["policy"]
            await self._report(body, policy, there["org"]["name"])

    async def _edit(self, body: Json) -> None:
        organization, wanted = _target(body)
        async with self._turns:
            await self._read(_POLICY, organization)
            await self._write("PUT", organization, {"passwordChange": wanted})
            policy = (await self._read(_POLICY, organization))["policy"]
            await self._report(body, policy, body["status"]["organizationName"])

    async def _delete(self, body: Json) -> None:
        organization, _ = _target(body)
        async with self._turns:
            await self._write("DELETE", organization)
            policy = (await self._read(_POLICY, organization))["policy"]
            if not policy.get("isDefault"):
                raise RuntimeError(f"{organization} has still a policy of its own")
            await self._strip(body)

    async def _report(self, body: Json, policy: Json, name: str) -> None:
        """Apply a status of the operator's form, so that it costs as much."""
        organization, wanted = _target(body)
        if policy.get("passwordChange", False) is not wanted:
            raise RuntimeError(f"{organization} has not got the value")
        generation = body["metadata"]["generation"]
        conditions = [
            {
                "type": kind,
                "status": "True",
                "reason": "Succeeded",
                "message": f"passwordChange is {str(wanted).lower()}, as declared",
                "observedGeneration": generation,
                "lastTransitionTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            }
            for kind in ("Ready", "InSync")
        ]
        details = policy["details"]
        status = {
            "observedGeneration": generation,
            "conditions": conditions,
            "organizationId": organization,
            "organizationName": name,
            "isDefault": False,
            "passwordChange": wanted,
            "sequence": details["sequence"],
            "creationDate": details["creationDate"],
            "changeDate": details["changeDate"],
            "resourceOwner": details["resourceOwner"],
            "original": {"isDefault": True, "passwordChange": False},
        }
        identity = {"metadata": _identity(body)}
        await self._apply(body, {**identity, "status": status}, "/status")

    async def _apply(self, body: Json, ours: Json, below: str = "") -> None:
        document = {"apiVersion": body["apiVersion"], "kind": body["kind"], **ours}
        await self._send(body, document, "application/apply-patch+yaml", below)

    async def _strip(self, body: Json) -> None:
        text = body["metadata"]["annotations"][_ORIGINAL]
        patch = [
            {"op": "test", "path": "/metadata/finalizers/0", "value": _FINALIZER},
            {"op": "remove", "path": "/metadata/finalizers/0"},
            {"op": "test", "path": _TO_ORIGINAL, "value": text},
            {"op": "remove", "path": _TO_ORIGINAL},
        ]
        await self._send(body, patch, "application/json-patch+json")

    async def _send(self, body: Json, what: Any, kind: str, below: str = "") -> None:
        path = f"{self._policies}/{body['metadata']['name']}{below}"
        headers = {"Content-Type": kind}
        query = _MANAGER if kind.endswith("yaml") else {"fieldManager": "bench-floor"}
        data = json.dumps(what)
        async with self._api.patch(
            path, params=query, data=data, headers=headers
        ) as answer:
            await _answer_of(answer)

    async def _read(self, path: str, organization: str) -> Json:
        headers = {"x-zitadel-orgid": organization}
        async with self._zitadel.get(path, headers=headers) as answer:
            found: Json = json.loads(await _answer_of(answer))
        return found

    async def _write(
        self, method: str, organization: str, policy: Json | None = None
    ) -> None:
        headers = {"x-zitadel-orgid": organization}
        async with (
            self._writing,
            self._zitadel.request(
                method, _POLICY, json=policy, headers=headers
            ) as answer,
        ):
            await _answer_of(answer)


async def _answer_of(answer: aiohttp.ClientResponse) -> bytes:
    data = await answer.read()
    if answer.status >= 400:
        raise RuntimeError(f"{answer.method} {answer.url}: {answer.status} {data!r}")
    return data


def _identity(body: Json) -> Json:
    metadata = body["metadata"]
    return {key: metadata[key] for key in ("name", "namespace", "uid")}


def _target(body: Json) -> tuple[str, bool]:
    spec = body["spec"]
    return spec["organization"]["id"], spec["passwordChange"]


def _session(server: str, token: str, ca: str) -> aiohttp.ClientSession:
    tls = ssl.create_default_context(cafile=ca)
    headers = {"Authorization": f"Bearer {token}", "User-Agent": "bench-floor"}
    return aiohttp.ClientSession(
        server,
        connector=aiohttp.TCPConnector(ssl=tls, limit=100),
        headers=headers,
        # A line of a watch contains a whole object.
        read_bufsize=1 << 21,
    )


async def _run(config: Json) -> None:
    async with (
        _session(config["server"], config["token"], config["ca"]) as api,
        _session(config["zitadel"], config["zitadel_token"], config["ca"]) as zitadel,
    ):
        await Floor(api, zitadel, config["policies"]).run()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(json.loads(Path(sys.argv[1]).read_text())))
