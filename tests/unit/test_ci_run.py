"""`.ci/run` with a fake `make` that only records its arguments."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from unit.test_find_python import program

ROOT = Path(__file__).parent.parent.parent
DEFAULT = "3.97"
IMAGE = "3.98"
"""Two versions that no machine has."""
CHECKS = ["lint", "type", "docs", "test-docs"]
"""What runs beside the steps before the complete test run."""
FIRST = ["init", "demo"]
NO_BROWSER = (
    "There is no Chromium, and it cannot be installed here: "
    "make test-browser did not run"
)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A copy of the script, whose PATH contains only the folder `bin` beside it."""
    for name in (".ci/run", "tools/find_python.sh"):
        copy = tmp_path / name
        copy.parent.mkdir()
        shutil.copy(ROOT / name, copy)
    text, changed = re.subn(
        r"(?m)^(ARG BASE_IMAGE=python:)\d+\.\d+",
        rf"\g<1>{IMAGE}",
        (ROOT / "Dockerfile").read_text(),
    )
    assert changed == 1
    (tmp_path / "Dockerfile").write_text(text)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in (
        *("bash", "sh", "env", "sed", "sort", "dirname"),
        *("mktemp", "cat", "rm"),
    ):
        found = shutil.which(name, path="/usr/bin:/bin")
        assert found
        (tools / name).symlink_to(found)
    interpreter(tmp_path, "python3", DEFAULT)
    make(tmp_path)
    user(tmp_path, 1000)
    return tmp_path


def user(machine: Path, number: int) -> None:
    """Let the script run as this user; 0 is root."""
    program(machine / "bin" / "id", f"echo {number}")


def apt(machine: Path, *, works: bool) -> None:
    """Put a fake `apt-get` on the PATH, which is not quiet."""
    end = "exit 0" if works else "exit 100"
    program(
        machine / "bin" / "apt-get",
        f'echo "$*" >> {machine}/installed; echo Reading; echo Err >&2; {end}',
    )


def interpreter(machine: Path, name: str, version: str) -> Path:
    """Put a fake Python on the PATH that answers what the script asks."""
    return program(
        machine / "bin" / name,
        f'case "$2" in *executable*) echo "$0";; *%d.%d*) echo {version};; esac',
    )


def make(machine: Path, failing: str = "never") -> None:
    """Put a fake `make` on the PATH, which fails if its arguments end with this one."""
    program(
        machine / "bin" / "make",
        f'IFS="|"; echo "$*" >> {machine}/made\n'
        'case "$*" in lint|type|docs|test-docs) echo "$* says this"; esac\n'
        f'case "$*" in "{failing}"|*"|{failing}") exit 2;; esac',
    )


