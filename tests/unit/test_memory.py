"""What a quiet policy costs in memory: its record, and nothing at kopf."""

import asyncio
import gc
import inspect
import json
import tracemalloc
from collections.abc import Callable
from typing import Any
from uuid import UUID

import kopf
import pytest

from support.engines import INSTANCE
from zitadel_notification_operator.cluster.resources import parse
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.kinds import POLICY
from zitadel_notification_operator.core.sharing import (
    shared_conditions,
    shared_text,
    shared_texts,
)
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.handlers import NoMemories

KOPFS: Any = NoMemories.__base__
"""kopf's own class, which keeps a memory of each object."""

COUNT = 5000
MOST = 2400
"""Bytes that a policy may take, whose texts nearly all differ from those of others; it
was 3770 before texts were shared."""

FIRST = 280_000_000_000_000_101
ZITADEL = "280000000000000001"


def stored(number: int) -> dict[str, Any]:
    """Return a policy as the API server delivers it; no two became Ready at once."""
    organization, uid = str(FIRST + number), str(UUID(int=number))
    when = f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    exact = when.replace("Z", ".123456Z")
    original = {
        "isDefault": True,
        "passwordChange": False,
        "instanceId": ZITADEL,
        "organizationId": organization,
        "uid": uid,
    }
    text = json.dumps(original, sort_keys=True, separators=(",", ":"))
    return {
        "metadata": {
            "name": f"p-{organization}",
            "namespace": "own",
            "uid": uid,
            "generation": 1,
            "creationTimestamp": when,
            "resourceVersion": str(number + 1000),
            "finalizers": ["zitadel-notification.dev/cleanup"],
            "annotations": {"zitadel-notification.dev/original": text},
        },
        "spec": {
            "scope": "Organization",
            "instanceRef": {"name": "default"},
            "organization": {"id": organization},
            "passwordChange": True,
            "managementPolicy": "Manage",
            "suspend": False,
        },
        "status": {
            "observedGeneration": 1,
            "conditions": [
                {
                    "type": kind,
                    "status": "True",
                    "reason": reason,
                    "message": "passwordChange is true, as declared",
                    "observedGeneration": 1,
                    "lastTransitionTime": when,
                }
                for kind, reason in (("Ready", "Succeeded"), ("InSync", "InSync"))
            ],
            "organizationId": organization,
            "organizationName": f"Organization {number}",
            "isDefault": False,
            "passwordChange": True,
            "sequence": str(number),
            "creationDate": exact,
            "changeDate": exact,
            "resourceOwner": organization,
            "original": {"isDefault": True, "passwordChange": False},
        },
    }


def test_a_policy_takes_little_memory() -> None:
    """Its record and its places in the inventory, with all texts of its own."""
    texts = [json.dumps(stored(number)) for number in range(COUNT)]
    inventory = Inventory("own")
    inventory.put(INSTANCE)
    inventory.identified("default", ZITADEL)
    parse(POLICY, json.loads(texts[0]))  # makes the models, which are kept
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for text in texts:
            inventory.put(parse(POLICY, json.loads(text)))
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(inventory.policies) == COUNT
    assert (after - before) / COUNT < MOST


def test_equal_texts_of_an_object_and_of_its_neighbors_are_one() -> None:
    first, second = (parse(POLICY, json.loads(json.dumps(stored(n)))) for n in (1, 2))
    assert first.finalizers is second.finalizers
    assert first.instance is second.instance
    assert first.key.namespace is second.key.namespace
    assert first.status.original is second.status.original
    for one, other in zip(
        first.status.conditions, second.status.conditions, strict=True
    ):
        assert one.message is other.message
        assert one.reason is other.reason
        assert one.last_transition_time is first.created
    organization = first.status.organization_id
    assert first.status.resource_owner is organization
    assert first.organization.value is organization
    assert first.original.target.organization_id is organization
    assert first.original.uid is first.uid
    assert first.status.change_date is first.status.creation_date
    assert second.status.organization_id == str(FIRST + 2)


def test_policies_that_became_ready_in_one_second_share_their_conditions() -> None:
    bodies = [stored(n) for n in (1, 2)]
    bodies[1]["status"]["conditions"] = json.loads(
        json.dumps(bodies[0]["status"]["conditions"])
    )
    first, second = (parse(POLICY, body) for body in bodies)
    assert first.status.conditions is second.status.conditions


@pytest.mark.parametrize(
    ("share", "make"),
    [
        (shared_text, lambda n: "text " * n),
        (shared_texts, lambda n: ("a " * n, "b")),
        (
            shared_conditions,
            lambda n: (Condition("Ready", "True", "R", "m " * n, n, "2026"),),
        ),
    ],
)
def test_what_is_shared_is_equal(
    share: Callable[[Any], Any], make: Callable[[int], Any]
) -> None:
    """The cache is bounded, and what has left it is still equal."""
    first = share(make(3))
    assert first == make(3)
    assert share(make(3)) is first
    for number in range(4, 6000):
        assert share(make(number % 50 + 4)) == make(number % 50 + 4)
        share(f"other {number}" if share is shared_text else (make(1)[0],) * 2)
    assert share(make(3)) == first


def test_kopf_keeps_nothing_of_an_object() -> None:
    """Each event gets a memory, as kopf wants it, that nobody else will find."""

    async def recall_many(memories: Any) -> int:
        for number in range(100):
            body: Any = {"metadata": {"uid": f"u{number % 50}"}}
            found = await memories.recall(body, noticed_by_listing=True, memobase=None)
            assert found.noticed_by_listing
            assert found.daemons_memory.live_fresh_body is None
            await memories.forget(body) if number == 99 else None
        return len(list(memories.iter_all_memories()))

    assert asyncio.run(recall_many(KOPFS())) == 49
    assert asyncio.run(recall_many(NoMemories())) == 0


def test_kopf_is_as_our_class_of_memories_expects_it() -> None:
    """The class is private to kopf: this fails when another version changes it."""
    recall = inspect.signature(KOPFS.recall)
    assert list(recall.parameters) == [
        *("self", "raw_body"),
        *("memobase", "noticed_by_listing", "ephemeral"),
    ]
    assert recall.parameters["ephemeral"].default is False
    taken = inspect.signature(kopf.spawn_tasks).parameters["memories"].annotation
    assert taken == KOPFS | None
