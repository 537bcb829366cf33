"""Log lines: form, time zone, and the object of a pass; Events are documented."""

import ast
import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.engines import Harness, policy
from support.virtual_time import run
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.leader.log_context import (
    LogContext,
    concerning,
    current,
)
from zitadel_notification_operator.telemetry.endpoints import metrics_app, serve
from zitadel_notification_operator.telemetry.logs import (
    LogFormat,
    attach_log_context,
    configure_logs,
)

ROOT = Path(__file__).parent.parent.parent
NOTICES = (
    ROOT / "operator/zitadel_notification_operator/engine/reporting/event_messages.py"
)
MAKERS = {"_normal", "_warning"}
PAGE = ROOT / "docs" / "reference" / "logs-and-events.md"
ALWAYS = ["timestamp", "level", "logger", "message"]
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
POLICY = LogContext("NotificationPolicy", "team-a", "acme", 3)

_log = logging.getLogger("zitadel_notification_operator.test")


class Out:
    """The text that was written to stdout."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def text(self) -> str:
        """Return all of it so far."""
        self._text += self._capsys.readouterr().out
        return self._text


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Iterator[Out]:
    """Capture stdout; the logging of the test process is restored afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield Out(capsys)
    root.handlers, root.level = handlers, level


def configure(log_format: LogFormat = LogFormat.JSON, level: str = "INFO") -> None:
    """Configure as `znp run` does."""
    configure_logs(log_format, level)
    attach_log_context(current)


def fail(why: str) -> None:
    """Raise an unexpected error."""
    raise RuntimeError(why)


def lines(out: Out) -> list[dict[str, Any]]:
    """Return the entries so far."""
    return [json.loads(line) for line in out.text().splitlines()]


def test_a_line_is_json_with_a_time_in_utc(out: Out) -> None:
    """Outside of a pass it has four fields."""
    configure()
    _log.info("Listening for %s", "health")
    (line,) = lines(out)
    assert list(line) == ALWAYS
    assert (line["level"], line["logger"]) == ("INFO", _log.name)
    assert line["message"] == "Listening for health"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])
    age = datetime.now(UTC) - datetime.fromisoformat(line["timestamp"])
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_a_line_within_a_pass_says_whose_it_is(out: Out) -> None:
    """It names a policy or an instance (without namespace), but not afterwards."""
    configure()
    with concerning(POLICY):
        _log.warning("Kubernetes was not reached")
    with concerning(LogContext("ZitadelInstance", "", "default")):
        _log.info("Did something")
    _log.info("Did something else")
    of_policy, of_instance, of_nothing = lines(out)
    assert {key: of_policy[key] for key in of_policy if key not in ALWAYS} == {
        "kind": "NotificationPolicy",
        "namespace": "team-a",
        "name": "acme",
        "generation": 3,
    }
    assert {key: of_instance[key] for key in of_instance if key not in ALWAYS} == {
        "kind": "ZitadelInstance",
        "name": "default",
    }
    assert list(of_nothing) == ALWAYS


def test_lines_of_kopf_have_the_same_form(out: Out) -> None:
    """Its reference to an object has our fields; its other extras are dropped."""
    configure()
    reference = {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicy",
        "name": "acme",
        "namespace": "team-a",
        "uid": "u",
    }
    extra = {"k8s_ref": reference, "k8s_skip": True, "more": {"token": "canary"}}
    logging.getLogger("kopf.activities").warning("Handler %r failed", "x", extra=extra)
    (line,) = lines(out)
    assert list(line) == [*ALWAYS, "kind", "namespace", "name"]
    assert (line["namespace"], line["name"]) == ("team-a", "acme")
    assert "canary" not in out.text()


def test_a_fault_has_its_traceback_in_the_entry(out: Out) -> None:
    """It is one line, however long."""
    configure()
    try:
        fail("two\nlines")
    except RuntimeError:
        _log.exception("Failed a pass")
    (line,) = lines(out)
    assert list(line) == [*ALWAYS, "exc_info"]
    assert "RuntimeError: two" in line["exc_info"]


