"""The command line as a whole: its name, what it imports, and how it is completed."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.shell_completion import CompletionItem
from click.testing import CliRunner

from zitadel_notification_operator.cli.commands import COMMANDS
from zitadel_notification_operator.cli.group import znp
from zitadel_notification_operator.cli.kubectl_completion import propose, to_cobra
from zitadel_notification_operator.cli.process.program import program_name

ALLOWED = {"click", "zitadel_notification_operator"}
"""The packages outside of the standard library that help and completion may import."""

MODULES = """\
import sys
before = set(sys.modules)
from zitadel_notification_operator.cli import main
try:
    main()
except SystemExit:
    pass
print(*set(sys.modules) - before, file=sys.stderr)
"""
"""A program that runs the command line, and prints what that has imported to stderr."""

READS = """\
import sys
import zitadel_notification_operator.cluster.connection
import zitadel_notification_operator.cluster.reader
print(*sys.modules)
"""
"""A program that imports what reads a cluster, and prints all modules."""

SHELL_ASKS = {
    "_ZNP_COMPLETE": "bash_complete",
    "COMP_WORDS": "znp rel",
    "COMP_CWORD": "1",
}
"""The environment in which a script of `znp completion bash` calls `znp`."""


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/bin/znp", "znp"),
        ("/x/cli/__main__.py", "znp"),
        ("/opt/kubectl-zitadel_notification", "kubectl zitadel-notification"),
        ("kubectl-zitadel_notification", "kubectl zitadel-notification"),
    ],
)
def test_the_name_in_usage_texts(path: str, name: str) -> None:
    """kubectl writes a blank for a hyphen, and a hyphen for an underscore."""
    assert program_name(path) == name


@pytest.mark.parametrize(
    ("words", "environment"),
    [(["--help"], {}), (["--version"], {}), ([], {}), ([], SHELL_ASKS)],
    ids=["help", "version", "alone", "completion"],
)
def test_help_and_completion_import_click_only(
    words: list[str], environment: dict[str, str]
) -> None:
    """Whatever else is installed takes longer to import than people wait for help."""
    done = python("-c", MODULES, *words, **environment)
    assert done.stdout
    modules = set(done.stderr.split())
    roots = {name.partition(".")[0] for name in modules}
    assert roots - set(sys.stdlib_module_names) == ALLOWED
    package = "zitadel_notification_operator.cli"
    commands = {f"{package}{listed.module(name)}" for name, listed in COMMANDS.items()}
    assert not commands & modules


def test_a_cluster_is_read_without_the_slowest_imports() -> None:
    """kopf and the Kubernetes client take as long to import as all the rest."""
    done = python("-c", READS)
    roots = {name.partition(".")[0] for name in done.stdout.split()}
    assert "aiohttp" in roots
    assert not roots & {"kopf", "kubernetes"}


@pytest.mark.clock
@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_help_is_quick(words: list[str]) -> None:
    """It takes at most three times as long as the import of click (medians)."""
    cli = ["-m", "zitadel_notification_operator.cli"]
    pairs = [(seconds("-c", "import click"), seconds(*cli, *words)) for _ in range(15)]
    # Both halves of a pair meet the same load of the machine.
    ratio = statistics.median(ours / click for click, ours in pairs)
    assert ratio < 3, pairs


def seconds(*words: str) -> float:
    """Return how long Python runs with these arguments."""
    begun = time.perf_counter()
    python(*words)
    return time.perf_counter() - begun


def python(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run this Python with arguments; it must not fail."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )


def completed(words: Sequence[str], incomplete: str) -> list[str]:
    """Return the lines of the answer to kubectl."""
    return to_cobra(propose(znp, "kubectl zitadel-notification", words, incomplete))


def test_kubectl_gets_names_of_commands() -> None:
    """Each line has the help after a tab, and files are not proposed."""
    assert completed([], "rel") == [f"release\t{COMMANDS['release'].summary}", ":4"]
    assert len(completed([], "")) == len(COMMANDS) + 1


def test_kubectl_gets_options_and_files() -> None:
    """An option that takes a file lets the shell propose files."""
    (line, last) = completed(["release"], "--dry")
    assert line.startswith("--dry-run\t")
    assert last == ":4"
    assert completed(["release", "--kubeconfig"], "") == [":0"]


def test_folders_and_proposals_without_help() -> None:
    """cobra knows a directive for folders, and a line may be a word alone."""
    items = [CompletionItem("a"), CompletionItem("x", type="dir")]
    assert to_cobra(items) == ["a", ":16"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str) -> None:
    """It calls this program with click's variable."""
    done = CliRunner().invoke(znp, ["completion", shell], prog_name="znp")
    assert done.exit_code == 0, done.output
    assert f"_ZNP_COMPLETE={shell}_complete" in done.stdout


def test_bash_completes() -> None:
    """The real bash runs the script, and gets the name of a command."""
    places = (Path(sys.executable).parent, os.environ["PATH"])
    text = (
        'eval "$(znp completion bash)"; COMP_WORDS=(znp rel); COMP_CWORD=1; '
        '_znp_completion znp; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", text],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": os.pathsep.join(map(str, places))},
    )
    assert done.stdout == "release\n", done.stderr


def test_another_shell_is_refused() -> None:
    """The message names those that there are; a wrong command line exits with 64."""
    done = CliRunner().invoke(znp, ["completion", "powershell"], prog_name="znp")
    assert done.exit_code == 64
    assert "'bash', 'zsh', 'fish'" in done.stderr


def test_the_plugin_has_no_script_of_its_own() -> None:
    """kubectl looks for another executable; the message says which."""
    name = "kubectl zitadel-notification"
    done = CliRunner().invoke(znp, ["completion", "bash"], prog_name=name)
    assert done.exit_code == 1
    assert "kubectl_complete-zitadel_notification" in done.stderr


def test_examples_name_the_program_as_it_was_called() -> None:
    """A reader can copy them."""
    name = "kubectl zitadel-notification"
    done = CliRunner().invoke(znp, ["completion", "--help"], prog_name=name)
    assert f"\n  {name} completion fish >" in done.stdout


@pytest.mark.parametrize("words", [["status"], ["plan"], ["suspend", "a"]])
@pytest.mark.parametrize("name", ["BAD NS", "a/b", "-a", "a" * 64])
def test_a_name_that_no_namespace_can_have(words: list[str], name: str) -> None:
    """It is a wrong command line; Kubernetes would only say that nothing is there."""
    done = CliRunner().invoke(znp, [*words, f"--namespace={name}"])
    assert done.exit_code == 64
    assert f"{name!r} is not the name of a namespace" in done.stderr
