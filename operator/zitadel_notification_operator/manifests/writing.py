"""Writes manifests, one after the other: as YAML with comments, or as one JSON List."""

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import TextIO

from .manifest import Manifest
from .yaml_text import comment, yaml_of


class Format(StrEnum):
    """How manifests are written."""

    YAML = "yaml"
    JSON = "json"


def write_manifests(
    manifests: Iterable[Manifest],
    stream: TextIO,
    *,
    form: Format = Format.YAML,
    namespace: str = "",
    header: Iterable[str] = (),
) -> int:
    """Write manifests and return how many there were.

    Args:
        manifests: What is written, in this order. Not all of it is held in memory.
        stream: Where to.
        form: YAML has comments; JSON is one `kind: List`.
        namespace: `metadata.namespace` of all; empty to leave it out.
        header: Comments for the beginning of the output.
    """
    if form is Format.JSON:
        return _write_json(manifests, stream, namespace)
    stream.writelines(comment(line) for line in header)
    count = 0
    for manifest in manifests:
        stream.write("---\n")
        stream.writelines(comment(line) for line in manifest.comments)
        stream.write(yaml_of(manifest.body(namespace)))
        count += 1
    if not count:
        # An empty output would look as if the command had failed.
        stream.write(comment("There are no objects"))
    return count


def _write_json(manifests: Iterable[Manifest], stream: TextIO, namespace: str) -> int:
    stream.write('{\n "apiVersion": "v1",\n "kind": "List",\n "items": [')
    count = 0
    for manifest in manifests:
        stream.write(",\n" if count else "\n")
        stream.write(json.dumps(manifest.body(namespace)))
        count += 1
    stream.write("\n ]\n}\n" if count else "]\n}\n")
    return count
