"""What `znp status` makes of objects: verdicts, mends, claims, text and totals."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from zitadel_notification_operator.cli.objects.change_rules import gitops_writer
from zitadel_notification_operator.cli.objects.judgement import (
    is_ready,
    mends,
    why_not_ready,
)
from zitadel_notification_operator.cli.objects.ladder import InZitadel, Ladder, NotShown
from zitadel_notification_operator.cli.objects.ladder_text import to_text
from zitadel_notification_operator.cli.objects.objects_table import table_text, totals
from zitadel_notification_operator.cluster.inspection import SeenEvent, Stored
from zitadel_notification_operator.cluster.resources import parse
from zitadel_notification_operator.core.events import EventId, EventKind, ZitadelEvent
from zitadel_notification_operator.core.kinds import INSTANCE, POLICY, SET, Kind
from zitadel_notification_operator.core.mends import MENDS, UNKNOWN, UNSEEN
from zitadel_notification_operator.core.other_claims import rank, target_of
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.settings import Settings

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ON = Settings.of({"passwordChange": True})


def condition(
    kind: str, status: str, reason: str, generation: int = 1, message: str = "because"
) -> dict[str, Any]:
    """Return the JSON of a condition."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": "2026-01-01T11:00:00Z",
    }


READY = condition("Ready", "True", "Succeeded")


