"""What commands do where they cannot write, or not in UTF-8: real processes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.running import ZNP
from zitadel_emulator.testing import EmulatedZitadel

pytestmark = pytest.mark.tls

ALONE = [["--help"], [], ["completion", "bash"], ["export", "--help"]]
"""Command lines that need no ZITADEL."""

READING = [
    ["export", "--include-inherited"],
    ["history"],
    ["history", "-o", "json"],
    ["report"],
    ["report", "-o", "json"],
    ["check"],
    ["plan"],
]
"""Command lines that read one, and print something."""

Shell = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def shell(zitadel: EmulatedZitadel, tmp_path: Path) -> Shell:
    """Run a command line of `znp` and what a shell shall do with its streams."""
    token = tmp_path / "token"
    token.write_text(zitadel.token)
    manifest = tmp_path / "policy.yaml"
    manifest.write_text(
        "apiVersion: zitadel-notification.dev/v1alpha1\nkind: NotificationPolicy\n"
        "metadata: {name: a}\nspec: {scope: Instance, passwordChange: true}\n"
    )
    options = ["--url", zitadel.url, "--token-file", str(token), "--allow-local-urls"]

    def run(
        words: list[str], streams: str, *, piped: bytes = b"", **environment: str
    ) -> "subprocess.CompletedProcess[bytes]":
        line = [*ZNP, *words]
        if words not in ALONE:
            line += options
        if words[:1] == ["plan"] and "-f" not in words:
            line += ["-f", str(manifest)]
        return subprocess.run(
            ["/bin/sh", "-c", f'"$@" {streams}', "sh", *line],
            input=piped,
            capture_output=True,
            check=False,
            timeout=60,
            env={**os.environ, **environment},
        )

    return run


@pytest.mark.parametrize("words", ALONE + READING, ids=" ".join)
def test_a_full_disk_is_told(shell: Shell, words: list[str]) -> None:
    """One sentence, and nobody takes it for a success."""
    done = shell(words, ">/dev/full")
    sentence = b"The output cannot be written: No space left on device"
    assert done.stderr == b"Error: " + sentence + b"\n"
    assert done.returncode == 1


@pytest.mark.parametrize("words", [ALONE[0], *READING[::2]], ids=" ".join)
def test_a_closed_output_is_told(shell: Shell, words: list[str]) -> None:
    """Likewise."""
    done = shell(words, ">&-")
    assert done.stderr == b"Error: The output cannot be written: Bad file descriptor\n"
    assert done.returncode == 1


@pytest.mark.parametrize("streams", [">/dev/full", ">&-"])
def test_completion_of_the_plugin(streams: str) -> None:
    """Its executable is one of its own."""
    module = "zitadel_notification_operator.cli.kubectl_completion"
    line = [sys.executable, "-c", f"from {module} import main; main()", "rel"]
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {streams}', "sh", *line],
        capture_output=True,
        check=False,
    )
    assert done.stderr.startswith(b"Error: The output cannot be written: ")
    assert (done.stderr.count(b"\n"), done.returncode) == (1, 1)


def test_closed_streams_that_are_not_needed(shell: Shell, tmp_path: Path) -> None:
    """They are no error, and a file is not taken for one of them."""
    page = tmp_path / "page.html"
    words = ["report", "--output", str(page)]
    assert shell(words, ">&- <&- 2>&-").returncode == 0
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert shell(["export"], "2>&-").returncode == 0


def test_a_closed_input_is_told(shell: Shell) -> None:
    """It is no empty manifest."""
    done = shell(["plan", "-f", "-"], "<&-")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == (
        b"Error: standard input cannot be read: Bad file descriptor\n"
    )


MACHINE = [
    ["export", "--include-inherited"],
    ["history", "-o", "json"],
    ["history", "-o", "csv"],
    ["report"],
    ["report", "-o", "json"],
    ["report", "-o", "csv"],
]


@pytest.mark.parametrize("words", MACHINE, ids=" ".join)
def test_what_programs_read_is_utf8(
    zitadel: EmulatedZitadel, shell: Shell, words: list[str]
) -> None:
    """Also where the terminal is not, and whatever a name holds."""
    acme = zitadel.add_organization("ürümqi 山田")
    zitadel.set_policy(acme, password_change=False)
    done = shell(words, "", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "ürümqi 山田" in done.stdout.decode()


@pytest.mark.parametrize(
    ("words", "escaped"),
    [(["history"], True), (["plan", "-f", "-"], False), (["check"], False)],
    ids=lambda words: str(words[0]) if isinstance(words, list) else None,
)
def test_what_people_read_is_in_their_encoding(
    zitadel: EmulatedZitadel, shell: Shell, words: list[str], escaped: bool
) -> None:
    """What that lacks is escaped."""
    acme = zitadel.add_organization("ürümqi 山田")
    zitadel.set_policy(acme, password_change=False)
    source = shell(["export", "--by", "name"], "").stdout
    done = shell(words, "", piped=source, PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (r"ürümqi \u5c71\u7530".encode("latin-1") in done.stdout) is escaped


def test_a_manifest_from_a_pipe_is_utf8(zitadel: EmulatedZitadel, shell: Shell) -> None:
    """As one from a file is; the locale has no say."""
    acme = zitadel.add_organization("ürümqi 山田")
    zitadel.set_policy(acme, password_change=False)
    source = shell(["export", "--by", "name"], "").stdout
    assert "ürümqi 山田".encode() in source
    old = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = shell(["plan", "-f", "-"], "", piped=source, **old)
    assert (done.returncode, done.stderr) == (0, b"")
    broken = shell(["plan", "-f", "-"], "", piped=b"a: \xe9", **old)
    assert broken.stderr == b"Error: standard input is no text in UTF-8\n"
