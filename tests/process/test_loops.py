"""uvloop is faster and optional; without it asyncio's own loop is used."""

import os
import sys
from pathlib import Path

import pytest

from support.thin_api import ThinApi, without_crds, write_kubeconfig
from support.waiting import eventually
from zitadel_notification_operator.demo.processes import Program

pytestmark = pytest.mark.tls

WITHOUT = """
import sys
sys.modules["uvloop"] = None
sys.argv = ["znp", *sys.argv[1:]]
from zitadel_notification_operator.cli import main
main()
"""
"""None in `sys.modules` makes an import fail as if the package were not there."""


def test_run_needs_no_uvloop(tmp_path: Path) -> None:
    """It starts, serves its ports, and handles SIGTERM."""
    with ThinApi(without_crds) as api:
        kubeconfig = write_kubeconfig(tmp_path, api.url)
        options = [
            *("run", "--kubeconfig", str(kubeconfig), "--no-leader-elect"),
            *("--health-port", "0", "--metrics-port", "0"),
        ]
        command = [sys.executable, "-c", WITHOUT, *options]
        environment = {**os.environ, "NO_PROXY": "*"}
        log = tmp_path / "log"
        with Program("operator", command, log, environment) as program:
            eventually(lambda: "Waiting for the CRDs" in program.tail(), 120)
            assert program.stop() == 0, program.tail(40)