def stored(
    *conditions: dict[str, Any],
    name: str = "acme",
    made_by: str = "",
    created: str = "2026-01-01T10:00:00Z",
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> Stored:
    """Return a policy."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "team",
        "uid": f"uid-{name}",
        "generation": 1,
        "creationTimestamp": created,
    }
    if made_by:
        owner = {
            "apiVersion": "zitadel-notification.dev/v1alpha1",
            "kind": "NotificationPolicySet",
            "name": made_by,
            "uid": f"uid-{made_by}",
            "controller": True,
        }
        metadata["ownerReferences"] = [owner]
    whole = {
        "scope": "Organization",
        "organization": {"id": "1"},
        "passwordChange": True,
        **spec,
    }
    return of(
        POLICY,
        metadata,
        whole,
        {"observedGeneration": 1, "conditions": list(conditions), **(status or {})},
    )


def of(
    kind: Kind, metadata: dict[str, Any], spec: dict[str, Any], status: dict[str, Any]
) -> Stored:
    """Return an object of any kind."""
    body = {"kind": kind.name, "metadata": metadata, "spec": spec, "status": status}
    return Stored(body, parse(kind, body))


@pytest.mark.parametrize(
    ("one", "ready", "why"),
    [
        (stored(READY), True, ""),
        (stored(), False, "no operator has reported about it"),
        (
            stored(condition("Ready", "False", "Conflict")),
            False,
            "Conflict: because",
        ),
        (
            stored(READY, status={"observedGeneration": 0}),
            False,
            "the operator has not reported about the newest spec",
        ),
        (
            stored(condition("Ready", "True", "Succeeded", 0)),
            False,
            "the operator has not reported about the newest spec",
        ),
        (stored(condition("Ready", "True", "Succeeded", 0), suspend=True), True, ""),
    ],
)
def test_ready_for_the_newest_spec(one: Stored, ready: bool, why: str) -> None:
    """What kubectl wait would say, and why."""
    assert is_ready(one.record) is ready
    assert not why or why_not_ready(one.record) == why


@pytest.mark.parametrize(
    ("conditions", "spec", "expected"),
    [
        ([READY], {}, {}),
        ([], {}, {"": UNSEEN}),
        ([READY], {"suspend": True}, {"Suspended": MENDS[Reason.SUSPENDED]}),
        (
            [
                condition("Stalled", "True", "ProgressDeadlineExceeded"),
                condition("Ready", "False", "ServerError"),
                condition("InSync", "Unknown", "NotObserved"),
            ],
            {},
            {
                "ProgressDeadlineExceeded": MENDS[Reason.PROGRESS_DEADLINE_EXCEEDED],
                "ServerError": MENDS[Reason.SERVER_ERROR],
            },
        ),
        (
            [
                condition("Ready", "True", "Overridden"),
                condition("InSync", "False", "Drifted"),
            ],
            {},
            {"Overridden": MENDS[Reason.OVERRIDDEN]},
        ),
        (
            [READY, condition("InSync", "Unknown", "NotObserved")],
            {},
            {"NotObserved": MENDS[Reason.NOT_OBSERVED]},
        ),
        (
            [condition("Ready", "False", "OfTheFuture")],
            {},
            {"OfTheFuture": UNKNOWN},
        ),
    ],
)
def test_mends(
    conditions: list[dict[str, Any]], spec: dict[str, Any], expected: dict[str, str]
) -> None:
    """Each reason once, and none that only follows from Ready's."""
    assert mends(stored(*conditions, **spec).record) == expected


def test_the_order_of_claims() -> None:
    """Plain policies go before those of sets, whose own age counts; Observe is none."""
    policies = [
        stored(READY, name="of-new", made_by="new", created="2026-01-01T01:00:00Z"),
        stored(READY, name="of-old", made_by="old", created="2026-01-01T02:00:00Z"),
        stored(READY, name="plain", created="2026-01-01T03:00:00Z"),
        stored(READY, name="looks", managementPolicy="Observe"),
        stored(condition("Ready", "False", "NotGranted"), name="refused"),
    ]
    created = {"uid-new": "2026-01-01T00:30:00Z", "uid-old": "2026-01-01T00:20:00Z"}
    ranked = rank([one.record for one in policies], created)
    assert [(one.policy.name, one.owns) for one in ranked] == [
        ("plain", True),
        ("of-old", False),
        ("of-new", False),
    ]


def test_targets_are_zitadels_own() -> None:
    """Two instances that reach one ZITADEL share them; a name waits for its id."""
    one = stored(READY, instanceRef={"name": "a"}).record
    same = stored(READY, instanceRef={"name": "b"}).record
    ids = {"a": "z", "b": "z"}
    assert target_of(one, ids) == target_of(same, ids)
    assert target_of(one, {}) != target_of(same, {})
    by_name = stored(READY, organization={"name": "ACME"})
    assert target_of(by_name.record, ids) is None
    resolved = stored(
        READY, organization={"name": "ACME"}, status={"organizationId": "1"}
    )
    ids["default"] = "z"
    assert target_of(resolved.record, ids) == target_of(one, ids)


def test_text_cannot_forge_lines() -> None:
    """Whatever others have written stays on one line."""
    evil = "x\nconditions  Ready True\x1b[2J"
    status = {
        "organizationId": "1",
        "organizationName": evil,
        "passwordChange": True,
        "isDefault": False,
    }
    one = stored(condition("Ready", "False", "Conflict", message=evil), status=status)
    event = SeenEvent("2026-01-01T11:59:00Z", "Normal", "Updated", evil, 3)
    text = to_text(
        Ladder(
            stored=one,
            events=(event,),
            not_shown=(NotShown("zitadel", evil),),
        ),
        NOW,
    )
    assert "\x1b" not in text
    starts = [line[:12].strip() for line in text.splitlines()[2:]]
    assert starts.count("conditions") == 1
    assert "60s ago Normal Updated (3 times): x" in text


def test_zitadel_without_its_events() -> None:
    """The value is shown, and why nobody is named."""
    observed = ObservedPolicy(is_default=True, settings=ON, sequence="7")
    ladder = Ladder(
        stored=stored(READY),
        in_zitadel=InZitadel(observed, None, as_declared=False),
        not_shown=(NotShown("lastChange", "no right"),),
    )
    text = to_text(ladder, NOW)
    assert "zitadel     inherited policy: passwordChange true, not as declared" in text
    assert "who changed it last is not shown: no right" in text
    assert "\nnot shown" not in text
    event = ZitadelEvent(EventId("1", 7), EventKind.ORGANIZATION_POLICY, "today")
    found = replace(ladder, in_zitadel=InZitadel(observed, event))
    assert "last change today by ZITADEL itself" in to_text(found, NOW)
    nothing = replace(ladder, in_zitadel=InZitadel(None))
    assert "zitadel     the instance has no policy" in to_text(nothing, NOW)


def test_a_set_and_an_instance() -> None:
    """What waits for an approval, what failed, and what the credential may."""
    metadata = {
        "name": "all",
        "namespace": "team",
        "uid": "u",
        "generation": 2,
        "creationTimestamp": "2026-01-01T10:00:00Z",
    }
    numbers = dict.fromkeys(("ready", "overridden", "pending", "drifted"), 0)
    failure = {
        "organizationId": "9",
        "organizationName": "Nine",
        "policy": "all-9",
        "reason": "Conflict",
        "message": "m",
    }
    one = of(
        SET,
        metadata,
        {
            "organizations": {"all": True, "exclude": [{"name": "x-*", "domain": "d"}]},
            "passwordChange": False,
        },
        {
            "observedGeneration": 1,
            "organizations": {"matched": 1, "failed": 1, "removing": 3, **numbers},
            "failures": [failure],
            "removal": {"count": 3, "digest": "abc"},
        },
    )
    text = to_text(Ladder(stored=one), NOW)
    assert "for all organizations except name x-* and domain d of zni/default" in text
    assert "the operator has not reported about this spec yet" in text
    assert "3 removals wait for the approval abc" in text
    assert "failed: znp/all-9 (Nine) Conflict: m" in text
    del metadata["namespace"]
    spec = {
        "url": "https://zitadel.example.com",
        "credentials": {"personalAccessToken": {"secretRef": {"name": "s"}}},
    }
    status = {
        "instanceId": "5",
        "user": {"id": "6", "name": "svc"},
        "capabilities": {
            "readEvents": True,
            "writeInstancePolicy": False,
            "listOrganizations": True,
        },
        "credentialExpiresAt": "2026-06-01T00:00:00Z",
        "driftDetection": {"method": "Poll", "reason": "EventsNotPermitted: no right"},
    }
    text = to_text(Ladder(stored=of(INSTANCE, metadata, spec, status)), NOW)
    assert "as user svc (6); may read events, may not write the instance's" in text
    assert "the credential ends 2026-06-01T00:00:00Z" in text
    assert "drift is looked for by Poll (EventsNotPermitted: no right)" in text


def test_an_object_that_is_not_understood() -> None:
    """The field is named, and its value never shown."""
    one = stored(condition("Ready", "False", "SpecNotUnderstood"), scope="Galaxy")
    text = to_text(Ladder(stored=one), NOW)
    assert "spec        not understood: " in text
    assert "scope" in text
    assert "Galaxy" not in text


def test_the_table() -> None:
    """Columns are as wide as they must be; totals count each object once."""
    objects = [
        stored(READY, status={"passwordChange": True, "isDefault": True}).record,
        stored(condition("Ready", "False", "Conflict"), name="b", suspend=True).record,
        stored(name="c", status={"observedGeneration": 0}).record,
    ]
    text = table_text(objects, NOW, namespaces=True)
    head, first, second, third, total = text.splitlines()
    assert head.split("  ")[0] == "NAMESPACE"
    assert "passwordChange true, inherited" in first
    assert "suspended" in second
    assert "spec not reported yet" in third
    assert total == "3 objects: 1 Ready, 2 not Ready, 1 suspended."
    assert totals(objects)["notReady"] == 2
    assert table_text([], NOW, namespaces=False) == "There are no objects."


def test_which_tool_keeps_a_spec() -> None:
    """Only a manager of the spec counts, not one of labels or the status."""
    spec: dict[str, Any] = {"f:spec": {}}
    for manager, fields, tool in (
        ("argocd-controller", spec, "Argo CD"),
        ("helm-controller", spec, "Flux"),
        ("kubectl", spec, ""),
        ("kustomize-controller", {"f:metadata": {}}, ""),
    ):
        entry: dict[str, Any] = {"manager": manager, "fieldsV1": fields}
        assert gitops_writer({"metadata": {"managedFields": [entry]}}) == tool
    assert gitops_writer({"metadata": {}}) == ""
