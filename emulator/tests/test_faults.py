"""Each kind of fault over the control path, as a client sees it."""

import asyncio
from time import monotonic
from typing import Any

import httpx
import pytest

from shared.api import ACME, ADMIN, GLOBEX, POLICY, Api


async def test_replaced_answer(api: Api) -> None:
    """Status, headers and body are those of the fault; ZITADEL does nothing."""
    fault = {
        "status": 429,
        "headers": {"Retry-After": "7", "Content-Type": "text/html"},
        "body": "<html>",
        "times": 1,
    }
    assert (await api.control("POST", "faults", fault)).status_code == 201
    answer = await api.write("POST", ACME, value=True)
    assert (answer.status_code, answer.text) == (429, "<html>")
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers["Content-Type"] == "text/html"
    assert (await api.policy(ACME))["isDefault"] is True


async def test_headers_alone_are_added_to_the_real_answer(api: Api) -> None:
    """ZITADEL's response has one more header."""
    await api.control("POST", "faults", {"headers": {"Retry-After": "1"}})
    answer = await api.call("GET", ADMIN)
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["policy"]["isDefault"] is True


@pytest.mark.parametrize(
    ("after", "written"), [(False, False), (True, True)], ids=["lost", "done"]
)
async def test_reset(api: Api, after: bool, written: bool) -> None:
    """The connection is cut; with `after` the write is done all the same."""
    fault = {"method": "POST", "reset": True, "after": after, "times": 1}
    await api.control("POST", "faults", fault)
    with pytest.raises(httpx.TransportError):
        await api.write("POST", ACME, value=True)
    assert ("isDefault" not in await api.policy(ACME)) is written


async def test_answer_lost_behind_a_proxy(api: Api) -> None:
    """The response is 502 after the work was done."""
    await api.control("POST", "faults", {"status": 502, "after": True, "times": 1})
    assert (await api.write("POST", ACME, value=True)).status_code == 502
    assert "isDefault" not in await api.policy(ACME)


@pytest.mark.parametrize("size", [0, 5])
async def test_truncated_body(api: Api, size: int) -> None:
    """The length announces more than is sent."""
    await api.control("POST", "faults", {"truncate": size, "times": 1})
    with pytest.raises(httpx.RemoteProtocolError):
        await api.call("GET", ADMIN)
    assert (await api.call("GET", ADMIN)).status_code == 200


@pytest.mark.clock
async def test_latency(api: Api) -> None:
    """The response is correct but late."""
    await api.control("POST", "faults", {"latency": 0.3, "times": 1})
    start = monotonic()
    assert (await api.policy())["isDefault"] is True
    assert monotonic() - start >= 0.3


@pytest.mark.clock
async def test_drip(api: Api) -> None:
    """The response is correct and sent byte by byte."""
    await api.control("POST", "faults", {"drip": 0.01, "times": 1})
    start = monotonic()
    answer = await api.call("GET", ADMIN)
    assert monotonic() - start >= 0.01 * (len(answer.content) - 1)
    assert answer.json()["policy"]["isDefault"] is True


@pytest.mark.clock
async def test_hang_ends_with_the_client(api: Api) -> None:
    """Nothing keeps running once the client is gone."""
    before = len(asyncio.all_tasks())
    await api.control("POST", "faults", {"hang": True, "times": 1})
    async with httpx.AsyncClient(base_url=api.emulator.url) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(ADMIN, timeout=httpx.Timeout(10, read=0.5))
    for _ in range(500):
        if len(asyncio.all_tasks()) <= before + 1:
            break
        await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) <= before + 1
    assert (await api.control("GET", "requests")).json()[-1]["status"] == 0


@pytest.mark.parametrize(
    ("fault", "befallen"),
    [
        ({}, {"instance", "acme", "globex"}),
        ({"method": "PUT"}, set()),
        ({"path": "/admin"}, {"instance"}),
        ({"path": "/(admin|management)/v1/pol"}, {"instance", "acme", "globex"}),
        ({"organization": ACME}, {"acme"}),
        ({"path": "/management", "organization": GLOBEX}, {"globex"}),
    ],
)
async def test_matching(api: Api, fault: dict[str, Any], befallen: set[str]) -> None:
    """Method, start of the path and organization must all match."""
    await api.control("POST", "faults", {**fault, "status": 503})
    calls = {
        "instance": api.call("GET", ADMIN),
        "acme": api.call("GET", POLICY, ACME),
        "globex": api.call("GET", POLICY, GLOBEX),
    }
    hit = {name for name, call in calls.items() if (await call).status_code == 503}
    assert hit == befallen


async def test_faults_are_counted_listed_and_cleared(api: Api) -> None:
    """The oldest match applies; the control path has no faults."""
    await api.control("POST", "faults", {"status": 500, "times": 2})
    await api.control("POST", "faults", {"status": 503})
    seen = [(await api.call("GET", ADMIN)).status_code for _ in range(4)]
    assert seen == [500, 500, 503, 503]
    listed = (await api.control("GET", "faults")).json()
    assert [fault["status"] for fault in listed] == [503]
    await api.control("DELETE", "faults")
    assert (await api.call("GET", ADMIN)).status_code == 200


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({"nosuch": 1}, "nosuch"),
        ({"status": "500"}, "status"),
        ({"status": 99}, "status"),
        ({"status": True}, "status"),
        ({"times": 0}, "times"),
        ({"latency": -1}, "latency"),
        ({"headers": {"A": 1}}, "headers"),
        ({"headers": {"A": "b\r\nc: d"}}, "headers"),
        ({"path": "("}, "path"),
        ({"reset": "yes"}, "reset"),
        ({"reset": True, "hang": True}, "hang"),
        ({"truncate": -1}, "truncate"),
        ([], "a fault"),
    ],
)
async def test_bad_faults_name_the_field(api: Api, fault: object, field: str) -> None:
    """The response is 400 and a sentence; no fault is activated."""
    answer = await api.control("POST", "faults", fault)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(field)
    assert (await api.control("GET", "faults")).json() == []
