"""Runs a program in a separate root folder, with mounts, pids and user.

It uses `unshare` of util-linux. Root needs the permission to mount; other users get it
from a user namespace. If neither is permitted, the error says so.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

DEVICES = ("null", "zero", "random", "urandom")
NO_NAMESPACES = (
    "The image's tests run the operator on a read-only file system of its own, as "
    "`unshare` of util-linux makes it. That needs a root user who may mount (in a "
    "container: --cap-add SYS_ADMIN), or user namespaces for everybody (sysctl "
    "user.max_user_namespaces, and kernel.apparmor_restrict_unprivileged_userns=0). "
    "Its message was: "
)


class NotPermitted(RuntimeError):
    """This machine does not permit namespaces; the text says what would help."""


@dataclass
class Jail:
    """A root folder, what is mounted in it, and who works there.

    Attributes:
        root: The folder that becomes `/`, with the jail's own files.
        shown: Paths of the machine, and where they are mounted read-only.
        shared: Paths of the machine, and where they are mounted writable.
        hidden: Folders of the machine that are empty in the jail.
        writable: Whether the jail's own files may be written.
        user: The numeric user and group; None means root.
    """

    root: Path
    shown: list[tuple[Path, str]] = field(default_factory=list)
    shared: list[tuple[Path, str]] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    writable: bool = False
    user: int | None = None

    def command(
        self, words: Sequence[str], environment: Mapping[str, str], folder: str = "/"
    ) -> list[str]:
        """Return the command line that runs a command in the jail, as process 1."""
        space = [program("unshare"), "--mount", "--pid", "--fork", "--kill-child"]
        enter = [program("unshare"), f"--root={self.root}", f"--wd={folder}"]
        if os.geteuid() == 0:
            if self.user is not None:
                enter += [f"--setuid={self.user}", f"--setgid={self.user}"]
        else:
            space += ["--user", "--map-root-user"]
            if self.user is not None:
                enter += ["--user", f"--map-user={self.user}"]
                enter += [f"--map-group={self.user}"]
        pairs = [f"{name}={value}" for name, value in environment.items()]
        inner = [program("env"), "-i", *pairs, *enter, "--", *words]
        script = f"{self._mounts()}\nexec {shlex.join(inner)}"
        return [*space, "--", program("sh"), "-euc", script]

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], folder: str = "/"
    ) -> str:
        """Run a command to its end; return its output.

        Raises:
            CalledProcessError: The command failed; a note has its output.
        """
        command = self.command(words, environment, folder)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        if done.returncode:
            error = subprocess.CalledProcessError(done.returncode, list(words))
            error.add_note(output)
            raise error
        return output

    def _mounts(self) -> str:
        """Return the shell's lines that prepare the root folder."""
        mount, root = program("mount"), self.root
        lines = [[mount, "--rbind", str(root), str(root)]]
        for source, target in [*self.shown, *self.shared]:
            inside = self._place(target, like=source)
            lines.append([mount, "--rbind", str(source), inside])
            if (source, target) in self.shown:
                lines.append([mount, "-o", "remount,bind,ro", inside])
        for folder in self.hidden:
            inside = self._place(str(folder))
            lines.append([mount, "-t", "tmpfs", "-o", "ro", "tmpfs", inside])
        for name in DEVICES:
            device = Path("/dev", name)
            inside = self._place(str(device), like=device)
            lines.append([mount, "--bind", str(device), inside])
        lines.append([mount, "-t", "proc", "proc", self._place("/proc")])
        if not self.writable:
            lines.append([mount, "-o", "remount,bind,ro", str(root)])
        return "\n".join(shlex.join(line) for line in lines)

    def _place(self, target: str, like: Path | None = None) -> str:
        """Create the file or folder for a mount; return its path."""
        place = self.root / target.lstrip("/")
        if like is None or like.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        return str(place)


def program(name: str) -> str:
    """Return the path of one of this machine's programs."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise NotPermitted(f"{NO_NAMESPACES}there is no {name}")
    return found


def require_namespaces(folder: Path) -> None:
    """Check that this machine permits namespaces.

    Raises:
        NotPermitted: The machine does not permit them.
    """
    jail = Jail(folder, shown=base_files(), hidden=base_packages())
    try:
        jail.run([interpreter(), "-c", "pass"], {})
    except subprocess.CalledProcessError as error:
        raise NotPermitted(NO_NAMESPACES + "".join(error.__notes__)) from error


def interpreter() -> str:
    """Return the path of the Python of which the virtual environment was made."""
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def base_files() -> list[tuple[Path, str]]:
    """Return the files that replace a base image: C libraries and Python.

    They are those of this machine, with the same paths.
    """
    names = ("lib", "lib64", "usr/lib", "usr/lib64")
    prefix = Path(sys.base_prefix)
    return [
        *((Path("/", n), f"/{n}") for n in names if Path("/", n).is_dir()),
        (prefix, str(prefix)),
    ]


def base_packages() -> list[Path]:
    """Return the folder with additional packages of that Python, such as pip."""
    prefix = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = (
        prefix / "lib" / version / "site-packages",
        prefix / "lib/python3/dist-packages",
        prefix / "local/lib" / version / "dist-packages",
    )
    return [place for place in places if place.is_dir()]
