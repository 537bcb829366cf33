"""Properties of the Dockerfile's text: bases, user, labels, packages."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from image.building import GIVEN, USER, stages
from image.dockerfile import (
    DOCKERFILE,
    ROOT,
    UnknownInstruction,
    context_files,
    instructions,
    read_stages,
)

TEXT = DOCKERFILE.read_text()
UV = str(Path(sys.executable).with_name("uv"))
OPENCONTAINERS = "org.opencontainers.image."


def test_a_base_comes_by_digest_or_the_build_ends_with_words() -> None:
    """The defaults are no digests; the engine's error shows what to give."""
    bases = [rest for word, rest in instructions(TEXT) if word == "FROM"]
    outer = [f for f in bases if not f.startswith("dependencies ")]
    assert len(outer) == 2
    assert all(re.match(r"\$\{(\w+)_IMAGE\}@\$\{\1_DIGEST\}( |$)", f) for f in outer)
    for stage, name in zip(
        read_stages(TEXT, {})[::2], ("BUILDER", "BASE"), strict=True
    ):
        assert stage.base.endswith(
            f"@sha256:MISSING-give-it-as-build-arg-{name}_DIGEST"
        )
    assert stages()[0].base.endswith(f"@{GIVEN['BUILDER_DIGEST']}")
    assert stages()[2].base.endswith(f"@{GIVEN['BASE_DIGEST']}")
    assert "latest" not in TEXT


def test_the_user_is_a_number_and_no_shell_is_needed() -> None:
    """So Kubernetes can verify that 65532 is not root."""
    final = stages()[-1]
    assert final.user == f"{USER}:{USER}"
    assert final.last("ENTRYPOINT").words == ["/app/bin/znp"]
    assert final.last("CMD").words == ["run"]
    assert final.stop_signal == "SIGTERM"
    runs = [step for step in final.steps if step.word == "RUN"]
    assert runs
    assert all(step.words and step.user == final.user for step in runs)


def test_nothing_but_the_builders_result_is_copied() -> None:
    """The last stage has no pip, no wheel and no source tree."""
    copies = [step.text for step in stages()[-1].steps if step.word == "COPY"]
    assert copies == ["--from=builder /app /app"]


def test_every_package_is_proved_by_its_hash() -> None:
    """Packages from an index have hashes; the project itself uses no index."""
    runs = [step.text for stage in stages() for step in stage.steps]
    installs = [text for text in runs if "pip install" in text]
    assert len(installs) == 3
    for text in installs:
        hashed = "--require-hashes --only-binary=:all:" in text
        assert hashed == ("-r requirements/" in text)
        assert hashed != ("--no-deps --no-index" in text)


def test_all_labels_are_there_and_full() -> None:
    """Scanners, registries and people use them."""
    labels = {k.removeprefix(OPENCONTAINERS): v for k, v in stages()[-1].labels.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels == {
        "title": project["name"],
        "description": project["description"].replace(
            "A Kubernetes operator that k", "K"
        )
        + " in Kubernetes",
        "licenses": project["license"],
        "vendor": project["name"],
        "version": project["version"],
        "revision": GIVEN["REVISION"],
        "created": GIVEN["CREATED"],
        "source": GIVEN["SOURCE"],
        "url": GIVEN["SOURCE"],
        "documentation": GIVEN["SOURCE"],
        "base.name": "python:3.13-slim-trixie",
        "base.digest": GIVEN["BASE_DIGEST"],
    }


def test_the_context_is_what_is_copied() -> None:
    """A Secret, a virtual environment or .git is never sent."""
    copied: set[str] = set()
    for step in (step for stage in stages()[:-1] for step in stage.steps):
        if step.word == "COPY":
            *sources, _ = step.text.split()
            files = context_files(" ".join(sources))
            assert all(any(f.startswith(s) for f in files) for s in sources), step.text
            copied |= set(files)
    assert copied == set(context_files(" ".join(p.name for p in ROOT.iterdir())))
    assert not any("__pycache__" in path for path in copied)
    assert context_files("Makefile .git") == {}


def test_an_unknown_instruction_is_reported() -> None:
    """ADD or HEALTHCHECK would need support in these tests."""
    with pytest.raises(UnknownInstruction, match="ADD"):
        read_stages("ADD x /x", {})


@pytest.mark.timeout(300)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_all_pins_have_wheels_for_both_machines(machine: str, tmp_path: Path) -> None:
    """This is for the image's Python, because the builder has no compiler."""
    (base,) = re.findall(r"BUILDER_IMAGE=python:([\d.]+)-", TEXT)
    command = [UV, "pip", "install", "--dry-run", "--target", str(tmp_path)]
    command += ["--require-hashes", "--only-binary=:all:", "--python-version", base]
    command += ["--python-platform", f"{machine}-manylinux_2_28"]
    for name in ("run.txt", "build.txt"):
        pins = ROOT / "requirements" / name
        done = subprocess.run(
            [*command, "-r", str(pins)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        wanted = re.findall(r"^([\w.-]+==[\w.]+) \\$", pins.read_text(), re.MULTILINE)
        assert wanted
        assert set(wanted) <= set(re.findall(r"\+ (\S+)", done.stderr))
