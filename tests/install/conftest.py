"""An installed chart for each file, with the options in its constants.

WATCHED: the namespaces to watch; OPTIONS: of `helm install`; HELM: the program that
installs; ADMISSION: the admission plugins of the API server that are off by default.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chart.rendering import HELM_4
from cluster.conftest import System
from install.upgrading import make_newer_chart
from support.installed import Installation
from support.running import EmulatorProcess, create_secret
from support.watching import StatusWatch
from zitadel_notification_operator.demo.control_plane import ControlPlane

# The module has tests, but no name of a test file; without this, failing assertions
# would show no values.
pytest.register_assert_rewrite("install.stories")


@pytest.fixture(scope="module")
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A control plane for each file, without CRDs, because the chart has them."""
    plugins = getattr(request.module, "ADMISSION", ())
    with ControlPlane(admission_plugins=plugins) as plane:
        yield plane


@pytest.fixture(scope="module")
def installation(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    tmp_path_factory: pytest.TempPathFactory,
) -> Installation:
    """The chart, installed."""
    watched = getattr(request.module, "WATCHED", ())
    folder = tmp_path_factory.mktemp("installation")
    program = getattr(request.module, "HELM", HELM_4)
    made = Installation(control_plane, folder, watched, program)
    made.install(*getattr(request.module, "OPTIONS", ()))
    return made


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    """An emulated ZITADEL."""
    emulator = EmulatorProcess(tmp_path_factory.mktemp("zitadel"))
    with emulator.program:
        yield emulator


@pytest.fixture(scope="module")
def system(
    installation: Installation,
    emulator: EmulatorProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    """The system of tests/cluster, with the chart's service account."""
    watch = StatusWatch(installation.plane, tmp_path_factory.mktemp("watch"))
    create_secret(installation.plane, "zitadel-credentials")
    operator = installation.lead("pod-1")
    made = System(installation.plane, emulator, operator, installation.folder)
    made.instance("shared", emulator.url)
    made.wait_for("", "shared", kind="zni")
    yield made
    assert made.operator.program.stop() == 0
    judged, found = watch.stop()
    assert judged
    assert not found


@pytest.fixture
def namespace(installation: Installation) -> str:
    """A namespace for the test; if only some are watched, one of these."""
    return installation.namespace()


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The next chart, with one more field in a CRD and another default."""
    return make_newer_chart(tmp_path_factory.mktemp("newer"))
