"""The objects within manifests of any kind, each with where it is."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .documents import documents_in
from .errors import ManifestError

_DEEPEST = 5
"""How deep lists of objects may be nested; kubectl never nests them."""


class Item(NamedTuple):
    """An object of any kind.

    Attributes:
        where: The file, the document, and the item of a list.
        body: Its JSON.
    """

    where: str
    body: Mapping[str, Any]

    @property
    def group(self) -> str:
        """The API group; empty if there is none."""
        return self.api_version.rpartition("/")[0]

    @property
    def api_version(self) -> str:
        """`apiVersion`; empty if there is none."""
        version = self.body.get("apiVersion")
        return version if isinstance(version, str) else ""

    @property
    def kind(self) -> str:
        """`kind`; empty if there is none."""
        kind = self.body.get("kind")
        return kind if isinstance(kind, str) else ""

    @property
    def title(self) -> str:
        """Namespace and name, for messages."""
        metadata = self.body.get("metadata")
        if not isinstance(metadata, Mapping):
            return "without a name"
        parts = [metadata.get("namespace"), metadata.get("name")]
        return "/".join(part for part in parts if isinstance(part, str) and part) or (
            "without a name"
        )

    def require_kind(self) -> None:
        """Require that the object says what it is.

        Raises:
            ManifestError: It has no apiVersion or no kind.
        """
        if not self.api_version or not self.kind:
            raise ManifestError(
                f"{self.where}: this is no manifest of Kubernetes: it has no "
                "apiVersion or no kind"
            )


def items_of(text: str, name: str) -> Iterator[Item]:
    """Yield the objects of a text, also those within lists of objects.

    Args:
        text: YAML or JSON.
        name: The name of the file, for messages.

    Raises:
        ManifestError: Something is no object of Kubernetes.
    """
    for number, document in documents_in(text, name):
        where = f"{name}, document {number}"
        if not isinstance(document, Mapping):
            raise ManifestError(
                f"{where}: this is no manifest of Kubernetes, which would be an object "
                "with apiVersion, kind and metadata"
            )
        yield from _unpacked(Item(where, document))


def _unpacked(item: Item, depth: int = 0) -> Iterator[Item]:
    """Yield an object, or the items of a list of objects."""
    if depth > _DEEPEST:
        raise ManifestError(f"{item.where}: lists are nested too deeply")
    items = item.body.get("items")
    if not item.kind.endswith("List") or items is None:
        yield item
        return
    if not isinstance(items, list):
        raise ManifestError(f"{item.where}: items of a {item.kind} must be a list")
    common = {}
    if item.group:
        # The items of a list of one kind need not repeat it.
        kind = item.kind.removesuffix("List")
        common = {"apiVersion": item.api_version, "kind": kind}
    for number, one in enumerate(items, 1):
        where = f"{item.where}, item {number}"
        if not isinstance(one, Mapping):
            raise ManifestError(f"{where}: this is no object")
        yield from _unpacked(Item(where, {**common, **one}), depth + 1)
