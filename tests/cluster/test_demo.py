"""`znp demo` on an existing cluster: it shows all steps and leaves nothing behind."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.demo_picture import PICTURE, lines_of_picture, steps
from support.running import OWN_NAMESPACE, ZNP
from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent.parent
REDRAW = "draw docs/images/demo.svg again: make demo-picture"


@pytest.fixture(scope="module")
def existing_cluster() -> Iterator[ControlPlane]:
    """A cluster that really deletes namespaces, without anything of the operator."""
    with ControlPlane() as plane:
        plane.start_controller_manager()
        yield plane


def demo(kubeconfig: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the demo from the checkout, as its help says."""
    return subprocess.run(
        [*ZNP, "demo", "--kubeconfig", str(kubeconfig), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_step_is_shown_and_everything_is_taken_back(
    existing_cluster: ControlPlane,
) -> None:
    """After nine steps it exits with 0, without CRDs and namespace.

    README's picture shows what it prints.
    """
    done = demo(existing_cluster.kubeconfig)
    assert done.returncode == 0, done.stdout + done.stderr
    for number in range(1, 10):
        assert f"{number}. " in done.stdout
    assert "spec.passwordChange: Required value" in done.stdout
    assert "The organization inherits the instance's setting again" in done.stdout
    assert "znps,znp" in done.stdout
    assert " Overridden " in done.stdout
    existing_cluster.kubectl(
        *("wait", "--for=delete", "--timeout=90s", f"namespace/{OWN_NAMESPACE}")
    )
    assert existing_cluster.kubectl("get", "crd", "--output=name").stdout == ""
    pictured = steps(lines_of_picture(PICTURE.read_text()))
    assert pictured.keys() == {"4", "8"}
    printed = steps(done.stdout.splitlines())
    assert pictured == {number: printed[number] for number in pictured}, REDRAW


def test_a_cluster_with_our_things_is_left_alone(control_plane: ControlPlane) -> None:
    """It says what it found, and creates and deletes nothing."""
    done = demo(control_plane.kubeconfig)
    assert done.returncode == 1
    assert f"namespace/{OWN_NAMESPACE}" in done.stderr
    assert "Traceback" not in done.stderr
    control_plane.kubectl("get", "znp", "--all-namespaces")


def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """It prints kubectl's message, no traceback."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: ''}}]\n"
    )
    done = demo(kubeconfig)
    assert done.returncode == 1
    assert "cannot ask the cluster" in done.stderr
    assert "Traceback" not in done.stderr
