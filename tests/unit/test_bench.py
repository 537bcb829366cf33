"""What the bench computes and checks by itself, and that its checks can fail."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from bench.mould import Mould, as_stored
from bench.probing import probed
from bench.run import ratios_to_floor


def stored(organization: str, number: int) -> bytes:
    """Return a policy as the API server might store it."""
    uid, when = str(UUID(int=number + 5)), f"2026-01-01T00:00:{number:02}Z"
    body: Any = {
        "kind": "NotificationPolicy",
        "metadata": {
            "name": f"p-{organization}",
            "uid": uid,
            "annotations": {"original": f'{{"id":"{organization}","uid":"{uid}"}}'},
            "managedFields": [
                {"manager": "driver", "time": when},
                {"manager": "operator", "time": f"2026-01-01T00:01:{number:02}Z"},
            ],
        },
        "spec": {"organization": {"id": organization}},
        "status": {"organizationName": f"Organization <{number}> ü", "sequence": "7"},
    }
    return as_stored(body)


def test_a_mould_makes_another_policy_as_it_is_stored() -> None:
    first, second = stored("281", 3), stored("299", 14)
    assert Mould.of(first).recast(second) == second
    made = Mould.of(first).cast("30", "u", lambda name: f"a {name}")
    body = json.loads(made)
    assert body["metadata"]["annotations"]["original"] == '{"id":"30","uid":"u"}'
    assert body["status"]["organizationName"] == "a organizationName"
    assert made.endswith(b"\n")


@pytest.mark.parametrize("change", ["member", "value", "order"])
def test_a_mould_that_does_not_fit_is_noticed(change: str) -> None:
    """Another member, value or order would make objects that are no real ones."""
    body = json.loads(stored("299", 14))
    if change == "member":
        body["status"]["changeDate"] = "2026"
    elif change == "value":
        body["kind"] = "Other"
    else:
        body["metadata"]["managedFields"].reverse()
    odd = as_stored(body)
    mould = Mould.of(stored("281", 3))
    if change == "member":
        with pytest.raises(ValueError, match="is where another policy has"):
            mould.recast(odd)
    else:
        assert mould.recast(odd) != odd


def test_figures_are_compared_with_the_floor_of_the_same_zitadel() -> None:
    """A figure without a floor has no ratio."""
    figures = {
        "create.seconds": 12.0,
        "floor.create.seconds": 8.0,
        "slow.create.seconds": 30.0,
        "slow.floor.create.seconds": 20.0,
        "edit.seconds": 5.0,
        "floor.delete.seconds": 5.0,
    }
    assert ratios_to_floor(figures) == {
        "create.seconds_floor": 1.5,
        "slow.create.seconds_floor": 1.5,
    }


def test_slow_and_wrong_answers_are_found(tmp_path: Path) -> None:
    """One answer of a server takes long, and one is a 503."""
    answers = ["wrong", "slow"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            what = answers.pop() if answers else ""
            if what == "slow":
                time.sleep(0.4)
            self.send_response(503 if what == "wrong" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/healthz"
        with probed(url, tmp_path) as found:
            deadline = time.monotonic() + 20
            while answers and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(1)
    finally:
        server.shutdown()
        server.server_close()
    assert found.count >= 3
    assert found.wrong == 1
    assert 0.4 <= found.longest < 5
    assert found.slow[0] == pytest.approx(found.longest, abs=0.01)
