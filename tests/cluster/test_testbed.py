"""The test environment: control plane, audit log, network guard."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.audit import AuditLog
from support.loopback import NotLoopback
from support.waiting import eventually
from zitadel_notification_operator.demo.binaries import (
    NEEDED,
    MissingBinaries,
    find_binaries,
)
from zitadel_notification_operator.demo.control_plane import ControlPlane, StartFailed
from zitadel_notification_operator.demo.processes import Program


@pytest.fixture(scope="module")
def own_plane() -> Iterator[ControlPlane]:
    """A control plane that these tests may stop, restart and change."""
    with ControlPlane() as plane:
        yield plane


def programs_of(folder: Path) -> list[str]:
    """Return the command lines of all running programs that name a folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has just ended
            continue
        if str(folder) in line:
            found.append(line)
    return found


@pytest.mark.clock
def test_starts_soon_and_leaves_nothing() -> None:
    """The API server responds soon, and `stop` leaves no process.

    Alone this takes three seconds, and several times that beside other tests.
    """
    started = time.monotonic()
    plane = ControlPlane().start()
    try:
        plane.kubectl("get", "namespace", "default")
        assert time.monotonic() - started < 30
        assert len(programs_of(plane.folder)) == 2
    finally:
        plane.stop()
    assert not programs_of(plane.folder)
    assert not plane.folder.exists()
    plane.stop()


def test_kubectl_and_server_have_one_version(own_plane: ControlPlane) -> None:
    """kubectl and Helm refuse a server without a version."""
    versions = json.loads(own_plane.kubectl("version", "--output=json").stdout)
    server, client = versions["serverVersion"], versions["clientVersion"]
    assert server["gitVersion"] == client["gitVersion"]
    assert int(server["minor"]) >= 30


def test_a_failed_command_shows_what_kubectl_said(own_plane: ControlPlane) -> None:
    """The error contains stderr; with `check=False` there is none."""
    with pytest.raises(subprocess.CalledProcessError) as raised:
        own_plane.kubectl("get", "namespace", "nowhere")
    assert any("nowhere" in note for note in raised.value.__notes__)
    assert own_plane.kubectl("get", "ns", "nowhere", check=False).returncode == 1


def test_roles_decide_who_may_do_what(
    control_plane: ControlPlane, namespace: str
) -> None:
    """A token may do nothing before a role binding."""
    inside = ("--namespace", namespace)
    control_plane.kubectl("create", "serviceaccount", "someone", *inside)
    token = control_plane.kubectl("create", "token", "someone", *inside).stdout

    def read_pods(token: str) -> subprocess.CompletedProcess[str]:
        arguments = ("get", "pods", f"--token={token}", *inside)
        return control_plane.kubectl(*arguments, check=False)

    assert "Unauthorized" in read_pods("made-up").stderr
    assert "Forbidden" in read_pods(token).stderr
    # Not a ClusterRole such as `view`: those are empty without a controller manager.
    role = ("create", "role", "reads", "--verb=get,list", "--resource=pods")
    control_plane.kubectl(*role, *inside)
    account = f"--serviceaccount={namespace}:someone"
    binding = ("create", "rolebinding", "reads", "--role=reads", account)
    control_plane.kubectl(*binding, *inside)
    eventually(lambda: read_pods(token).returncode == 0, what="the role to work")


def test_audit_log_counts_writes_by_object_and_verb(
    control_plane: ControlPlane, namespace: str, audit: AuditLog
) -> None:
    """Each write is there once it has a response; reads are not."""
    inside = ("--namespace", namespace)
    control_plane.kubectl("create", "configmap", "one", *inside)
    control_plane.kubectl("create", "configmap", "one", *inside, check=False)
    control_plane.kubectl("get", "configmap", "one", *inside)
    middle = datetime.now(UTC)
    control_plane.kubectl("label", "configmap", "one", "a=b", *inside)
    control_plane.kubectl("delete", "configmap", "one", *inside)
    writes = audit.writes("configmaps", namespace)
    assert [(write.verb, write.code) for write in writes] == [
        ("create", 201),
        ("create", 409),
        ("patch", 200),
        ("delete", 200),
    ]
    assert {write.user for write in writes} == {"admin"}
    assert {write.name for write in writes} == {"one"}
    later = audit.writes("configmaps", namespace, "one", since=middle)
    assert later == writes[2:]
    assert audit.writes("configmaps", namespace, "two") == []
    assert audit.by_operator("configmaps", namespace) == []
    assert AuditLog(control_plane).writes("configmaps", namespace) == []


def test_api_server_restart_keeps_address_and_data(own_plane: ControlPlane) -> None:
    """During the restart there is no response; then all is as before."""
    url = own_plane.url
    audit = AuditLog(own_plane)
    own_plane.kubectl("create", "configmap", "kept")
    own_plane.stop_api_server()
    assert own_plane.kubectl("get", "configmaps", check=False).returncode
    own_plane.start_api_server()
    assert own_plane.url == url
    own_plane.kubectl("get", "configmap", "kept")
    assert len(audit.writes("configmaps", "default", "kept")) == 1


