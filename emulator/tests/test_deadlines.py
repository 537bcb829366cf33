"""The header Grpc-Timeout: a limit that the client sets and the server keeps."""

from time import monotonic
from typing import Any

import httpx
import pytest

from shared.api import ACME, ADMIN, ME, POLICY, Api, outcome

TOO_LATE = {"code": 4, "message": "context deadline exceeded"}


async def limited(
    api: Api, limit: str, method: str = "POST", path: str = POLICY
) -> httpx.Response:
    """Make a call about ACME's policy with a limit."""
    body = None if method in {"GET", "DELETE"} else {"passwordChange": True}
    headers = {"Grpc-Timeout": limit}
    return await api.call(method, path, ACME, body=body, headers=headers)


async def written(api: Api) -> bool:
    """Return whether ACME has a policy according to the log."""
    events = (await api.control("GET", f"events?aggregate={ACME}")).json()
    return any(event["type"].startswith("org.policy") for event in events)


@pytest.mark.clock
@pytest.mark.parametrize(
    ("fault", "limit", "seconds"),
    [
        ({"hang": True}, "1S", 1),
        ({"hang": True}, "300m", 0.3),
        ({"hang": True}, "300000u", 0.3),
        ({"hang": True}, "99999999n", 0.1),
        ({"latency": 30}, "1S", 1),
        ({"latency": 30}, "300m", 0.3),
        ({"latency": 0.01, "hang": True}, "300m", 0.3),
        ({"latency": 30, "status": 503}, "300m", 0.3),
        ({"latency": 30, "reset": True}, "300m", 0.3),
        ({"latency": 30, "after": True, "body": ""}, "300m", 0.3),
        ({"latency": 30, "truncate": 1}, "300m", 0.3),
    ],
)
async def test_limit_ends_a_delay(
    api: Api, fault: dict[str, Any], limit: str, seconds: float
) -> None:
    """After the limit comes 504, code 4; nothing is written, then or later."""
    await api.control("POST", "faults", {**fault, "times": 1})
    start = monotonic()
    answer = await limited(api, limit)
    length = monotonic() - start
    assert (answer.status_code, answer.json()) == (504, TOO_LATE)
    assert answer.headers["Content-Type"] == "application/json"
    assert seconds - 0.01 <= length < seconds + 3
    assert not await written(api)
    assert (await api.control("GET", "requests")).json()[0]["status"] == 504


@pytest.mark.clock
async def test_limit_counts_from_the_begin_of_the_call(api: Api) -> None:
    """A delay and a hang after it share one limit."""
    await api.control("POST", "faults", {"latency": 0.4, "hang": True, "times": 1})
    start = monotonic()
    assert (await limited(api, "500m", "GET")).status_code == 504
    assert monotonic() - start < 0.8


@pytest.mark.clock
async def test_shorter_delay_keeps_within_the_limit(api: Api) -> None:
    """The response is ZITADEL's own, and the work is done."""
    await api.control("POST", "faults", {"latency": 0.1})
    assert outcome(await limited(api, "20S")) == (200, 0, "")
    assert await written(api)


async def test_fault_without_a_delay_is_as_before(api: Api) -> None:
    """A limit alone changes no response."""
    await api.control("POST", "faults", {"status": 503, "times": 1})
    assert (await limited(api, "5S")).status_code == 503
    assert outcome(await limited(api, "5S")) == (200, 0, "")


@pytest.mark.clock
async def test_work_that_was_done_is_not_undone(api: Api) -> None:
    """With `after` the work was done in time; only its response is lost."""
    await api.control("POST", "faults", {"hang": True, "after": True, "times": 1})
    with pytest.raises(httpx.ReadTimeout):
        await api.client.post(
            POLICY,
            json={},
            headers={
                "Authorization": f"Bearer {api.emulator.token}",
                "x-zitadel-orgid": ACME,
                "Grpc-Timeout": "100m",
            },
            timeout=httpx.Timeout(10, read=0.5),
        )
    assert await written(api)


@pytest.mark.parametrize("limit", ["-1S", "-1n", "1n"])
async def test_limit_that_has_passed_already(api: Api, limit: str) -> None:
    """The response is 504 at once, and nothing is written."""
    answer = await limited(api, limit)
    assert (answer.status_code, answer.json()) == (504, TOO_LATE)
    assert not await written(api)


@pytest.mark.parametrize("limit", ["1H", "60M", "+5S", "000005S", "99999999H", "0S"])
async def test_forms_that_the_gateway_takes(api: Api, limit: str) -> None:
    """More than eight digits are accepted; 0 means no limit, as in grpc-gateway."""
    assert outcome(await limited(api, limit)) == (200, 0, "")


MALFORMED = ["5", "S", "5s", "5X", "5 S", "1.5S", "S5", "5SS", "1_0S", "x5S", "+S"]
MALFORMED += ["0x5S", "9223372036854775808n"]


@pytest.mark.parametrize("limit", MALFORMED)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_malformed_limit(api: Api, method: str, limit: str) -> None:
    """The response is 400, code 3, without details; nothing is written."""
    answer = await limited(api, limit, method)
    assert outcome(answer) == (400, 3, "")
    assert answer.json()["message"].startswith("invalid grpc-timeout: ")
    assert "details" not in answer.json()
    assert not await written(api)


async def test_malformed_limit_comes_before_all_but_the_route(api: Api) -> None:
    """It is checked before body and token; an unknown path gets 404."""
    bad = {"Grpc-Timeout": "soon"}
    text = "invalid grpc-timeout: soon"
    for answer in (
        await api.call("POST", POLICY, ACME, body="{", headers=bad),
        await api.call("GET", ADMIN, headers=bad | {"Authorization": ""}),
        await api.call("GET", ME, "nobody", headers=bad),
        await api.call("GET", ADMIN, headers=bad | {"Host": "elsewhere.test"}),
    ):
        assert (answer.status_code, answer.json()["message"]) == (400, text)
    unknown = await api.call("GET", "/management/v1/nothing", headers=bad)
    assert outcome(unknown) == (404, 5, "")
    wrong_verb = await api.call("DELETE", ADMIN, headers=bad)
    assert outcome(wrong_verb) == (405, 12, "")


@pytest.mark.parametrize("limit", ["5\u00b5".encode(), b"5\xb5", b"\xef\xbc\x95S"])
async def test_malformed_limit_that_is_no_ascii(api: Api, limit: bytes) -> None:
    """It is refused, even if its bytes are no text."""
    bearer = f"Bearer {api.emulator.token}".encode()
    headers = [(b"Authorization", bearer), (b"Grpc-Timeout", limit)]
    answer = await api.client.get(ADMIN, headers=headers)
    assert outcome(answer) == (400, 3, "")


async def test_empty_limit_is_none(api: Api) -> None:
    """It counts as absent."""
    assert outcome(await limited(api, "")) == (200, 0, "")


async def test_only_api_calls_know_the_header(api: Api) -> None:
    """Health, discovery and the token endpoint are no gRPC calls."""
    for limit in ("soon", "1n"):
        bad = {"Grpc-Timeout": limit}
        for path in ("/debug/healthz", "/.well-known/openid-configuration"):
            assert (await api.call("GET", path, headers=bad)).status_code == 200
        refused = await api.token(headers=bad)
        assert refused.json()["error"] == "invalid_request"
