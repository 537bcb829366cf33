"""Update the generated files of the chart: its CRDs and the table in its README.

    python tools/chart.py [--check]

The CRDs of deploy/crds are copied into the chart, because a packaged chart has to
contain everything that it needs. The table in the README is generated from values.yaml
and has a row for each key with a comment that begins with `# -- ` above it. A map with
such a comment is one row; without one, each of its keys needs its own. With `--check`
the script writes nothing, and fails if a file is out of date.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import generated_files
import yaml

ROOT = generated_files.ROOT
CRDS = ROOT / "deploy" / "crds"
CHART = ROOT / "deploy" / "helm" / "zitadel-notification-operator"
COPIES = CHART / "files" / "crds"
BEGIN = "<!-- Generated from values.yaml by tools/chart.py: begin -->\n"
END = "<!-- Generated from values.yaml by tools/chart.py: end -->\n"
COMMENT = re.compile(r"\s*# -- (?:\((?P<kind>\w+)\) )?(?P<text>.*)")
"""The first line of a comment; a type in brackets replaces that of the default."""
KINDS = {bool: "boolean", int: "integer", str: "string", list: "list", dict: "map"}


class Undocumented(generated_files.CannotGenerate):
    """A value has no comment, or its type is not known; the text says which value."""


class Row(NamedTuple):
    """One row of the table: a value's dotted path, type, default and meaning."""

    key: str
    kind: str
    default: Any
    text: str


def derive_files() -> dict[Path, str | None]:
    """Return the text that each generated file must have.

    Returns:
        The text by path, or None for a file that must not exist.

    Raises:
        Undocumented: A value has no comment or no type.
    """
    copies: dict[Path, str | None] = dict.fromkeys(COPIES.glob("*"))
    copies |= {COPIES / path.name: path.read_text() for path in CRDS.glob("*.yaml")}
    readme = CHART / "README.md"
    head, _, rest = readme.read_text().partition(BEGIN)
    tail = rest.partition(END)[2]
    table = make_table((CHART / "values.yaml").read_text())
    return {**copies, readme: head + BEGIN + table + END + tail}


def make_table(values: str) -> str:
    """Return the Markdown table for the text of a values.yaml.

    Raises:
        Undocumented: A value has no comment or no type.
    """
    lines = ["| Key | Type | Default | Meaning |", "|---|---|---|---|"]
    for row in find_rows(values):
        default = json.dumps(row.default, ensure_ascii=False).replace("|", r"\|")
        text = row.text.replace("|", r"\|")
        lines.append(f"| `{row.key}` | {row.kind} | `{default}` | {text} |")
    return "\n".join(lines) + "\n"


def find_rows(values: str) -> list[Row]:
    """Return the rows for the text of a values.yaml, in its order.

    Raises:
        Undocumented: A value has no comment or no type.
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
                raise Undocumented(f"values.yaml:{line + 1}: state the type of {key}")
            yield Row(prefix + key, kind, value, comment["text"])
        elif isinstance(value, dict) and value:
            yield from _walk(value_node, value, lines, f"{prefix}{key}.")
        else:
            raise Undocumented(
                f"values.yaml:{line + 1}: {prefix}{key} needs a comment, `# -- …`"
            )


def _comment_above(lines: list[str], line: int) -> dict[str, str] | None:
    """Return the type and text of the `# -- ` comment above a line, or None."""
    more: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        if found := COMMENT.fullmatch(lines[line]):
            text = " ".join([found["text"], *more])
            return {"kind": found["kind"] or "", "text": text}
        more.insert(0, lines[line].lstrip(" #"))
    return None


if __name__ == "__main__":
    sys.exit(generated_files.run(__doc__, derive_files))
