"""The image's files, run as in a pod: read-only, as 65532, as process 1."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from image.building import USER, Image, stages
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.demo.processes import Program
from zitadel_notification_operator.version import VERSION

pytestmark = pytest.mark.timeout(600)

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
LOCAL = {
    "ZNP_BIND_ADDRESS": "127.0.0.1",
    "ZNP_HEALTH_PORT": "0",
    "ZNP_METRICS_PORT": "0",
    "NO_PROXY": "*",
}
"""All that differs from a pod: two of these tests may run on one machine."""


def run(image: Image, *words: str) -> str:
    """Run a command in the image; return its output."""
    return image.jail().run(words, image.stage.environment)


@pytest.fixture
def account(control_plane: ControlPlane, tmp_path: Path) -> tuple[Path, str]:
    """The files that the kubelet mounts for a service account."""
    folder = tmp_path / "account"
    folder.mkdir()
    (folder / "token").write_text(control_plane.token)
    (folder / "ca.crt").write_bytes((control_plane.folder / "ca.crt").read_bytes())
    (folder / "namespace").write_text("zitadel-notification-operator")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    return folder, ACCOUNT


@pytest.fixture
def operator(
    image: Image,
    control_plane: ControlPlane,
    account: tuple[Path, str],
    tmp_path: Path,
) -> Iterator[Program]:
    """A container of the image, started by its ENTRYPOINT and CMD."""
    stage = image.stage
    host, _, port = control_plane.url.removeprefix("https://").partition(":")
    service = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    words = [*stage.last("ENTRYPOINT").words, *stage.last("CMD").words]
    environment = {**stage.environment, **service, **LOCAL}
    command = image.jail(account).command(words, environment, stage.folder)
    program = Program("operator", command, tmp_path / "log")
    yield program
    if program.running:
        # End the container's first process: after it has changed its user, it does not
        # end with its parent, and would continue to act on the tests' cluster.
        os.kill(int(process_one(program).name), signal.SIGKILL)
    program.kill()


def process_one(program: Program) -> Path:
    """Return the /proc folder of the container's process 1."""
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children")
    found = eventually(lambda: children.read_text().split(), what=program.tail())
    return Path("/proc", found[0])


def status(program: Program, path: str) -> int:
    """Return the HTTP status of a path of the health endpoint; 0 without a response."""
    found = re.search(r"Listening for health on port (\d+)", program.tail(100))
    if found is None:
        return 0
    try:
        url = f"http://127.0.0.1:{found[1]}{path}"
        with urllib.request.urlopen(url) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_ready(program: Program) -> None:
    """Wait for /readyz, but not longer than the program runs."""

    def is_ready() -> bool:
        assert program.running, program.tail(40)
        return status(program, "/readyz") == 200

    eventually(is_ready, 60, "readiness")


def test_it_becomes_ready_and_ends_on_sigterm_with_zero(operator: Program) -> None:
    """It has only its files, a service account, and a real kube-apiserver."""
    wait_ready(operator)
    assert status(operator, "/healthz") == 200
    os.kill(int(process_one(operator).name), signal.SIGTERM)
    assert operator.wait(30) == 0, operator.tail(40)
    lines = operator.log.read_text().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_it_runs_as_a_user_without_rights_on_a_read_only_file_system(
    operator: Program,
) -> None:
    """The kernel shows ids, capabilities, mounts, and open files."""
    wait_ready(operator)
    seen = process_one(operator)
    facts = dict(
        line.split(":\t", 1) for line in (seen / "status").read_text().splitlines()
    )
    assert facts["NSpid"].split()[-1] == "1"
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
    if os.geteuid() == 0:  # otherwise the ids are those of a user namespace
        assert facts["Uid"].split() == facts["Gid"].split() == [str(USER)] * 4
        assert facts["Groups"].split() == []
    mounts = [line.split() for line in (seen / "mountinfo").read_text().splitlines()]
    (whole,) = {mount[5] for mount in mounts if mount[4] == "/"}
    assert "ro" in whole.split(",")
    opened = [link.readlink() for link in (seen / "fd").iterdir()]
    files = [path for path in opened if path.is_absolute() and path.name != "null"]
    assert files == [operator.log] * 2