def run(machine: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script in another folder; require that it writes nothing to stderr."""
    done = subprocess.run(
        [str(machine / ".ci" / "run")],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": str(machine / "bin"), "HOME": str(machine), **environment},
    )
    assert done.stderr == ""
    return done


def made(machine: Path) -> list[str]:
    """Return the arguments of all calls of `make` but those of the checks."""
    calls = (machine / "made").read_text().splitlines()
    return [call for call in calls if call not in CHECKS]


def checked(machine: Path) -> list[str]:
    """Return which checks were made."""
    calls = (machine / "made").read_text().splitlines()
    return [call for call in calls if call in CHECKS]


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines of the output that come from no check."""
    lines = done.stdout.splitlines()
    return [line for line in lines if not line.endswith("says this")]


@pytest.mark.parametrize("environment", [{}, {"PYTHON": "python-of-mine"}])
def test_the_image_has_the_default_version(
    machine: Path, environment: dict[str, str]
) -> None:
    """All tests run once; `PYTHON` in the environment may name the default."""
    interpreter(machine, environment.get("PYTHON", "python3"), IMAGE)
    done = run(machine, **environment)
    assert done.returncode == 0
    assert made(machine) == [*FIRST, "test"]
    line, browser = said(done)
    assert browser == NO_BROWSER
    assert line.startswith(f"Python {IMAGE}, the image's, is the default here: all")


def test_the_image_has_another_version_that_is_found(machine: Path) -> None:
    """The marked tests run on it, and then all tests on the default one."""
    found = interpreter(machine, f"python{IMAGE}", IMAGE)
    done = run(machine)
    assert done.returncode == 0
    assert made(machine) == [*FIRST, f"test|PYTHON={found}|TESTS=-m tls", "test"]
    line, browser = said(done)
    assert browser == NO_BROWSER
    assert line == f"Python {IMAGE}, the image's: what speaks TLS or starts the process"


@pytest.mark.parametrize("stand_in", [False, True])
def test_the_image_has_a_version_that_is_not_here(
    machine: Path, *, stand_in: bool
) -> None:
    """If a version manager's shim fails, the output says so and the tests run."""
    if stand_in:
        program(machine / "bin" / f"python{IMAGE}", "echo not chosen >&2; exit 127")
    done = run(machine)
    assert done.returncode == 0
    assert made(machine) == [*FIRST, "test"]
    line, browser = said(done)
    assert browser == NO_BROWSER
    assert f"no Python {IMAGE}, the image's, on this machine" in line
    assert line.endswith(f"all tests run on {DEFAULT} only")


@pytest.mark.parametrize(
    ("installer", "number", "runs"),
    [(True, 0, True), (False, 0, False), (None, 0, False), (True, 1000, False)],
)
def test_a_browser_is_installed_by_root_on_debian(
    machine: Path, installer: bool | None, number: int, runs: bool
) -> None:
    """Elsewhere one line says that its tests did not run, and all others do."""
    user(machine, number)
    if installer is not None:
        apt(machine, works=installer)
    done = run(machine)
    assert done.returncode == 0
    browser = ["test-browser"] if runs else []
    assert made(machine) == [*FIRST, *browser, "test"]
    assert (NO_BROWSER in done.stdout.splitlines()) is not runs
    assert "Reading" not in done.stdout
    assert (machine / "installed").exists() is (installer is not None and number == 0)


def test_a_browser_that_is_there_is_not_installed(machine: Path) -> None:
    user(machine, 0)
    apt(machine, works=False)
    program(machine / "bin" / "chromium", "exit 1")
    assert run(machine).returncode == 0
    assert made(machine) == [*FIRST, "test-browser", "test"]
    assert not (machine / "installed").exists()


STEPS = [*FIRST, "TESTS=-m tls", "test-browser", "test"]


def whole(machine: Path, failing: str) -> subprocess.CompletedProcess[str]:
    """Run the script where every step is possible and one fails."""
    interpreter(machine, f"python{IMAGE}", IMAGE)
    program(machine / "bin" / "chromium", "exit 1")
    make(machine, failing=failing)
    return run(machine)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_is_the_last_one(machine: Path, step: str) -> None:
    """The script fails, even if only the tests on the image's Python fail."""
    done = whole(machine, step)
    assert done.returncode == 2
    ends = [call.rpartition("|")[2] for call in made(machine)]
    assert ends == STEPS[: STEPS.index(step) + 1]
    if step != "init":
        assert checked(machine) == CHECKS
        shown = "".join(f"{check} says this\n" for check in CHECKS)
        assert shown in done.stdout


def test_a_check_that_fails_ends_the_script_before_the_complete_tests(
    machine: Path,
) -> None:
    """Its output is shown once what ran beside it is done."""
    for check in CHECKS:
        (machine / "made").unlink(missing_ok=True)
        done = whole(machine, check)
        assert done.returncode == 2
        ends = [call.rpartition("|")[2] for call in made(machine)]
        assert ends == STEPS[:-1]
        assert checked(machine) == CHECKS[: CHECKS.index(check) + 1]
        assert done.stdout.endswith(f"{check} says this\n")


def test_nothing_of_the_checks_is_left(machine: Path, tmp_path: Path) -> None:
    """Their output goes through a temporary file."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    for failing in ("never", "demo"):
        make(machine, failing)
        run(machine, TMPDIR=str(folder))
        assert list(folder.iterdir()) == []