def test_text_says_the_same(out: Out) -> None:
    """The fields are at the end of the line."""
    configure(LogFormat.TEXT)
    with concerning(POLICY):
        _log.warning("Kubernetes was not reached")
    stamp, rest = out.text().split(" ", 1)
    assert datetime.fromisoformat(stamp).tzinfo == UTC
    assert rest == (
        "WARNING zitadel_notification_operator.test: Kubernetes was not reached "
        'kind="NotificationPolicy" namespace="team-a" name="acme" generation=3\n'
    )
    try:
        fail("why")
    except RuntimeError:
        _log.exception("Failed a pass")
    assert out.text().endswith("RuntimeError: why\n")


def test_a_line_of_text_stays_one_line(out: Out) -> None:
    """This holds for all names in it."""
    configure(LogFormat.TEXT)
    _log.info("Changed by %s", "Eve\n2026 ERROR forged\x1b[2J")
    assert out.text().count("\n") == 1
    assert "\x1b" not in out.text()


@pytest.mark.clock
async def test_what_clients_do_to_the_endpoints_is_no_fault(out: Out) -> None:
    """Bytes that are no request may contain a credential, and are not logged."""
    configure()

    def fails() -> Iterator[bytes]:
        yield b"x" * 100_000_000
        fail("why")

    runner, port = await serve(metrics_app(fails), "127.0.0.1", 0)
    for request in (b"GET / HTTP/1.1\r\nAuthorization: canary\0\r\n\r\n", GET):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await reader.read(100)
        writer.transport.abort()
    await asyncio.sleep(0.2)
    assert out.text() == ""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    while await reader.read(1_000_000):
        pass
    writer.close()
    await runner.cleanup()
    assert [line["level"] for line in lines(out)] == ["ERROR"]


def test_the_level_holds(out: Out) -> None:
    """Libraries that log every request are silent at INFO."""
    configure(level="INFO")
    _log.debug("Not this")
    logging.getLogger("httpx").info("Nor this")
    assert not out.text()


def test_what_a_pass_changes_is_logged_with_the_object(out: Out) -> None:
    """With the real engine the line has the Event's reason and the object."""
    configure()

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(30)
        await harness.stop()

    run(story())
    (line,) = [line for line in lines(out) if line.get("reason") == "Created"]
    assert line["message"].startswith("Set passwordChange from ")
    assert (line["kind"], line["namespace"], line["name"], line["generation"]) == (
        *("NotificationPolicy", "own", "p"),
        1,
    )


def event_reasons() -> set[str]:
    """Return all texts that the code uses as the reason of an Event."""
    found = set()
    for node in ast.walk(ast.parse(NOTICES.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in MAKERS:
            found |= {
                part.value
                for part in ast.walk(node.args[0])
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "reason":
            found |= {
                part.value
                for part in (node.value, *ast.iter_child_nodes(node.value))
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
    return found


def test_each_reason_of_an_event_is_documented_and_no_other() -> None:
    """Each has a heading, a type, when it is sent, and a short example."""
    _, *parts = re.split(r"^### (\w+)$", PAGE.read_text(), flags=re.MULTILINE)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    assert set(sections) == event_reasons()
    for reason, text in sections.items():
        documented = re.search(
            r"^- Type: (Normal|Warning), action [A-Z]\w+\.$", text, re.MULTILINE
        )
        assert documented, reason
        assert "\n- When: " in text, reason
        example = re.search(r"^- Example: `(.+)`$", text, re.MULTILINE)
        assert example, reason
        assert len(example[1]) <= 1024
    # The reasons of conditions are documented where those are.
    assert not set(sections) & (set(Reason) - {"Contested", "Deleted"})


CLOSED = """\
import logging
from zitadel_notification_operator.cli.process.output import open_streams
from zitadel_notification_operator.telemetry.logs import LogFormat, configure_logs
open_streams()
configure_logs(LogFormat.TEXT, "INFO")
logging.getLogger("x").info("one line")
"""
"""A program that logs as `znp run` does."""


def test_logs_without_an_output_go_to_standard_error() -> None:
    """A daemon may be started with a closed output, and still has to say something."""
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" >&-', "sh", sys.executable, "-c", CLOSED],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.count("\n") == 1
    assert "INFO    x: one line" in done.stderr
