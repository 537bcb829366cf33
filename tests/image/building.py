"""Builds the image's files by executing RUN and COPY of the Dockerfile here.

This machine replaces the base images: its Python, its C library, its shell (for the
builder only). Packages come from the index that pip is configured for.
"""

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from image.dockerfile import DOCKERFILE, ROOT, Stage, Step, context_files, read_stages
from image.jail import Jail, base_files, base_packages, interpreter

MACHINE = ("bin", "sbin", "lib", "lib64", "usr", "etc", "opt")
"""What a builder has: a Debian, or its like."""
PASSED_ON = ("PIP_", "HTTP", "NO_PROXY", "http", "no_proxy", "SSL_", "REQUESTS_")
"""Beginnings of variables that say where packages come from."""
USER = 65532
KEPT = ROOT / ".tools" / "image"
"""Where the stage of the dependencies stays from one time to the next."""
GIVEN = {
    "BUILDER_DIGEST": "sha256:" + 64 * "1",
    "BASE_DIGEST": "sha256:" + 64 * "2",
    "REVISION": "0123abc",
    "CREATED": "2026-01-01T00:00:00Z",
    "SOURCE": "https://git.example.com/operator",
}


@dataclass(frozen=True)
class Image:
    """The image as files, and its configuration.

    Attributes:
        root: The folder with its files, and with empty places for mounts.
        stage: The last stage of the Dockerfile.
    """

    root: Path
    stage: Stage

    def jail(self, *shown: tuple[Path, str]) -> Jail:
        """Return a container of the image: read-only, with its user, and more files."""
        seen = [*base_files(), *shown]
        return Jail(self.root, shown=seen, hidden=base_packages(), user=USER)


def stages() -> list[Stage]:
    """Return the Dockerfile's stages as in a build with all arguments."""
    return read_stages(DOCKERFILE.read_text(), GIVEN)


def build(folder: Path) -> Image:
    """Execute the whole Dockerfile in a folder."""
    dependencies, builder, final = stages()
    assert (builder.base, final.name) == (dependencies.name, "")
    roots = {builder.name: folder / "builder", final.name: folder / "image"}
    shutil.copytree(kept(dependencies), roots[builder.name], symlinks=True)
    do_steps(builder, builder_jail(roots[builder.name]), roots)
    image = Image(roots[final.name], final)
    link_python(builder, image.root)
    do_steps(final, image.jail(), roots)
    return image


def kept(stage: Stage) -> Path:
    """Return the root folder of a stage without dependencies, which is built once."""
    digest = hashlib.sha256(f"{interpreter()} {sys.version} {stage}".encode())
    for step in stage.steps:
        if step.word == "COPY":
            for path, file in sorted(context_files(step.text).items()):
                digest.update(path.encode() + file.read_bytes())
    place = KEPT / digest.hexdigest()[:16]
    if not place.is_dir():
        shutil.rmtree(KEPT, ignore_errors=True)
        unfinished = KEPT / f"unfinished-{os.getpid()}"
        do_steps(stage, builder_jail(unfinished), {})
        unfinished.rename(place)
    return place


def builder_jail(root: Path) -> Jail:
    """Return a container like the builder's base: `python` on the PATH, and a shell."""
    for name in ("stand-in", "tmp", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    python = root / "stand-in/python"
    if not python.is_symlink():
        python.symlink_to(interpreter())
    cache = Path.home() / ".cache" / "pip"
    cache.mkdir(parents=True, exist_ok=True)
    places = [Path("/", name) for name in MACHINE]
    places += [Path(sys.base_prefix), Path.home()]
    seen = [(place, str(place)) for place in places if place.is_dir()]
    return Jail(root, shown=seen, shared=[(cache, str(cache))], writable=True)


def link_python(builder: Stage, root: Path) -> None:
    """Put this machine's Python where the image expects the base to have it."""
    place = root / builder.steps[-1].environment["PYTHON"].lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(interpreter())


def do_steps(stage: Stage, jail: Jail, roots: dict[str, Path]) -> None:
    """Execute each RUN and COPY; the other steps are for containers."""
    for step in stage.steps:
        if step.word == "RUN":
            run(step, jail)
        elif step.word == "COPY":
            copy(step, jail.root, roots)


def run(step: Step, jail: Jail) -> None:
    """Execute a RUN; as root it is the builder's, which may use the package index."""
    (jail.root / step.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
    environment = step.environment
    if not step.user:
        passed = {k: v for k, v in os.environ.items() if k.startswith(PASSED_ON)}
        path = {"PATH": "/stand-in:/usr/bin:/bin", "HOME": str(Path.home())}
        environment = {**passed, **path, **environment}
    jail.run(step.words or ["/bin/sh", "-c", step.text], environment, step.folder)


def copy(step: Step, root: Path, roots: dict[str, Path]) -> None:
    """Copy from the checkout as .dockerignore allows, or from another stage."""
    *sources, target = step.text.split()
    into = root / step.folder.lstrip("/") / target
    if target.startswith("/"):
        into = root / target.lstrip("/")
    if sources[0].startswith("--from="):
        _, _, stage = sources.pop(0).partition("=")
        for source in sources:
            shutil.copytree(roots[stage] / source.lstrip("/"), into, symlinks=True)
        return
    for source in sources:
        whole = (ROOT / source).is_dir()
        for path, file in context_files(source).items():
            place = into / (Path(path).relative_to(source) if whole else file.name)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)
