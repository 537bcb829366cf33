"""A table of objects with totals, as text and as JSON; pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from zitadel_notification_operator.core.conditions import IN_SYNC, READY, find
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.core.text import one_line

from .ages import age_of
from .judgement import is_current, is_ready, is_suspended, title
from .ladder import FORMAT_VERSION, NotShown

NOTHING = "-"
"""What an empty cell shows."""


def table_json(
    objects: Sequence[OwnObject], not_shown: Sequence[NotShown]
) -> dict[str, Any]:
    """Return the JSON of a table (docs/reference/schemas/status.json)."""
    return {
        "formatVersion": FORMAT_VERSION,
        "objects": [_row_json(one) for one in objects],
        "totals": totals(objects),
        "notShown": [{"part": one.part, "why": one.why} for one in not_shown],
    }


def table_text(objects: Sequence[OwnObject], now: datetime, *, namespaces: bool) -> str:
    """Return the table and, as its last line, the totals.

    Args:
        objects: The objects.
        now: The present time, for ages.
        namespaces: Whether the first column shows the namespaces.
    """
    heads = ["NAME", "READY", "REASON", "INSYNC", "IN FORCE", "NOTE", "AGE"]
    rows = [_cells(one, now) for one in objects]
    if namespaces:
        heads.insert(0, "NAMESPACE")
        for one, row in zip(objects, rows, strict=True):
            row.insert(0, one.key.namespace)
    lines = _aligned([heads, *rows]) if rows else []
    return "\n".join([*lines, totals_text(objects)])


def totals(objects: Sequence[OwnObject]) -> dict[str, int]:
    """Return how many objects there are, and in which state."""
    ready = sum(map(is_ready, objects))
    return {
        "objects": len(objects),
        "ready": ready,
        "notReady": len(objects) - ready,
        "suspended": sum(map(is_suspended, objects)),
        "deleting": sum(one.deleting for one in objects),
    }


def totals_text(objects: Sequence[OwnObject]) -> str:
    """Return the totals as a sentence."""
    if not objects:
        return "There are no objects."
    found = totals(objects)
    noun = "object" if found["objects"] == 1 else "objects"
    more = [
        f"{found[key]} {words}"
        for key, words in (("suspended", "suspended"), ("deleting", "being deleted"))
        if found[key]
    ]
    counts = [f"{found['ready']} Ready", f"{found['notReady']} not Ready", *more]
    return f"{found['objects']} {noun}: {', '.join(counts)}."


def _row_json(one: OwnObject) -> dict[str, Any]:
    ready = find(one.status.conditions, READY)
    sync = find(one.status.conditions, IN_SYNC)
    status = one.status if isinstance(one, PolicyObject) else PolicyStatus()
    return {
        "kind": one.kind.name,
        "namespace": one.key.namespace,
        "name": one.name,
        "ready": is_ready(one),
        "current": is_current(one),
        "reason": ready.reason if ready else "",
        "message": ready.message if ready else "",
        "inSync": sync.status if sync else "",
        "organizationId": status.organization_id,
        "isDefault": status.is_default,
        "settings": status.settings.by_name(),
        "suspended": is_suspended(one),
        "deleting": one.deleting,
        "createdAt": one.created,
    }


def _cells(one: OwnObject, now: datetime) -> list[str]:
    ready = find(one.status.conditions, READY)
    sync = find(one.status.conditions, IN_SYNC)
    return [
        title(one),
        ready.status if ready else NOTHING,
        ready.reason if ready else NOTHING,
        sync.status if sync else NOTHING,
        _in_force(one) or NOTHING,
        _note(one) or NOTHING,
        age_of(one.created, now),
    ]


def _in_force(one: OwnObject) -> str:
    if isinstance(one, PolicyObject):
        inherits = one.status.is_default and one.scope is Scope.ORGANIZATION
        inherited = ", inherited" if inherits else ""
        return one.status.settings.describe() + inherited
    if isinstance(one, SetObject):
        counts = one.status.organizations
        return f"{counts.ready}/{counts.matched} ready" if counts else ""
    if isinstance(one, InstanceObject):
        return one.status.version or ""
    return ""


def _note(one: OwnObject) -> str:
    notes = (
        ("suspended", is_suspended(one)),
        ("being deleted", one.deleting),
        ("spec not reported yet", not is_current(one)),
    )
    return ", ".join(words for words, holds in notes if holds)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    clean = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return [
        "   ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in clean
    ]
