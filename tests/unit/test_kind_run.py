"""`tests/kind/run.sh` with fake programs, which only record their arguments.

What Docker, kind and Helm really do is seen in CI only.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support.documents import ROOT
from unit.test_find_python import program

SCRIPT = "tests/kind/run.sh"
SHELL = "bash sh cat cp dirname jq mktemp rm sed seq sleep touch tr"
DIGEST = f"sha256:{'d' * 64}"
POLICIES = {
    "own": '{"policy": {"details": {}}}',
    "inherited": '{"policy": {"isDefault": true, "passwordChange": true}}',
}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout with the script, whose programs are all fakes but the shell's."""
    for name in (SCRIPT, "tests/kind/nodes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in SHELL.split(" "):
        found = shutil.which(name)
        assert found, f"There is no {name} on this machine: install it"
        (tools / name).symlink_to(found)
    record = f'echo "${{0##*/}} $*" >> {tmp_path}/calls'
    route = "default via 172.18.0.1 dev eth0"
    program(tools / "docker", f'{record}; case "$1" in exec) echo {route};; esac')
    create = 'case "$1" in create) echo config > "$KUBECONFIG";; esac'
    program(tools / "kind", f"{record}; {create}")
    program(tools / "git", "echo abc")
    program(tools / "python", f"echo {DIGEST}")
    program(tools / "curl", f'cat "{tmp_path}/policy"')
    # The deletion of the policy makes the organization inherit again.
    deletion = (
        f'case "$1 $2" in "delete znp") cp {tmp_path}/inherited {tmp_path}/policy'
    )
    program(tools / "kubectl", f"{record}; {deletion};; esac")
    helm(tmp_path, "helm")
    emulator = f'echo $$ > {tmp_path}/emulator; echo "http://172.18.0.1:1 is ready"'
    program(tools / "znp", f"{record}; {emulator}; exec sleep 100")
    (tmp_path / "policy").write_text(POLICIES["own"])
    (tmp_path / "inherited").write_text(POLICIES["inherited"])
    return tmp_path


def helm(machine: Path, name: str, failing: str = "never") -> None:
    """Put a fake Helm on the PATH, one of whose commands fails."""
    record = f'echo "${{0##*/}} $*" >> {machine}/calls'
    program(
        machine / "bin" / name,
        f'{record}; case "$1" in {failing}) echo "no $1" >&2; exit 3;; esac',
    )


def run(machine: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script in another folder."""
    return subprocess.run(
        [str(machine / SCRIPT)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": str(machine / "bin"), "TMPDIR": str(machine), **environment},
    )


def calls(machine: Path) -> list[str]:
    """Return program and first word of all calls, in their order."""
    lines = (machine / "calls").read_text().splitlines()
    return [" ".join(line.split()[:2]) for line in lines]


def has_ended(machine: Path) -> bool:
    """Return whether the emulator ends within a second."""
    process = int((machine / "emulator").read_text())
    for _ in range(50):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(("chosen", "wanted"), [("", "helm"), ("helm3", "helm3")])
def test_all_steps_in_their_order(machine: Path, chosen: str, wanted: str) -> None:
    """In the end nothing is left: no cluster, no emulator, no file."""
    helm(machine, "helm3")
    done = run(machine, HELM=chosen, NODE="1.31")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [step for step in calls(machine) if not step.startswith("kubectl")]
    assert steps == [
        "docker build",
        "kind create",
        "kind load",
        "docker exec",
        "znp emulator",
        f"{wanted} version",
        f"{wanted} install",
        f"{wanted} test",
        f"{wanted} upgrade",
        f"{wanted} uninstall",
        "kind delete",
    ]
    text = (machine / "calls").read_text()
    assert f"--build-arg BASE_DIGEST={DIGEST}" in text
    assert "--image kindest/node:v1.31.14@sha256:" in text
    assert "znp emulator --host 172.18.0.1 " in text
    assert has_ended(machine)
    assert not list(machine.glob("tmp.*"))


@pytest.mark.parametrize("step", ["install", "test", "upgrade", "uninstall"])
def test_a_step_that_fails_shows_the_cluster_and_tidies_up(
    machine: Path, step: str
) -> None:
    """Its exit code is the script's."""
    helm(machine, "helm", failing=step)
    done = run(machine)
    assert done.returncode == 3, done.stderr
    assert f"no {step}" in done.stderr
    assert "It failed; this is what the cluster has" in done.stdout
    assert calls(machine)[-4:] == [
        "kubectl get",
        "kubectl get",
        "kubectl logs",
        "kind delete",
    ]
    assert has_ended(machine)


def test_another_value_in_zitadel_fails(machine: Path) -> None:
    """That the policy is Ready is not enough."""
    (machine / "policy").write_text(POLICIES["inherited"])
    done = run(machine)
    assert done.returncode == 1
    assert "ZITADEL should have: false own; it has: true inherited" in done.stderr
    assert calls(machine)[-1] == "kind delete"


def test_an_unknown_kubernetes_is_told_before_anything_is_built(machine: Path) -> None:
    """The message has those that are known."""
    done = run(machine, NODE="1.30")
    assert done.returncode == 1
    assert "no image of Kubernetes 1.30: NODE is one of 1.31 1.32" in done.stderr
    assert not (machine / "calls").exists()


@pytest.mark.parametrize("missing", ["docker", "kubectl", "jq", "curl"])
def test_a_program_that_is_missing_is_named(machine: Path, missing: str) -> None:
    """Before anything is built."""
    (machine / "bin" / missing).unlink()
    done = run(machine)
    assert done.returncode == 1
    assert f"This needs {missing}, which is not on the PATH" in done.stderr
    assert not (machine / "calls").exists()
