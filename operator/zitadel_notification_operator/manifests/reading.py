"""Reads the objects of our kinds from manifests, as `-f FILE|DIR|-` names them."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, NamedTuple, TextIO

from zitadel_notification_operator.cluster.names import API_VERSION, GROUP
from zitadel_notification_operator.core.kinds import KINDS, Kind

from .checking import problems_of
from .errors import ManifestError
from .objects import Item, items_of
from .sources import texts_of

_KINDS = {kind.name: kind for kind in KINDS}

_OF_KUSTOMIZE = frozenset({"kustomization.yaml", "kustomization.yml"})
"""Files that are no manifests, and often have no kind."""


class Manifests(NamedTuple):
    """What was found in manifests.

    Attributes:
        objects: The kind and the JSON of each object of ours, in the order of the
            manifests. Kubernetes would accept each of them. The JSON is as written: it
            may have a status and a uid, as the output of `kubectl get` has them.
        skipped: How many documents and items are of other kinds.
        origins: Where each object is, for messages, in the same order.
    """

    objects: tuple[tuple[Kind, dict[str, Any]], ...]
    skipped: int
    origins: tuple[str, ...] = ()


def read_manifests(
    sources: Sequence[str], *, recursive: bool, stdin: TextIO
) -> Manifests:
    """Read the objects of our kinds from files, folders and standard input.

    Args:
        sources: Paths, and `-` for standard input. In a folder, files that end in
            .yaml, .yml or .json are read.
        recursive: Whether folders within folders are read, too.
        stdin: Standard input.

    Raises:
        ManifestError: Something cannot be read, or Kubernetes would refuse an object.
            The text names file, document, object and field of each problem.
    """
    found: list[tuple[Kind, dict[str, Any]]] = []
    origins: list[str] = []
    problems: list[str] = []
    skipped = 0
    for name, text in texts_of(sources, recursive=recursive, stdin=stdin):
        for item in items_of(text, name):
            try:
                kind = _kind_of(item, name)
            except ManifestError as error:
                problems += error.problems
                continue
            if kind is None:
                skipped += 1
                continue
            where = f"{item.where}, {kind} {item.title}"
            wrong = problems_of(kind, item.body)
            problems += [f"{where}: {problem}" for problem in wrong]
            found.append((kind, dict(item.body)))
            origins.append(where)
    if problems:
        raise ManifestError(*problems)
    return Manifests(tuple(found), skipped, tuple(origins))


def _kind_of(item: Item, name: str) -> Kind | None:
    """Return the kind of an object of ours, or None if it is of another group.

    Raises:
        ManifestError: It has no kind, or one of our group that this version lacks.
    """
    if not item.kind and PurePath(name).name in _OF_KUSTOMIZE:
        return None
    item.require_kind()
    if item.group != GROUP:
        return None
    if item.kind not in _KINDS or item.api_version != API_VERSION:
        raise ManifestError(
            f"{item.where}: znp does not know {item.kind} of {item.api_version}; it "
            f"knows {', '.join(_KINDS)} of {API_VERSION}"
        )
    return _KINDS[item.kind]
