"""`tools/last_release.py` in small repositories of its own."""

import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = Path("tools") / "last_release.py"
AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.com")
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, without the configuration of the machine's user."""
    return subprocess.run(
        ["git", *AUTHOR, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script that is in a folder."""
    return subprocess.run(
        [sys.executable, str(folder / SCRIPT), *arguments],
        cwd="/",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


def commit(folder: Path, text: str, *tags: str) -> str:
    """Commit a file with this text, give the commit tags, and return its id."""
    (folder / "file").write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--message", text)
    for tag in tags:
        git(folder, "tag", tag)
    return git(folder, "rev-parse", "HEAD")


def add_script(folder: Path, first: str) -> None:
    """Put the script into a folder; it goes back to this commit at first."""
    text = (ROOT / SCRIPT).read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("FIRST = ")]
    (folder / "tools").mkdir(exist_ok=True)
    (folder / SCRIPT).write_text(text.replace(line, f'FIRST = "{first}"'))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose first commit is that from which upgrades are tried."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    add_script(folder, commit(folder, "one"))
    commit(folder, "two")
    return folder


def test_without_a_tag_it_is_the_first(repository: Path, tmp_path: Path) -> None:
    """Its files are those of that commit."""
    first = git(repository, "rev-list", "--max-parents=0", "HEAD")
    done = run(repository, str(tmp_path / "unpacked"))
    assert (done.returncode, done.stdout.strip()) == (0, first), done.stderr
    assert (tmp_path / "unpacked" / "file").read_text() == "one"


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["v0.1.0"], "v0.1.0"),
        (["v0.9.0", "v0.10.0"], "v0.10.0"),
        (["v0.2.0", "v0.1.9"], "v0.2.0"),
        (["v0.1.0", "v0.2.0-rc.1", "emulator-v0.3.0", "v1"], "v0.1.0"),
    ],
)
def test_the_newest_version_counts(
    repository: Path, tmp_path: Path, tags: list[str], found: str
) -> None:
    """Its number decides, and other tags are none."""
    for tag in tags:
        commit(repository, tag, tag)
    commit(repository, "present")
    done = run(repository, str(tmp_path / "unpacked"))
    assert (done.returncode, done.stdout.strip()) == (0, found), done.stderr
    assert (tmp_path / "unpacked" / "file").read_text() == found


def test_a_release_is_compared_with_the_one_before(repository: Path) -> None:
    """The tag of the present commit and those of other branches do not count."""
    commit(repository, "a", "v0.1.0")
    commit(repository, "b", "v0.2.0")
    git(repository, "checkout", "--quiet", "-b", "other", "v0.1.0")
    commit(repository, "c", "v0.3.0")
    git(repository, "checkout", "--quiet", "main")
    assert run(repository).stdout.strip() == "v0.1.0"


def clone(repository: Path, *options: str) -> Path:
    """Clone a repository as over a network; return the clone."""
    parent = repository.parent
    git(parent, "clone", "--quiet", *options, f"file://{repository}", "clone")
    return parent / "clone"


def test_a_shallow_clone_says_what_to_do(repository: Path, tmp_path: Path) -> None:
    """The command in the message helps."""
    first = git(repository, "rev-list", "--max-parents=0", "HEAD")
    new = clone(repository, "--depth=1")
    done = run(new, str(tmp_path / "unpacked"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "This clone is shallow" in done.stderr
    assert first in done.stderr
    assert "fetch-depth: 0" in done.stderr
    (command,) = [
        line.split()[1:] for line in done.stderr.splitlines() if line.startswith("    ")
    ]
    git(new, *command)
    assert run(new).stdout.strip() == first


def test_a_history_without_the_first_says_so(repository: Path) -> None:
    """It is not called shallow, and the message names the line to change."""
    add_script(repository, "0" * 40)
    commit(repository, "rewritten")
    done = run(clone(repository))
    assert (done.returncode, done.stdout) == (1, "")
    assert "set FIRST in tools/last_release.py" in done.stderr
    assert "shallow" not in done.stderr


def test_files_without_a_history_say_so(repository: Path, tmp_path: Path) -> None:
    """They may have been downloaded as an archive."""
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy, ignore=shutil.ignore_patterns(".git"))
    done = run(copy)
    assert (done.returncode, done.stdout) == (1, "")
    assert "clone the repository with git" in done.stderr


@pytest.mark.parametrize("with_git", [True, False])
def test_an_archive_of_the_first_needs_no_history(
    repository: Path, tmp_path: Path, with_git: bool
) -> None:
    """A shallow clone has it, and so have sources without git."""
    first = git(repository, "rev-list", "--max-parents=0", "HEAD")
    archive = repository / "tests" / "data" / "released" / f"{first[:7]}.tar.xz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(lzma.compress(_archive_of(repository, first)))
    commit(repository, "with the archive")
    new = clone(repository, "--depth=1")
    if not with_git:
        shutil.rmtree(new / ".git")
    done = run(new, str(tmp_path / "unpacked"))
    assert (done.returncode, done.stdout.strip()) == (0, first), done.stderr
    assert (tmp_path / "unpacked" / "file").read_text() == "one"


def _archive_of(folder: Path, name: str) -> bytes:
    return subprocess.run(
        ["git", "archive", "--format=tar", name],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        check=True,
    ).stdout


def test_the_first_is_in_this_repository(tmp_path: Path) -> None:
    """What the upgrade test starts from can be unpacked here."""
    done = run(ROOT, str(tmp_path))
    assert done.returncode == 0, done.stderr
    chart = tmp_path / "deploy" / "helm" / "zitadel-notification-operator"
    assert (chart / "Chart.yaml").is_file()