def test_namespaces_go_when_the_controller_manager_runs(
    own_plane: ControlPlane,
) -> None:
    """Without it a deleted namespace stays in Terminating."""
    own_plane.kubectl("create", "namespace", "going")
    own_plane.kubectl("delete", "namespace", "going", "--wait=false")
    own_plane.start_controller_manager()
    own_plane.kubectl("wait", "--for=delete", "namespace/going", "--timeout=180s")
    own_plane.stop_controller_manager()
    left = own_plane.kubectl("get", "namespaces", "--output=name").stdout.split()
    assert "namespace/going" not in left
    assert "namespace/default" in left


def test_a_port_that_somebody_took_is_given_up(tmp_path: Path) -> None:
    """The start is retried on another port."""
    plane = ControlPlane(tmp_path)
    wanted = plane.url
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(wanted.rpartition(":")[2])))
        with plane:
            assert plane.url != wanted
            plane.kubectl("get", "namespace", "default")
    assert not programs_of(tmp_path)


def test_a_failed_start_shows_the_end_of_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error contains the program's message, and no process stays."""
    for name in NEEDED:
        (tmp_path / name).write_text("#!/bin/sh\necho the disk is made of cheese\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(StartFailed, match=r"etcd.*\n.*made of cheese"):
        ControlPlane(tmp_path / "plane").start()
    assert not programs_of(tmp_path)


def test_kill_9_of_the_parent_leaves_nothing_running(tmp_path: Path) -> None:
    """The kernel ends etcd and kube-apiserver with their parent."""
    code = (
        "import pathlib, sys, time\n"
        "from zitadel_notification_operator.demo.control_plane import ControlPlane\n"
        "plane = ControlPlane(pathlib.Path(sys.argv[1])).start()\n"
        "plane.start_controller_manager()\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    folder = tmp_path / "plane"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "up\n"
            # etcd, kube-apiserver, kube-controller-manager and the parent itself.
            assert len(programs_of(folder)) == 4
        finally:
            parent.kill()
    eventually(lambda: not programs_of(folder), what="the end of all programs")


def test_a_program_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """For the kernel the parent is a thread, which must live on."""
    made: list[Program] = []
    command = ["sleep", "600"]
    thread = threading.Thread(
        target=lambda: made.append(Program("sleep", command, tmp_path / "log"))
    )
    thread.start()
    thread.join()
    with made[0] as program, pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.3)


def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """`stop` always ends."""
    command = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
    program = Program("stubborn", command, tmp_path / "log")
    eventually(lambda: "ready" in program.tail())
    assert program.stop(timeout=0.2) == -signal.SIGKILL
    assert not program.running


def test_missing_programs_say_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error names the programs, the searched folders, and the command."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(MissingBinaries) as raised:
        find_binaries(("etcd", "no-such-program"))
    for words in ("no-such-program", str(tmp_path), ".tools/bin", "make tools"):
        assert words in str(raised.value)


def test_programs_come_from_the_first_place_that_has_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """$KUBEBUILDER_ASSETS comes first, if it has all programs."""
    assets, built = tmp_path / "assets", tmp_path / "checkout/.tools/bin"
    module = tmp_path / "checkout/tools/kubernetes/go.mod"
    for folder in (assets, built, module.parent):
        folder.mkdir(parents=True)
    module.touch()
    for name in ("one", "two"):
        (built / name).touch(mode=0o755)
    (assets / "one").touch(mode=0o755)
    (assets / "two").touch(mode=0o644)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    monkeypatch.chdir(module.parent)
    assert find_binaries(("one",)) == assets
    assert find_binaries(("one", "two")) == built


@pytest.mark.parametrize(
    ("family", "host"),
    [
        (socket.AF_INET, "192.0.2.1"),
        (socket.AF_INET, "example.com"),
        (socket.AF_INET, "127.example.com"),
        (socket.AF_INET6, "2001:db8::1"),
        (socket.AF_INET6, "::ffff:192.0.2.1"),
    ],
)
def test_other_machines_are_refused(family: socket.AddressFamily, host: str) -> None:
    """Neither of the two calls tries a connection."""
    with socket.socket(family) as probe:
        with pytest.raises(NotLoopback):
            probe.connect((host, 80))
        with pytest.raises(NotLoopback):
            probe.connect_ex((host, 80))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_reached(host: str) -> None:
    """Loopback works by address and by name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = (host, server.getsockname()[1])
        with socket.socket() as probe:
            probe.connect(address)
        with socket.socket() as probe:
            assert probe.connect_ex(address) == 0
