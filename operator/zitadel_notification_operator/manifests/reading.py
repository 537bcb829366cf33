"""Reads the objects of our kinds from manifests, as `-f FILE|DIR|-` names them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple, TextIO

from zitadel_notification_operator.cluster.names import API_VERSION, GROUP
from zitadel_notification_operator.core.kinds import KINDS, Kind

from .checking import problems_of
from .documents import documents_in
from .errors import ManifestError
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


class _Item(NamedTuple):
    """An object of any kind, and where it is."""

    where: str
    body: Mapping[str, Any]


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
        for item in _items_of(text, name):
            try:
                kind = _kind_of(item, name)
            except ManifestError as error:
                problems += error.problems
                continue
            if kind is None:
                skipped += 1
                continue
            where = f"{item.where}, {kind} {_title_of(item.body)}"
            wrong = problems_of(kind, item.body)
            problems += [f"{where}: {problem}" for problem in wrong]
            found.append((kind, dict(item.body)))
            origins.append(where)
    if problems:
        raise ManifestError(*problems)
    return Manifests(tuple(found), skipped, tuple(origins))


def _items_of(text: str, name: str) -> Iterator[_Item]:
    for number, document in documents_in(text, name):
        where = f"{name}, document {number}"
        if not isinstance(document, Mapping):
            raise ManifestError(
                f"{where}: this is no manifest of Kubernetes, which would be an object "
                "with apiVersion, kind and metadata"
            )
        yield from _unpacked(_Item(where, document))


def _unpacked(item: _Item) -> Iterator[_Item]:
    """Yield an object, or the items of a list of objects."""
    kind, items = item.body.get("kind"), item.body.get("items")
    if not isinstance(kind, str) or not kind.endswith("List") or items is None:
        yield item
        return
    if not isinstance(items, list):
        raise ManifestError(f"{item.where}: items of a {kind} must be a list")
    known = _KINDS.get(kind.removesuffix("List"))
    common = {}
    if known is not None and _group_of(item.body) == GROUP:
        # The items of a list of one kind need not repeat it.
        common = {"apiVersion": item.body["apiVersion"], "kind": known.name}
    for number, one in enumerate(items, 1):
        where = f"{item.where}, item {number}"
        if not isinstance(one, Mapping):
            raise ManifestError(f"{where}: this is no object")
        yield from _unpacked(_Item(where, {**common, **one}))


def _kind_of(item: _Item, name: str) -> Kind | None:
    """Return the kind of an object of ours, or None if it is of another group.

    Raises:
        ManifestError: It has no kind, or one of our group that this version lacks.
    """
    version, kind = item.body.get("apiVersion"), item.body.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str):
        if PurePath(name).name in _OF_KUSTOMIZE:
            return None
        raise ManifestError(
            f"{item.where}: this is no manifest of Kubernetes: it has no apiVersion or "
            "no kind"
        )
    if _group_of(item.body) != GROUP:
        return None
    if kind not in _KINDS or version != API_VERSION:
        raise ManifestError(
            f"{item.where}: znp does not know {kind} of {version}; it knows "
            f"{', '.join(_KINDS)} of {API_VERSION}"
        )
    return _KINDS[kind]


def _group_of(body: Mapping[str, Any]) -> str:
    version = body.get("apiVersion")
    return version.partition("/")[0] if isinstance(version, str) else ""


def _title_of(body: Mapping[str, Any]) -> str:
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        return "without a name"
    parts = [metadata.get("namespace"), metadata.get("name")]
    texts = [part for part in parts if isinstance(part, str)]
    return "/".join(texts) or "without a name"
