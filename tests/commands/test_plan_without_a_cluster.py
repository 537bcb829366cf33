"""`znp plan -f` with a URL: no cluster is needed, and none is asked."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.running import ZNP
from support.waiting import eventually
from zitadel_emulator.testing import EmulatedZitadel, start
from zitadel_notification_operator.cli.group import znp


@pytest.fixture
def token(zitadel: EmulatedZitadel, tmp_path: Path) -> Path:
    """A file with the token of the emulated ZITADEL."""
    path = tmp_path / "token"
    path.write_text(f"{zitadel.token}\n")
    return path


def policy(name: str, organization: dict[str, Any], value: bool) -> dict[str, Any]:
    """Return the manifest of a policy."""
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicy",
        "metadata": {"name": name},
        "spec": {
            "scope": "Organization",
            "organization": organization,
            "passwordChange": value,
        },
    }


def run(
    zitadel: EmulatedZitadel, token: Path, manifests: list[Any], *options: str
) -> Result:
    """Plan manifests from standard input, without anything that leads to a cluster."""
    documents = "\n---\n".join(map(json.dumps, manifests))
    return CliRunner(env={"KUBECONFIG": "/nonexistent", "HOME": "/nonexistent"}).invoke(
        znp,
        [
            *("plan", "-f", "-", "--url", zitadel.url, "--token-file", str(token)),
            *("--allow-local-urls", *options),
        ],
        input=documents,
    )


def test_changes_and_their_exit_codes(zitadel: EmulatedZitadel, token: Path) -> None:
    """0 without the option, 2 with it, and 0 where nothing changes."""
    one = policy("a", {"name": "ACME"}, value=False)
    done = run(zitadel, token, [one])
    assert done.exit_code == 0, done.output
    assert "turns mails OFF" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last == "Plan: 1 to create, 0 to update, 0 to reset; 0 unchanged."
    assert run(zitadel, token, [one], "--detailed-exitcode").exit_code == 2
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    done = run(zitadel, token, [other], "--detailed-exitcode")
    assert done.exit_code == 0, done.output
    assert done.stdout == "No changes. ZITADEL is as declared.\n"
    assert done.stderr == "Skipped 1 object of another kind\n"


def test_what_is_unknown_is_an_error(zitadel: EmulatedZitadel, token: Path) -> None:
    """Also with --detailed-exitcode: "could not look" is not "no changes"."""
    one = policy("a", {"name": "Nobody"}, value=False)
    done = run(zitadel, token, [one], "--detailed-exitcode")
    assert done.exit_code == 1, done.output
    assert "? unknown    NotificationPolicy default/a: OrganizationNotFound" in (
        done.stdout
    )


def test_of_two_policies_for_one_organization_the_first_one_wins(
    zitadel: EmulatedZitadel, token: Path
) -> None:
    """Manifests are as old as their order says."""
    names = [{"name": "ACME"}, {"name": "acme"}]
    manifests = [
        policy(name["name"].lower() + "1", name, value=False) for name in names
    ]
    manifests[1]["metadata"]["name"] = "second"
    done = run(zitadel, token, manifests)
    assert done.exit_code == 0, done.output
    assert "! conflict   NotificationPolicy default/second: Conflict" in done.stdout


def test_a_token_that_is_refused_makes_all_unknown(
    zitadel: EmulatedZitadel, token: Path
) -> None:
    """The reason is told, and the token is not."""
    token.write_text("secret-canary-token")
    done = run(zitadel, token, [policy("a", {"name": "ACME"}, value=False)])
    assert done.exit_code == 1, done.output
    assert "CredentialsRejected" in done.stdout
    assert "canary" not in done.output


def test_a_manifest_cannot_redirect_the_credential(
    zitadel: EmulatedZitadel, token: Path
) -> None:
    """Whatever an instance in the manifests says, only --url is called."""
    with start() as other:
        rogue = {
            "apiVersion": "zitadel-notification.dev/v1alpha1",
            "kind": "ZitadelInstance",
            "metadata": {"name": "default"},
            "spec": {
                "url": other.url,
                "allowInsecureHTTP": True,
                "credentials": {
                    "personalAccessToken": {
                        "secretRef": {"name": "credential", "key": "credential"}
                    }
                },
                "grants": [{"namespaces": ["default"]}],
            },
        }
        unused = {**rogue, "metadata": {"name": "unused"}}
        one = policy("a", {"name": "ACME"}, value=False)
        done = run(zitadel, token, [one, rogue, unused])
        assert done.exit_code == 0, done.output
        assert "1 to create" in done.stdout
        assert other.requests() == []
    # Of the manifest, the grants count.
    rogue["spec"]["grants"] = [{"namespaces": ["other"]}]  # type: ignore[index]
    done = run(zitadel, token, [one, rogue])
    assert "InstanceNotFound" in done.stdout


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_empty_input_is_an_error(
    zitadel: EmulatedZitadel, token: Path, text: str
) -> None:
    """A pipe from a command that has failed must not look like "no changes"."""
    arguments = ["plan", "-f", "-", "--url", zitadel.url, "--token-file", str(token)]
    done = CliRunner().invoke(znp, [*arguments, "--allow-local-urls"], input=text)
    assert done.exit_code == 1
    assert "Standard input is empty" in done.stderr
    assert done.stdout == ""


@pytest.mark.tls
@pytest.mark.parametrize(
    "arguments",
    [("plan", "-f"), ("check", "--url", "https://z.example", "--token-file")],
)
def test_a_signal_ends_it_while_an_input_blocks(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Nobody writes into the pipe, as where `-f -` is typed at a terminal."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen([*ZNP, *arguments, str(pipe)]) as process:
        writer = eventually(lambda: writer_of(pipe), 20)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        os.close(writer)


def writer_of(pipe: Path) -> int | None:
    """Open the pipe to write, and return the descriptor; None without a reader."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--url", "https://z"], "--url needs a credential"),
        (["--url", "z.example", "--token-file", __file__], "does not begin with"),
        (["--url", "http://z", "--token-file", __file__], "--allow-insecure-http"),
        (["--url", "http://127.0.0.1", "--token-file", __file__], "without encryption"),
        (["--token-file", __file__], "needs --url"),
        (["--token-file", __file__, "--key-file", __file__], "not several"),
        (["--instance", "a", "--token-file", __file__], "leave out --token-file"),
        (["-n", "a", "-A"], "not both"),
        (["-l", "a=b"], "A plan has no -l"),
        (["--url", "https://z", "--token-file", __file__], "add -f"),
        (["--timeout", "0s"], "not from 1s to 24h"),
    ],
)
def test_a_wrong_command_line_says_what_to_do(options: list[str], words: str) -> None:
    """The exit code is 64."""
    done = CliRunner().invoke(znp, ["plan", *options])
    assert done.exit_code == 64
    assert words in done.output
