"""The process: late CRDs, options, exit codes, several namespaces."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.planes import ready_plane
from support.running import ZNP, EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

pytestmark = pytest.mark.tls

CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"


@pytest.fixture(scope="module")
def bare_plane() -> Iterator[ControlPlane]:
    """A control plane without the CRDs."""
    with ControlPlane() as plane:
        plane.kubectl("create", "namespace", "zitadel-notification-operator")
        yield plane


def test_a_signal_before_the_crds_are_there_is_a_proper_end(
    bare_plane: ControlPlane, tmp_path: Path
) -> None:
    """The exit code is 0 (design 11); tests/process has other moments."""
    operator = OperatorProcess(bare_plane, tmp_path)
    eventually(lambda: operator.probe("health", "/healthz") == 200, 60)
    assert operator.probe("health", "/readyz") == 503
    assert operator.program.stop() == 0, operator.program.tail()


def test_crds_may_come_late_and_go_and_come_back(
    bare_plane: ControlPlane, tmp_path: Path
) -> None:
    """The operator is ready whenever they exist, without a restart."""
    operator = OperatorProcess(bare_plane, tmp_path)
    eventually(lambda: operator.probe("health", "/healthz") == 200, 20)
    assert operator.probe("health", "/readyz") == 503
    bare_plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    operator.wait_ready()
    assert operator.probe("metrics", "/metrics") == 200
    bare_plane.kubectl("delete", "-f", str(CRDS))
    eventually(lambda: operator.probe("health", "/readyz") == 503, 60)
    assert operator.probe("health", "/healthz") == 200
    bare_plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    eventually(operator.is_ready, 60, "ready again")
    bare_plane.kubectl("delete", "-f", str(CRDS))
    eventually(lambda: operator.probe("health", "/readyz") == 503, 60)
    assert operator.program.stop() == 0


def test_watched_namespaces_alone_are_served(tmp_path: Path) -> None:
    """With --watch-namespace other namespaces' policies are ignored."""
    with ready_plane() as plane:
        plane.kubectl("create", "namespace", "seen")
        plane.kubectl("create", "namespace", "unseen")
        create_secret(plane, "zitadel-credentials")
        emulator = EmulatorProcess(tmp_path)
        operator = OperatorProcess(plane, tmp_path, "--watch-namespace", "seen")
        operator.wait_ready()
        manifest = (
            "apiVersion: zitadel-notification.dev/v1alpha1\nkind: ZitadelInstance\n"
            f"metadata: {{name: default}}\nspec:\n  url: {emulator.url}\n"
            "  allowInsecureHTTP: true\n  credentials: {personalAccessToken: "
            "{secretRef: {name: zitadel-credentials}}}\n"
            '  grants: [{namespaces: ["*"]}]\n'
        )
        plane.kubectl("apply", "-f", "-", stdin=manifest)
        for where, org in (
            ("unseen", "280000000000000102"),
            ("seen", "280000000000000101"),
        ):
            manifest = (
                "apiVersion: zitadel-notification.dev/v1alpha1\n"
                "kind: NotificationPolicy\nmetadata: {name: p}\nspec: {scope: "
                f'Organization, organization: {{id: "{org}"}}, passwordChange: true}}\n'
            )
            plane.kubectl("apply", "-n", where, "-f", "-", stdin=manifest)
        wait = ("wait", "--for=condition=Ready", "znp/p", "--timeout=90s")
        plane.kubectl(*wait, "--namespace=seen")
        assert {w[2] for w in emulator.writes()} == {"280000000000000101"}
        assert operator.program.stop() == 0
        emulator.program.stop()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--kubeconfig", "/no/such/file"), "does not exist"),
        (("run", "--workers", "0"), "not in the range"),
        (("run", "--lease-duration", "4999ms"), "not from 5s to 1h"),
        (("run", "--lease-duration", "15"), "not a duration such as"),
        (("emulator", "--port", "70000"), "not in the range"),
        (("nosuch",), "No such command"),
    ],
)
def test_wrong_options_are_named(arguments: tuple[str, ...], words: str) -> None:
    """The exit code is 64, with a sentence and no traceback."""
    done = subprocess.run(
        [*ZNP, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 64
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_options_come_from_the_environment_too(tmp_path: Path) -> None:
    """`--health-port` is ZNP_HEALTH_PORT, without the command's name."""
    done = subprocess.run(
        [*ZNP, "run"],
        capture_output=True,
        text=True,
        check=False,
        env={"ZNP_HEALTH_PORT": "many", "PATH": "/usr/bin", "HOME": str(tmp_path)},
    )
    assert done.returncode == 64
    assert "many" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "There is no Kubernetes to talk to"),
        ("not: [yaml", "cannot be used"),
        ("kind: Config", "cannot be used"),
    ],
)
def test_without_a_usable_kubeconfig_it_says_what_to_do(
    tmp_path: Path, content: str | None, words: str
) -> None:
    """It prints one sentence and exits with 1."""
    kubeconfig = tmp_path / "kubeconfig"
    if content is not None:
        kubeconfig.write_text(content)
    done = run_with_kubeconfig(kubeconfig, tmp_path)
    assert done.returncode == 1
    assert words in done.stderr
    assert str(kubeconfig) in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_taken_port_is_named(bare_plane: ControlPlane, tmp_path: Path) -> None:
    """The message has the option that chooses another one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        options = ("--bind-address", "127.0.0.1", "--health-port", "0")
        done = run_with_kubeconfig(
            bare_plane.kubeconfig, tmp_path, *options, "--metrics-port", port
        )
    assert done.returncode == 1
    assert "--metrics-port" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def run_with_kubeconfig(
    kubeconfig: Path, home: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run the operator with KUBECONFIG in its environment until it ends."""
    return subprocess.run(
        [*ZNP, "run", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(home)},
    )
