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
STEPS = ["init", "demo", "test"]
"""What runs one after the other."""
CHECKS = ["lint", "type", "docs", "test-docs"]
"""What runs beside these steps on every machine."""
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
        *("mktemp", "touch", "tee", "cat", "tail", "rm"),
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
        'case "$*" in lint|type|docs|test-docs|test) echo "$* says this"; esac\n'
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


def calls(machine: Path) -> list[str]:
    """Return the arguments of all calls of `make`."""
    return (machine / "made").read_text().splitlines()


def made(machine: Path) -> list[str]:
    """Return which steps were made, in their order."""
    return [call for call in calls(machine) if call in STEPS]


def checked(machine: Path) -> list[str]:
    """Return what was made beside the steps, in its order."""
    return [call for call in calls(machine) if call not in STEPS]


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines that the script itself prints."""
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
    assert (made(machine), checked(machine)) == (STEPS, CHECKS)
    line, browser = said(done)
    assert browser == NO_BROWSER
    assert line.startswith(f"Python {IMAGE}, the image's, is the default here: all")


def test_the_image_has_another_version_that_is_found(machine: Path) -> None:
    """The marked tests run on it, beside all tests on the default one."""
    found = interpreter(machine, f"python{IMAGE}", IMAGE)
    done = run(machine)
    assert done.returncode == 0
    assert made(machine) == STEPS
    marked = f"test|PYTHON={found}|TESTS=-m tls|WORKERS=1"
    assert checked(machine) == [*CHECKS, marked]
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
    assert (made(machine), checked(machine)) == (STEPS, CHECKS)
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
    assert (made(machine), checked(machine)) == (STEPS, [*CHECKS, *browser])
    assert (NO_BROWSER in done.stdout.splitlines()) is not runs
    assert "Reading" not in done.stdout
    assert (machine / "installed").exists() is (installer is not None and number == 0)


def test_a_browser_that_is_there_is_not_installed(machine: Path) -> None:
    user(machine, 0)
    apt(machine, works=False)
    program(machine / "bin" / "chromium", "exit 1")
    assert run(machine).returncode == 0
    assert (made(machine), checked(machine)) == (STEPS, [*CHECKS, "test-browser"])
    assert not (machine / "installed").exists()


ALL_CHECKS = [*CHECKS, "WORKERS=1", "test-browser"]
"""The checks where every one is possible, by their last argument."""


def whole(machine: Path, failing: str) -> subprocess.CompletedProcess[str]:
    """Run the script where everything is possible and one thing fails."""
    interpreter(machine, f"python{IMAGE}", IMAGE)
    program(machine / "bin" / "chromium", "exit 1")
    make(machine, failing=failing)
    return run(machine)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_is_the_last_one(machine: Path, step: str) -> None:
    """What runs beside it comes to its end, and its output is shown."""
    done = whole(machine, step)
    assert done.returncode == 2
    assert made(machine) == STEPS[: STEPS.index(step) + 1]
    if step != "init":
        assert [one.rpartition("|")[2] for one in checked(machine)] == ALL_CHECKS
        shown = "".join(f"{check} says this\n" for check in CHECKS)
        assert shown in done.stdout


@pytest.mark.parametrize("check", ALL_CHECKS)
def test_a_check_that_fails_is_the_last_check(machine: Path, check: str) -> None:
    """All tests run nevertheless, and then the script fails."""
    done = whole(machine, check)
    assert done.returncode == 1
    assert made(machine) == STEPS
    until = ALL_CHECKS[: ALL_CHECKS.index(check) + 1]
    assert [one.rpartition("|")[2] for one in checked(machine)] == until


@pytest.mark.parametrize("failing", ["never", "test", "lint"])
def test_the_result_of_the_tests_is_the_last_line(machine: Path, failing: str) -> None:
    """It is shown at once, and again after what the checks say."""
    done = whole(machine, failing)
    assert done.stdout.startswith("test says this\n")
    assert done.stdout.endswith("\ntest says this\n")


def test_nothing_is_left(machine: Path, tmp_path: Path) -> None:
    """The output of tests and checks goes through temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    for failing in ("never", "demo", "lint"):
        make(machine, failing)
        run(machine, TMPDIR=str(folder))
        assert list(folder.iterdir()) == []
