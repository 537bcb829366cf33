"""Reads our Dockerfile: the few instructions that it uses, and no others.

Whoever adds another one finds a test that says so. What a step needs to be done without
a container engine stands with it: variables, working directory, user.
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
    """The Dockerfile holds something that this file does not know."""


@dataclass(frozen=True)
class Step:
    """A RUN, COPY, ENTRYPOINT or CMD, and what is set where it stands."""

    word: str
    text: str
    environment: Mapping[str, str]
    folder: str
    user: str

    @property
    def words(self) -> list[str]:
        """The words of the exec form; none where it is the shell's."""
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
    """Return word and rest of each instruction, lines joined and comments gone."""
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
    """Return the stages as they are with these build arguments."""
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
    """Return a new stage; one that stands on another has that one's variables."""
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
    """Put in values where names stand; the unknown are empty, as with Docker."""
    return re.sub(r"\$\{(\w+)\}", lambda found: known.get(found[1], ""), text)


def context_files(paths: str) -> dict[str, Path]:
    """Return what a COPY's sources bring: paths in the context, and the files.

    As .dockerignore wants it, of which this knows the form that ours has: all is left
    out, then some comes back, then names that are left out wherever they are.
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
