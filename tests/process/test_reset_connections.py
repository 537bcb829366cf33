"""A server that resets TLS connections must not end the process.

uvloop 0.23.0 aborts the process then, within seconds: libuv closes a handle twice. So
the dependency is limited to earlier versions, and this test says when a later one is
good enough.
"""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from support.relay import Relay
from support.running import TOKEN, EmulatorProcess
from zitadel_notification_operator.core.credentials import AccessToken
from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.instance_object import Endpoint, RateLimit
from zitadel_notification_operator.demo.certificates import write_certificates
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

TESTS = Path(__file__).parent.parent
SECONDS = 12.0
AT_ONCE = 16
FAST = RateLimit(requests_per_second=1000, burst=1000)


@pytest.mark.tls
@pytest.mark.timeout(60)
def test_resets_end_calls_and_not_the_process(tmp_path: Path) -> None:
    """Both the connections in use and the idle ones are reset again and again."""
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    write_certificates(certificates)
    pair = [f"{certificates}/serving.{end}" for end in ("crt", "key")]
    options = ("--tls-cert", pair[0], "--tls-key", pair[1])
    emulator = EmulatorProcess(tmp_path, 0, *options)
    with emulator.program:
        done = subprocess.run(
            [sys.executable, __file__, emulator.url, str(certificates / "ca.crt")],
            env={**os.environ, "NO_PROXY": "*", "PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    answered, failed = map(int, done.stdout.split())
    assert answered > 10
    assert failed > 10


async def call_and_reset(url: str, roots: str) -> tuple[int, int]:
    """Make calls while connections are reset; return how many got through or failed."""
    ended = {True: 0, False: 0}
    with Relay(int(url.rpartition(":")[2])) as relay:
        connector = ZitadelConnector(call_timeout=5, allow_local=True)
        endpoint = replace(Endpoint(f"https://127.0.0.1:{relay.port}"), rate_limit=FAST)
        client = connector.connect("default", endpoint, AccessToken(TOKEN), roots)
        calling = [
            asyncio.create_task(_call_for_ever(client, ended)) for _ in range(AT_ONCE)
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                while True:
                    await asyncio.sleep(0.08)
                    await asyncio.to_thread(relay.cut)
                    await asyncio.sleep(0.04)
                    await asyncio.to_thread(relay.resume)
        for task in calling:
            task.cancel()
        await asyncio.gather(*calling, return_exceptions=True)
        await connector.aclose()
    return ended[True], ended[False]


async def _call_for_ever(client: ZitadelClient, ended: dict[bool, int]) -> None:
    while True:
        try:
            await client.observe(None)
            ended[True] += 1
        except OperatorError:
            ended[False] += 1
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    import uvloop

    _, its_url, its_roots = sys.argv
    counts = uvloop.run(call_and_reset(its_url, Path(its_roots).read_text()))
    sys.stdout.write("{} {}\n".format(*counts))
