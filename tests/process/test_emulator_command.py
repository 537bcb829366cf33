"""`znp emulator` and `znp demo`, with and without the distribution zitadel-emulator."""

import os
import re
import subprocess
import sys

import pytest

from support.running import ZNP

pytestmark = pytest.mark.tls

WITHOUT = """
import sys
sys.modules[{missing!r}] = None
sys.argv[0] = "znp"
from zitadel_notification_operator.cli import main
main()
"""
"""Runs `znp` as if a package were not installed: None hides it from the import."""

INSTALL = 'pip install "zitadel-notification-operator[demo]"'


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    whole = {**os.environ, "COLUMNS": "80", **environment}
    return subprocess.run(
        words, capture_output=True, text=True, timeout=60, check=False, env=whole
    )


def without(missing: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `znp` without a package."""
    return run(sys.executable, "-c", WITHOUT.format(missing=missing), *words)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("zitadel_emulator", ["emulator"]),
        ("zitadel_emulator", ["emulator", "--port", "0", "more"]),
        ("zitadel_emulator", ["demo"]),
        ("zitadel_emulator", ["demo", "--keep"]),
        ("rich", ["demo"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_without_the_extra_they_say_what_to_install(
    missing: str, words: list[str]
) -> None:
    """It is one sentence, and the exit code is 1."""
    done = without(missing, *words)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.endswith(INSTALL)


def test_without_the_extra_help_is_the_same() -> None:
    """`znp --help` lists both commands, and both have their own help."""
    listed = without("zitadel_emulator", "--help")
    assert listed.stdout == run(*ZNP, "--help").stdout
    assert re.search(r"^  emulator .*\n  demo ", listed.stdout, re.MULTILINE)
    for command in ("emulator", "demo"):
        done = without("zitadel_emulator", command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
    assert "not installed here" in without("zitadel_emulator", "emulator", "-h").stdout


def test_other_commands_do_not_need_it() -> None:
    """The image runs the operator without it."""
    for missing in ("zitadel_emulator", "rich"):
        assert without(missing, "run", "--help").returncode == 0
        assert without(missing, "release", "--help").returncode == 0


def test_it_is_the_command_of_the_distribution() -> None:
    """Only the name and the variables differ."""
    ours = run(*ZNP, "emulator", "--help").stdout
    its = run(sys.executable, "-m", "zitadel_emulator", "--help").stdout
    options = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", its, re.MULTILINE)
    assert re.findall(r"^  (?:-\w, )?(--[a-z-]+)", ours, re.MULTILINE) == [
        option for option in options if option != "--version"
    ]
    for option in options:
        variable = option.lstrip("-").upper().replace("-", "_")
        own = f"ZITADEL_EMULATOR_{variable}" in "".join(its.split())
        assert (f"ZNP_{variable}" in "".join(ours.split())) is own, option
        assert own is (option not in {"--version", "--help"})
