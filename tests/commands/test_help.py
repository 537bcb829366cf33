"""The help of each command shows how it is used, and is quick."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from zitadel_notification_operator.cli.group import znp

SLOW = ("aiohttp", "httpx", "kopf", "kubernetes", "pydantic", "yaml")


@pytest.mark.parametrize("command", ["export", "convert"])
def test_help_has_two_examples(command: str) -> None:
    """An example says more than ten options."""
    text = CliRunner().invoke(znp, [command, "--help"]).output
    assert text.count(f"znp {command} --") >= 2
    assert "\b" not in text


@pytest.mark.parametrize("command", ["export", "convert"])
def test_help_imports_nothing_that_takes_time(command: str) -> None:
    """Completion in a shell asks for it at each key."""
    program = (
        "import sys; from zitadel_notification_operator.cli.group import znp\n"
        f"try: znp(['{command}', '--help'])\n"
        f"except SystemExit: sys.exit(sum(m in sys.modules for m in {SLOW}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
