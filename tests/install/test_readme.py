"""The commands of the README's section "Install", exactly as written."""

import re
from pathlib import Path

from cluster.test_connections import serving
from support.documents import ROOT, Shell, commands, finish, section
from support.installed import RELEASE, Installation
from support.running import OWN_NAMESPACE, TOKEN, EmulatorProcess
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

README = ROOT / "README.md"
ACME = "280000000000000101"


def shown() -> list[str]:
    """Return the output that the README shows: the columns and a row."""
    (block,) = re.findall(r"(?s)```text\n(.*?)```", section(README, "Install"))
    lines = [line.split() for line in block.splitlines()]
    # The age of the policy differs.
    return [" ".join(words[:-1]) for words in lines]


def insert_values(text: str, placeholders: dict[str, str]) -> str:
    """Return the commands with the reader's own values, each of which must occur."""
    for placeholder, value in placeholders.items():
        assert text.count(placeholder) == 1, placeholder
        text = text.replace(placeholder, value)
    assert "YOUR_" not in text
    return text


def has_deployment(plane: ControlPlane) -> bool:
    """Return whether there is a Deployment for which pods would be started."""
    command = ("get", "deployment", RELEASE, f"--namespace={OWN_NAMESPACE}")
    return plane.kubectl(*command, check=False).returncode == 0


def test_install_as_written(control_plane: ControlPlane, tmp_path: Path) -> None:
    """In the end a policy is in force; a process replaces the pods."""
    emulator = EmulatorProcess(tmp_path, 0, *serving(tmp_path / "tls"))
    roots = emulator.roots = tmp_path / "tls" / "ca.crt"
    installation = Installation(control_plane, tmp_path)
    token = tmp_path / "token"
    # An editor writes the file in this form.
    token.write_text(f"{TOKEN}\n")
    mine = {
        "/path/to/token": str(token),
        "https://zitadel.example.com": emulator.url,
        "YOUR_ORGANIZATION_ID": ACME,
    }
    script = Shell(control_plane, tmp_path).start(
        insert_values(commands(README, "Install"), mine)
    )
    eventually(lambda: has_deployment(control_plane), 60, "the Deployment")
    operator = installation.start("pod-1", SSL_CERT_FILE=str(roots))
    with emulator.program, operator.program:
        output = finish(script)
        assert [
            " ".join(line.split()[:-1]) for line in output.splitlines()[-2:]
        ] == shown()
        policy = emulator.policy(ACME)
        assert policy["passwordChange"] is True
        assert "isDefault" not in policy
        image = installation.container()["image"]
        assert image.startswith("registry.example.com/zitadel-notification-operator:")
