"""The commands of docs/how-to/audit.md print what the guide says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.audit_commands import Auditor
from zitadel_emulator.testing import EmulatedZitadel

GUIDE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "audit.md"
ACME = "280000000000000101"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
SETUP = '["details"]\n'


def blocks() -> list[tuple[str, str]]:
    """Return the commands of `znp` in each block, and what they print.

    The other commands set the stage with curl and jq; a test does so by itself.
    """
    pattern = r"(?ms)^```console\n(.*?)^```\n\n```text\n(.*?)^```"
    return [
        ("\n".join(re.findall(r"(?m)^znp .*$", typed)), printed.replace(SETUP, ""))
        for typed, printed in re.findall(pattern, GUIDE.read_text())
    ]


@pytest.fixture
def auditor(zitadel: EmulatedZitadel, tmp_path: Path) -> Auditor:
    return Auditor(zitadel, tmp_path)


def test_the_guide(auditor: Auditor) -> None:
    """In a folder of the reader, with the variables that the guide exports."""
    zitadel = auditor.zitadel
    user = zitadel.add_user("IAM_OWNER_VIEWER", name="auditor")
    (auditor.folder / "auditor-token").write_text(user.credential.token)
    auditor.call("POST", ACME, False, zitadel.token)
    auditor.call("DELETE", ACME, False, zitadel.token)
    auditor.call("PUT", "", False, zitadel.token)
    folder = Path(sys.executable).parent
    exported = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "ZNP_URL": zitadel.url,
        "ZNP_TOKEN_FILE": "auditor-token",
        "ZNP_ALLOW_LOCAL_URLS": "true",
    }
    assert len(blocks()) == 4
    for typed, expected in blocks():
        done = subprocess.run(
            ["bash", "-e", "-c", typed],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            cwd=auditor.folder,
            env={**os.environ, **exported},
        )
        printed = done.stdout.replace(zitadel.url, "http://127.0.0.1:8085")
        assert TIME.sub("TIME", printed) == TIME.sub("TIME", expected)
    page = (auditor.folder / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
