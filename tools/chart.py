"""Keeps what the chart derives from elsewhere: its CRDs, and the table in its README.

    python tools/chart.py [--check]

The CRDs of deploy/crds are copied into the chart, which has to hold all it needs when
it is packaged. The README's table is made of values.yaml: the keys with `# -- ` above
them, with that comment. A map is one row when it has such a comment itself, else each
of its keys is. `--check` writes nothing and fails where something is out of date.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
CRDS = ROOT / "deploy" / "crds"
CHART = ROOT / "deploy" / "helm" / "zitadel-notification-operator"
COPIES = CHART / "files" / "crds"
BEGIN = "<!-- Made of values.yaml by tools/chart.py: begin -->\n"
END = "<!-- Made of values.yaml by tools/chart.py: end -->\n"
COMMENT = re.compile(r"\s*# -- (?:\((?P<kind>\w+)\) )?(?P<text>.*)")
"""The first line of a comment; in brackets a type that the default does not tell."""
KINDS = {bool: "boolean", int: "integer", str: "string", list: "list", dict: "map"}


class Undocumented(Exception):
    """A value has no comment; the text says which."""


class Row(NamedTuple):
    """One value: its path with dots, its type, its default and what it means."""

    key: str
    kind: str
    default: Any
    text: str


def main() -> int:
    """Write or check; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    try:
        wanted = derive_files()
    except Undocumented as error:
        print(error, file=sys.stderr)
        return 1
    stale = [path for path, text in wanted.items() if read(path) != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is out of date", file=sys.stderr)
        elif (text := wanted[path]) is None:
            path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    if check and stale:
        print("Run: python tools/chart.py", file=sys.stderr)
    return int(check and bool(stale))


def derive_files() -> dict[Path, str | None]:
    """Return what each derived file must hold; None: it must not be there.

    Raises:
        Undocumented: A value has no comment.
    """
    copies: dict[Path, str | None] = dict.fromkeys(COPIES.glob("*"))
    copies |= {COPIES / path.name: path.read_text() for path in CRDS.glob("*.yaml")}
    readme = CHART / "README.md"
    head, _, rest = readme.read_text().partition(BEGIN)
    tail = rest.partition(END)[2]
    table = make_table((CHART / "values.yaml").read_text())
    return {**copies, readme: head + BEGIN + table + END + tail}


def read(path: Path) -> str | None:
    """Return a file's text; None: there is no such file."""
    return path.read_text() if path.is_file() else None


def make_table(values: str) -> str:
    """Return the Markdown table of a values.yaml."""
    lines = ["| Key | Type | Default | Meaning |", "|---|---|---|---|"]
    for row in find_rows(values):
        default = json.dumps(row.default, ensure_ascii=False).replace("|", r"\|")
        text = row.text.replace("|", r"\|")
        lines.append(f"| `{row.key}` | {row.kind} | `{default}` | {text} |")
    return "\n".join(lines) + "\n"


def find_rows(values: str) -> list[Row]:
    """Return the documented values in their order.

    Raises:
        Undocumented: One has no comment.
    """
    root = yaml.compose(values)
    return list(_walk(root, yaml.safe_load(values), values.splitlines(), ""))


def _walk(
    node: yaml.MappingNode, values: dict[str, Any], lines: list[str], prefix: str
) -> Iterator[Row]:
    for key_node, value_node in node.value:
        key = key_node.value
        value = values[key]
        line = key_node.start_mark.line
        comment = _comment_above(lines, line)
        if comment is not None:
            kind = comment["kind"] or KINDS.get(type(value))
            if kind is None:
                raise Undocumented(f"values.yaml:{line + 1}: say the type of {key}")
            yield Row(prefix + key, kind, value, comment["text"])
        elif isinstance(value, dict) and value:
            yield from _walk(value_node, value, lines, f"{prefix}{key}.")
        else:
            raise Undocumented(
                f"values.yaml:{line + 1}: {prefix}{key} needs a comment, `# -- …`"
            )


def _comment_above(lines: list[str], line: int) -> dict[str, str] | None:
    """Return type and text of the comment right above a line; None: there is none."""
    more: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        if found := COMMENT.fullmatch(lines[line]):
            text = " ".join([found["text"], *more])
            return {"kind": found["kind"] or "", "text": text}
        more.insert(0, lines[line].lstrip(" #"))
    return None


if __name__ == "__main__":
    sys.exit(main())
