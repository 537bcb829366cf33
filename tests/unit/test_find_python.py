"""`make PYTHON=` and CI find a Python that runs, even behind a version manager."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "tools" / "find_python.sh"
VERSION = platform.python_version()
MINOR = VERSION.rpartition(".")[0]


def program(path: Path, text: str) -> Path:
    """Write a shell program; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def find(folder: Path, wanted: str) -> subprocess.CompletedProcess[str]:
    """Run the script on a machine that has only the programs of `folder/bin`."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    for name in ("sort", "sh", "env"):
        target = tools / name
        if not target.exists():
            found = next(
                Path(part, name)
                for part in ("/usr/bin", "/bin")
                if Path(part, name).exists()
            )
            target.symlink_to(found)
    return subprocess.run(
        [str(SCRIPT), wanted],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tools), "HOME": str(folder)},
    )


def test_a_name_and_a_path_and_a_version(tmp_path: Path) -> None:
    """Each of them leads to the program."""
    program(tmp_path / f"bin/python{MINOR}", f'exec {sys.executable} "$@"')
    for wanted in (f"python{MINOR}", MINOR, sys.executable):
        done = find(tmp_path, wanted)
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.strip()).samefile(sys.executable)


@pytest.mark.parametrize("place", ["bin", ".pyenv/bin"])
@pytest.mark.parametrize("wanted", ["python{}", "{}", "{}/bin/python{}"])
def test_a_stand_in_that_fails_is_no_python(
    tmp_path: Path, place: str, wanted: str
) -> None:
    """Its version manager is asked, even one that is not on the PATH."""
    stand_in = program(tmp_path / f"bin/python{MINOR}", "echo not chosen >&2; exit 127")
    real = program(
        tmp_path / f"versions/{VERSION}/bin/python", f'exec {sys.executable} "$@"'
    )
    program(
        tmp_path / place / "pyenv",
        f'case "$1" in versions) echo 2.7.18; echo {VERSION};; '
        f"prefix) echo {real.parent.parent};; esac",
    )
    if "/" in wanted:
        wanted = str(stand_in)
    done = find(tmp_path, wanted.format(MINOR))
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).samefile(sys.executable)


def test_what_cannot_be_had_is_reported(tmp_path: Path) -> None:
    """The program is missing, a shim without a version, or too old."""
    gone = find(tmp_path, "python3.99")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "There is no python3.99" in gone.stderr
    program(tmp_path / "bin/python3.98", "exit 127")
    broken = find(tmp_path, "3.98")
    assert (broken.returncode, broken.stdout) == (1, "")
    assert "python3.98 exists, but does not run" in broken.stderr
    assert "PYTHON=/path/to/" in broken.stderr
    old = 'case "$2" in pass) exit 0;; *version_info*) exit 1;; *) echo 3.9.18;; esac'
    program(tmp_path / "bin/python3.9", old)
    done = find(tmp_path, "python3.9")
    assert (done.returncode, done.stdout) == (1, "")
    assert "python3.9 is 3.9.18" in done.stderr


@pytest.mark.parametrize("value", ["", "/no/such/python"])
def test_a_python_in_the_environment_breaks_no_target(value: str) -> None:
    """Many set it for other programs; only `make PYTHON=` chooses an environment."""
    done = subprocess.run(
        ["make", "help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=SCRIPT.parent.parent,
        env={**os.environ, "PYTHON": value},
    )
    assert done.returncode == 0, done.stderr
    assert "init" in done.stdout
