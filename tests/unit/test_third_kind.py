"""A kind more costs one description: what all kinds share works for it as it is."""

from dataclasses import replace

import pytest

from support.engines import Harness
from support.replacing import instead_of
from support.third_kind import SET, SetObject, SetStatus, body_of, describe
from support.virtual_time import run
from zitadel_notification_operator.cluster.resources import parse
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.kinds import KINDS, ObjectKey
from zitadel_notification_operator.core.objects import Own, OwnStatus
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.leader.log_context import log_context_of
from zitadel_notification_operator.engine.queue.keys import key_of
from zitadel_notification_operator.telemetry import objects as object_metrics
from zitadel_notification_operator.telemetry.objects import ObjectMetrics

READY = Condition("Ready", "True", "Succeeded", "Done", 1, "2026-01-01T00:00:00Z")
ONE = SetObject(
    key=ObjectKey("own", "all"),
    uid="u",
    generation=1,
    created="2026-01-01T00:00:00Z",
    size=3,
    resource_version="7",
)
DONE = SetStatus(1, (READY,), policy_count=3)


def test_its_json_is_read_as_that_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Identity, spec and status; what is not understood is said."""
    describe(monkeypatch)
    body = body_of("all", uid="u", generation=1, resourceVersion="7")
    body["metadata"]["creationTimestamp"] = ONE.created
    body["status"] = {"policyCount": 3, "observedGeneration": 1}
    known = parse(SET, body)
    assert known == replace(ONE, status=SetStatus(1, policy_count=3))
    assert not hasattr(known, "__dict__")
    strange = parse(SET, {**body, "spec": {"size": "big"}})
    assert strange.not_understood.fields == {"size"}
    assert not strange.can_read("size")


def test_its_watch_events_and_echoes_are_told_apart() -> None:
    """News calls for a pass, and an echo of our own write for none."""

    async def story() -> None:
        harness = Harness()
        engine = await harness.start()
        assert harness.parts is not None
        queue, inventory = harness.parts.queue, harness.parts.inventory
        events, key = engine.watch_events, key_of(ONE)
        await harness.live(1)  # until the engine serves the instance that ONE needs
        events.seen(ONE)
        assert key in queue
        assert log_context_of(key, inventory) == (SET.name, "own", "all", 1)
        await harness.live(1)
        events.seen(replace(ONE, resource_version="8"))
        assert events.has(key, "u", "8")
        assert key not in queue

        async def write(about: Own, status: OwnStatus) -> Own:
            stored = replace(about, status=status, resource_version="9")
            events.seen(stored)
            return stored

        instead_of(harness.cluster.apply_status).call(write)
        await harness.parts.writes.report(ONE, DONE)
        assert key not in queue
        assert inventory.find(*key.of_object) == replace(ONE, status=DONE)
        events.seen(replace(ONE, size=4, resource_version="10"))
        assert key in queue
        events.gone(key, "u")
        events.seen(replace(ONE, size=5, resource_version="11"))
        assert inventory.find(*key.of_object) is None
        assert key not in queue
        await harness.stop()

    run(story())


def test_its_conditions_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own name as the kind."""
    inventory = Inventory("own")
    inventory.put(replace(ONE, status=DONE))
    monkeypatch.setattr(object_metrics, "KINDS", (*KINDS, SET))
    text = b"".join(ObjectMetrics(lambda: True, inventory).parts()).decode()
    labels = 'kind="MailTemplate",namespace="own",name="all"'
    assert f'{labels},type="Ready",status="True"}} 1' in text