def test_any_user_will_do(image: Image) -> None:
    """OpenShift runs it as a number of the namespace, unknown to the image."""
    jail = replace(image.jail(), user=54321)
    code = "import os, zitadel_notification_operator.app; print(os.getuid())"
    output = jail.run(["python", "-c", code], image.stage.environment)
    if os.geteuid() == 0:  # otherwise the ids are those of a user namespace
        assert output.split() == ["54321"]
    words = ["znp", "run", "--kubeconfig", "/nowhere"]
    with pytest.raises(subprocess.CalledProcessError) as raised:
        jail.run(words, image.stage.environment)
    assert "does not exist" in raised.value.__notes__[0]


@pytest.mark.parametrize("place", ["/", "/app", "/app/zitadel_notification_operator"])
def test_nothing_can_be_written(image: Image, place: str) -> None:
    """This includes the folder of the operator's code."""
    code = f"open({place!r} + '/new', 'w')"
    with pytest.raises(subprocess.CalledProcessError) as raised:
        run(image, "python", "-c", code)
    assert "Read-only file system" in raised.value.__notes__[0]


def test_the_chart_finds_its_programs_on_the_path(image: Image) -> None:
    """The Deployment runs `[znp]`, and `helm test` runs `[python, -c]`."""
    assert run(image, "znp", "--version") == f"znp, version {VERSION}\n"
    code = "import sys, zitadel_notification_operator as z; print(z.__file__)"
    output = run(image, "python", "-c", code)
    assert output == "/app/zitadel_notification_operator/__init__.py\n"


def test_there_is_no_shell_and_no_pip(image: Image) -> None:
    """Neither is among its files; the base may have them."""
    assert sorted(p.name for p in (image.root / "app/bin").iterdir()) == [
        "python",
        "znp",
    ]
    code = "import importlib.util as u; print([n for n in NAMES if u.find_spec(n)])"
    names = ("pip", "setuptools", "hatchling", "pytest", "ruff")
    output = run(image, "python", "-c", code.replace("NAMES", str(names)))
    assert output == "[]\n"
    with pytest.raises(subprocess.CalledProcessError) as raised:
        run(image, "sh", "-c", "true")
    assert "No such file" in raised.value.__notes__[0]


@pytest.mark.parametrize("command", ["emulator", "demo"])
def test_there_is_no_emulator(image: Image, command: str) -> None:
    """The commands that need one are listed, and say what to install."""
    for name in ("zitadel_emulator", "rich"):
        assert not list((image.root / "app").glob(f"{name}*"))
    assert f"  {command} " in run(image, "znp", "--help")
    with pytest.raises(subprocess.CalledProcessError) as raised:
        run(image, "znp", command)
    assert raised.value.returncode == 1
    assert 'pip install "zitadel-notification-operator[demo]"' in str(
        raised.value.__notes__
    )


def test_all_bytecode_is_there_and_never_checked_again(image: Image) -> None:
    """Nothing is compiled at the start, whatever the age of the files."""
    sources = [*(image.root / "app").rglob("*.py")]
    assert len(sources) > 1000
    for source in sources:
        compiled = Path(importlib.util.cache_from_source(str(source)))
        # PEP 552: there is a hash of the source, which is never checked.
        assert compiled.read_bytes()[4:8] == b"\x01\0\0\0", source


def test_all_files_have_the_time_of_the_build_argument(image: Image) -> None:
    """None of them has the time of the build."""
    (epoch,) = {
        step.environment["SOURCE_DATE_EPOCH"]
        for step in stages()[1].steps
        if "touch" in step.text
    }
    files = [image.root / "app", *(image.root / "app").rglob("*")]
    assert {int(file.lstat().st_mtime) for file in files} == {int(epoch)}
