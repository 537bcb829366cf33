"""Parses the Dockerfile, and only the instructions that it uses.

A new instruction makes a test fail. Each step contains what it needs without a
container engine: variables, working directory, user.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = ROOT / "Dockerfile"
IGNORE = ROOT / ".dockerignore"
WORDS = (
    *("ARG", "FROM", "ENV", "WORKDIR", "RUN", "COPY", "LABEL"),
    *("USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"),
)


class UnknownInstruction(ValueError):
    """The Dockerfile contains an instruction that this parser does not know."""


@dataclass(frozen=True)
class Step:
    """A RUN, COPY, ENTRYPOINT or CMD, and the state at that point."""

    word: str
    text: str
    environment: Mapping[str, str]
    folder: str
    user: str

    @property
    def words(self) -> list[str]:
        """The words of the exec form; empty for the shell form."""
        if not self.text.startswith("["):
            return []
        return [str(word) for word in json.loads(self.text)]


@dataclass
class Stage:
    """One stage, and the state after its last instruction."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = ""
    stop_signal: str = ""

    def last(self, word: str) -> Step:
        """Return the last step of a kind."""
        return [step for step in self.steps if step.word == word][-1]


def instructions(text: str) -> list[tuple[str, str]]:
    """Return each instruction and its arguments, with joined lines, no comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = []
    for line in filter(str.strip, joined.splitlines()):
        word, rest = line.split(None, 1)
        if word not in WORDS:
            raise UnknownInstruction(word)
        found.append((word, rest))
    return found


def read_stages(text: str, given: Mapping[str, str]) -> list[Stage]:
    """Return the stages for these build arguments."""
    outer: dict[str, str] = {}
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for word, rest in instructions(text):
        if word == "ARG":
            name, _, default = rest.partition("=")
            known = outer if stages else {}
            value = given.get(name, default or known.get(name, ""))
            (arguments if stages else outer)[name] = value
        elif word == "FROM":
            base, _, name = expand(rest, outer).partition(" AS ")
            stages.append(begin(base, name, stages))
            arguments = {}
        else:
            apply(stages[-1], word, rest, arguments)
    return stages


def begin(base: str, name: str, before: list[Stage]) -> Stage:
    """Return a new stage; a stage that is based on another one has its variables."""
    stage = Stage(base, name)
    for other in before:
        if other.name == base:
            stage.environment = dict(other.environment)
            stage.folder, stage.user = other.folder, other.user
    return stage


def apply(stage: Stage, word: str, rest: str, arguments: Mapping[str, str]) -> None:
    """Change a stage by one instruction."""
    known = {**arguments, **stage.environment}
    if word in {"ENV", "LABEL"}:
        pairs = shlex.split(expand(rest, known))
        into = stage.environment if word == "ENV" else stage.labels
        into.update(dict(pair.split("=", 1) for pair in pairs))
    elif word == "WORKDIR":
        stage.folder = rest
    elif word == "USER":
        stage.user = rest
    elif word == "STOPSIGNAL":
        stage.stop_signal = rest
    elif word != "EXPOSE":
        text = expand(rest, known) if word == "COPY" else rest
        step = Step(word, text, known, stage.folder, stage.user)
        stage.steps.append(step)


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace variables by their values; unknown ones are empty, as with Docker."""
    return re.sub(r"\$\{(\w+)\}", lambda found: known.get(found[1], ""), text)


def context_files(paths: str) -> dict[str, Path]:
    """Return the files of a COPY's sources, by their paths in the context.

    This applies .dockerignore, in the form that this project has: everything is
    excluded, then some paths are included, then names are excluded wherever they are.
    """
    lines = [n for n in IGNORE.read_text().splitlines() if n and not n.startswith("#")]
    back = [line[1:] for line in lines if line.startswith("!")]
    never = [line[3:] for line in lines if line.startswith("**/")]
    if lines != [
        "*",
        *(f"!{path}" for path in back),
        *(f"**/{name}" for name in never),
    ]:
        raise UnknownInstruction(IGNORE.name)
    found: dict[str, Path] = {}
    for source in paths.split():
        top = ROOT / source
        for file in sorted(top.rglob("*")) if top.is_dir() else [top]:
            path = file.relative_to(ROOT)
            hidden = any(fnmatch(part, name) for part in path.parts for name in never)
            names = {str(path), *map(str, path.parents)}
            if file.is_file() and not hidden and names & set(back):
                found[str(path)] = file
    return found
