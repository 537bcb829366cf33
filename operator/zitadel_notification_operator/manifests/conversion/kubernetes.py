"""What the objects of other operators have in common."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from zitadel_notification_operator.manifests.documents import documents_in
from zitadel_notification_operator.manifests.errors import ManifestError
from zitadel_notification_operator.manifests.objects import Item, items_of

from .findings import Findings, map_at


class Foreign(NamedTuple):
    """An object of another operator.

    Attributes:
        origin: Its kind, group, namespace and name.
        name: Its name.
        spec: Its spec.
        status: Its status; empty if it has none.
    """

    origin: str
    name: str
    spec: dict[str, Any]
    status: dict[str, Any]


def foreign_items(text: str, name: str) -> Iterator[Item]:
    """Yield the objects of a text; a list may have none.

    Raises:
        ManifestError: The text has no document at all, or none of Kubernetes.
    """
    if next(documents_in(text, name), None) is None:
        raise ManifestError(
            f"{name} holds no object; kubectl get -o json prints a list even where "
            "there are none, so it may have failed"
        )
    for item in items_of(text, name):
        item.require_kind()
        yield item


def read_foreign(item: Item, findings: Findings) -> Foreign | None:
    """Return an object of another operator, or None if it must be left out.

    Raises:
        ManifestError: It is none that can be read.
    """
    origin = f"{item.kind}.{item.api_version} {item.title}"
    metadata = item.body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(metadata, Mapping) or not isinstance(name, str) or not name:
        raise ManifestError(f"{item.where}: a {item.kind} has no name")
    if metadata.get("deletionTimestamp") is not None:
        findings.warnings.append(f"{origin}: it is being deleted, and left out")
        return None
    spec = map_at(item.body, "spec", origin)
    return Foreign(origin, name, spec, map_at(item.body, "status", origin))


def one_of(
    candidates: Mapping[str, object], origin: str, findings: Findings, *, hint: str
) -> str | None:
    """Return the organization's id, which may be in several places.

    Args:
        candidates: What the places hold, by their names.
        origin: The object.
        findings: Where it is noted that the id is unknown.
        hint: What to do if no place holds one.
    """
    known = {
        place: value
        for place, value in candidates.items()
        if isinstance(value, str) and value
    }
    if len(set(known.values())) == 1:
        return next(iter(known.values()))
    problem = f"{' and '.join(known)} differ" if known else f"it has none; {hint}"
    findings.problems.append(f"{origin}: its organization is unknown: {problem}")
    return None
