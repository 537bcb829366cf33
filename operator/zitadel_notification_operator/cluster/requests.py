"""Writes what a person asks of the operator: a pass, a suspension, its end.

The writes have a field manager of their own, and the person's own rights. They name the
object's uid, so that they never reach another object that has got its name.
"""

from typing import Any

from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.objects import OwnObject

from .calls import MERGE_PATCH, ApiClient, call, path_of
from .inspection import Stored, explain
from .names import REQUESTED_AT
from .resources import parse_answer

MANAGER = "znp"
"""The field manager of the command line."""


async def request_pass(api: ApiClient, one: OwnObject, token: str) -> Stored:
    """Ask the operator for a pass; return the stored object.

    Args:
        api: Makes the call.
        one: The object.
        token: Any text that the object has not had; the status will repeat it.

    Raises:
        ClusterError: The write was not accepted; the text says what to do.
    """
    return await _patch(api, one, {}, {REQUESTED_AT: token})


async def set_suspended(api: ApiClient, one: OwnObject, *, suspended: bool) -> Stored:
    """Write `spec.suspend`; return the stored object.

    Raises:
        ClusterError: The write was not accepted; the text says what to do.
    """
    return await _patch(api, one, {"spec": {"suspend": suspended}}, {})


async def _patch(
    api: ApiClient, one: OwnObject, change: dict[str, Any], annotations: dict[str, str]
) -> Stored:
    metadata: dict[str, Any] = {"uid": one.uid}
    if annotations:
        metadata["annotations"] = annotations
    try:
        body = await call(
            api,
            "PATCH",
            path_of(one.kind, *one.key),
            query={"fieldManager": MANAGER},
            body={"metadata": metadata, **change},
            content_type=MERGE_PATCH,
        )
    except ClusterError as error:
        await explain(api, error, "patch", one.kind, one.key)
    return Stored(body, parse_answer(one.kind, body))
