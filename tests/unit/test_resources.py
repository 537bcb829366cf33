"""JSON of the API to records and back: nothing is lost or guessed."""

from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.parsing import parse_instance, parse_policy
from support.settings import mails
from zitadel_notification_operator.cluster.records import to_json
from zitadel_notification_operator.cluster.resources import UnusableObject, parse_answer
from zitadel_notification_operator.core import kinds
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.conditions import OWN_TYPES, Condition
from zitadel_notification_operator.core.credentials import (
    CaRef,
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.identity import Capabilities, User
from zitadel_notification_operator.core.instance_object import InstanceStatus, RateLimit
from zitadel_notification_operator.core.original import Original, OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.core.policy_object import Drift, PolicyStatus
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.report import is_ready_and_current
from zitadel_notification_operator.core.serving import ServedBy

POLICY = {
    "kind": "NotificationPolicy",
    "metadata": {
        "name": "acme",
        "namespace": "team-a",
        "uid": "u-1",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "resourceVersion": "17",
    },
    "spec": {
        "scope": "Organization",
        "organization": {"id": "42"},
        "passwordChange": True,
    },
}
INSTANCE = {
    "kind": "ZitadelInstance",
    "metadata": {"name": "default", "uid": "u-2", "generation": 1},
    "spec": {
        "url": "https://z.example",
        "credentials": {"personalAccessToken": {"secretRef": {"name": "pat"}}},
    },
}
REMOVED = object()

texts = st.text(max_size=20)
values = (st.none() | st.booleans()).map(mails)
originals = st.builds(OriginalValue, st.booleans(), values)
counts = st.integers(0, 2**53 - 1)
times = st.datetimes(datetime(2000, 1, 1)).map(lambda t: f"{t:%Y-%m-%dT%H:%M:%SZ}")  # noqa: DTZ001 - Z is added
conditions = st.lists(
    st.builds(
        Condition,
        st.sampled_from(sorted(OWN_TYPES)),
        st.sampled_from(["True", "False", "Unknown"]),
        *(texts, texts, counts, times),
    ),
    max_size=4,
    unique_by=lambda condition: condition.type,
).map(tuple)


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with one field set, or removed."""
    name, _, rest = path.partition(".")
    if rest:
        return {**body, name: changed(body.get(name, {}), rest, value)}
    copy = {**body, name: value}
    if value is REMOVED:
        del copy[name]
    return copy


def as_mappings(value: Any) -> Any:
    """Return the body as kopf may pass it: mappings that are no dicts."""
    if isinstance(value, dict):
        return MappingProxyType({k: as_mappings(v) for k, v in value.items()})
    return value


def test_defaults_of_a_policy_are_the_schema_s() -> None:
    """The model has the defaults that the API server sets."""
    policy = parse_policy(POLICY)
    assert str(policy.key) == "team-a/acme"
    assert (policy.uid, policy.generation) == ("u-1", 3)
    assert policy.instance == "default"
    assert policy.management is ManagementPolicy.MANAGE
    assert policy.deletion is None
    assert not policy.suspended
    assert not policy.deleting
    assert policy.status == PolicyStatus()
    assert policy.resource_version == "17"


def test_defaults_of_an_instance_are_the_schema_s() -> None:
    """The model has the defaults that the API server sets."""
    instance = parse_instance(INSTANCE)
    assert instance.credential == CredentialRef(CredentialKind.TOKEN, "pat", "token")
    assert instance.rate_limit == RateLimit(50, 100, 8, 1)
    assert instance.drift.poll_interval == 600
    assert instance.grants == ()
    assert instance.status == InstanceStatus()


def test_every_field_of_a_policy_is_read() -> None:
    """The record has spec, finalizers, annotations and deletion."""
    body = changed(POLICY, "spec.managementPolicy", "Observe")
    body = changed(body, "spec.deletionPolicy", "Retain")
    body = changed(body, "spec.organization", {"ofCredential": True})
    body = changed(body, "metadata.deletionTimestamp", "2026-01-02T00:00:00Z")
    body = changed(body, "metadata.finalizers", ["a/b", "c/d"])
    annotations = {
        "zitadel-notification.dev/original": "not ours",
        "zitadel-notification.dev/reconcile-requested-at": "now",
    }
    policy = parse_policy(changed(body, "metadata.annotations", annotations))
    assert policy.management is ManagementPolicy.OBSERVE
    assert policy.deletion is DeletionPolicy.RETAIN
    assert policy.organization == Reference(By.CREDENTIAL)
    assert policy.deleting
    assert policy.finalizers == ("a/b", "c/d")
    assert policy.original is None
    assert policy.original_text == "not ours"
    assert policy.requested_at == "now"


def test_every_field_of_an_instance_is_read() -> None:
    """The record has grants, limits and intervals."""
    grant: dict[str, Any] = {"namespaces": ["a", "b-*"], "scopes": ["Instance"]}
    grant["organizations"] = [{"id": "1"}, {"name": "ACME"}, {"domain": "a.example"}]
    body = changed(INSTANCE, "spec.grants", [grant, {"namespaces": ["c"]}])
    body = changed(body, "spec.driftDetection", {"pollInterval": "1h30m"})
    body = changed(body, "spec.rateLimit", {"burst": 7, "maxConcurrentWrites": 3})
    body = changed(body, "spec.externalDomain", "auth.example")
    body = changed(body, "spec.caBundle", {"configMapRef": {"name": "ca"}})
    body = changed(body, "spec.class", "canary")
    annotations = {
        "zitadel-notification.dev/accept-instance-id": "9",
        "zitadel-notification.dev/take-over": "znp-2",
    }
    instance = parse_instance(changed(body, "metadata.annotations", annotations))
    assert instance.grants == (
        Grant(
            ("a", "b-*"),
            frozenset({Scope.INSTANCE}),
            frozenset(
                {
                    Reference(By.ID, "1"),
                    Reference(By.NAME, "ACME"),
                    Reference(By.DOMAIN, "a.example"),
                }
            ),
        ),
        Grant(("c",), frozenset({Scope.ORGANIZATION})),
    )
    assert instance.drift.poll_interval == 5400
    assert instance.rate_limit == RateLimit(50, 7, 8, 3)
    assert instance.external_domain == "auth.example"
    assert instance.accepted_id == "9"
    assert (instance.operator_class, instance.take_over) == ("canary", "znp-2")
    assert instance.ca == CaRef("ConfigMap", "ca", "ca.crt")


@pytest.mark.parametrize("text", ["", "Not/A Namespace", "a" * 64, "-"])
def test_what_names_no_namespace_takes_nothing_over(text: str) -> None:
    """Otherwise an operator would hand an instance over to nobody."""
    name = "zitadel-notification.dev/take-over"
    instance = parse_instance(changed(INSTANCE, "metadata.annotations", {name: text}))
    assert instance.take_over is None


def test_a_class_that_cannot_be_read_is_nobodys() -> None:
    """It does not count as the class of the operator without one."""
    instance = parse_instance(changed(INSTANCE, "spec.class", {"of": "tomorrow"}))
    assert instance.assignment.operator_class is None


@pytest.mark.parametrize(
    ("credentials", "ref"),
    [
        (
            {"privateKeyJWT": {"secretRef": {"name": "s"}}},
            CredentialRef(CredentialKind.KEY, "s", "key.json"),
        ),
        (
            {"privateKeyJWT": {"secretRef": {"name": "s", "key": "sa.json"}}},
            CredentialRef(CredentialKind.KEY, "s", "sa.json"),
        ),
        (
            {"clientCredentials": {"secretRef": {"name": "s"}}},
            CredentialRef(CredentialKind.CLIENT, "s"),
        ),
    ],
)
def test_each_kind_of_credential_is_read(credentials: Any, ref: CredentialRef) -> None:
    """The key has the schema's default."""
    body = changed(INSTANCE, "spec.credentials", credentials)
    assert parse_instance(body).credential == ref


@pytest.mark.parametrize("by", [By.ID, By.NAME, By.DOMAIN])
def test_each_reference_is_read(by: By) -> None:
    policy = parse_policy(changed(POLICY, "spec.organization", {by.value: "x"}))
    assert policy.organization == Reference(by, "x")


def test_unknown_fields_are_ignored() -> None:
    """An older operator reads newer objects."""
    newer = changed(POLICY, "spec.passwordReset", {"a": 1})
    assert parse_policy(newer) == parse_policy(POLICY)


def test_a_mapping_need_not_be_a_dict() -> None:
    """kopf's bodies are other mappings."""
    assert parse_policy(as_mappings(POLICY)) == parse_policy(POLICY)
    assert parse_instance(as_mappings(INSTANCE)) == parse_instance(INSTANCE)


def test_a_resource_version_alone_makes_no_difference() -> None:
    """Two records are equal if none of the operator's fields differs."""
    later = parse_policy(changed(POLICY, "metadata.resourceVersion", "18"))
    assert later == parse_policy(POLICY)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata", "text"),
        ("metadata", REMOVED),
        ("metadata.uid", REMOVED),
        ("metadata.uid", 7),
        ("metadata.name", 7),
        ("metadata.name", ""),
    ],
)
def test_an_object_without_name_or_uid_is_unusable(path: str, value: Any) -> None:
    """No status could be written to it."""
    with pytest.raises(UnusableObject, match="no name or no uid"):
        parse_policy(changed(POLICY, path, value))
    with pytest.raises(UnusableObject, match="no name or no uid"):
        parse_instance(changed(INSTANCE, path, value))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("spec", REMOVED, "spec: it must be an object"),
        ("spec", "text", "spec: it must be an object"),
        ("spec", {}, "spec.scope is required; spec.passwordChange is required"),
        ("spec.scope", "Project", "spec.scope: "),
        ("spec.scope", REMOVED, "spec.scope is required"),
        ("spec.passwordChange", REMOVED, "spec.passwordChange is required"),
        ("spec.passwordChange", None, "spec.passwordChange: "),
        ("spec.passwordChange", "true", "spec.passwordChange: "),
        ("spec.passwordChange", 1, "spec.passwordChange: "),
        ("spec.managementPolicy", "Audit", "spec.managementPolicy: "),
        ("spec.deletionPolicy", "Explode", "spec.deletionPolicy: "),
        ("spec.suspend", "yes", "spec.suspend: "),
        ("spec.instanceRef", "default", "spec.instanceRef: "),
        ("spec.instanceRef", {"name": 5}, "spec.instanceRef.name: "),
        ("spec.organization", REMOVED, "spec.organization: must hold exactly one"),
        ("spec.organization", {"label": "newer"}, "spec.organization: must hold"),
        ("spec.organization", {"name": "a", "domain": "b"}, "spec.organization: must"),
        ("spec.organization", {"id": "1", "ofCredential": True}, "spec.organization: "),
        ("spec.organization", {"id": 1}, "spec.organization.id: "),
        ("spec.organization", ["1"], "spec.organization: "),
        ("spec.scope", "Instance", "spec.organization: "),
        ("metadata.creationTimestamp", "long ago", "metadata.creationTimestamp: "),
        ("metadata.creationTimestamp", 5, "metadata.creationTimestamp: "),
    ],
)
def test_a_policy_that_is_not_understood_says_which_field(
    path: str, value: Any, named: str
) -> None:
    """Its record may write nothing, and differs from the one before."""
    policy = parse_policy(changed(POLICY, path, value))
    assert policy.not_understood is not None
    assert named in policy.not_understood.sentence
    assert (str(policy.key), policy.uid) == ("team-a/acme", "u-1")
    assert not policy.manages
    with pytest.raises(ValueError, match="not understood"):
        _ = policy.desired


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("spec", REMOVED, "spec: it must be an object"),
        ("spec.url", REMOVED, "spec.url is required"),
        ("spec.credentials", {}, "exactly one of personalAccessToken"),
        ("spec.credentials", {"newer": {}}, "exactly one of personalAccessToken"),
        ("spec.credentials", {"clientCredentials": {}}, "clientCredentials.secretRef"),
        ("spec.caBundle", {"url": "newer"}, "exactly one of configMapRef"),
        (
            "spec.grants",
            [{"namespaces": ["a"], "organizations": [{"label": "newer"}]}],
            "spec.grants.0",
        ),
        ("spec.grants", [{"namespaces": ["a"], "scopes": ["World"]}], "scopes"),
        ("spec.grants", "all", "spec.grants: "),
        (
            "spec.driftDetection",
            {"pollInterval": "soon"},
            "driftDetection.pollInterval",
        ),
        ("spec.driftDetection", {"eventsInterval": "0s"}, "driftDetection.eventsInter"),
        ("spec.driftDetection", {"method": "Guess"}, "spec.driftDetection.method"),
        ("spec.rateLimit", {"maxConcurrent": 0}, "spec.rateLimit.maxConcurrent"),
        (
            "spec.rateLimit",
            {"maxConcurrentWrites": 0},
            "spec.rateLimit.maxConcurrentWrites",
        ),
    ],
)
def test_an_instance_that_is_not_understood_says_which_field(
    path: str, value: Any, named: str
) -> None:
    """Its record names the field."""
    instance = parse_instance(changed(INSTANCE, path, value))
    assert instance.not_understood is not None
    assert named in instance.not_understood.sentence
    assert (instance.name, instance.uid) == ("default", "u-2")


def test_what_can_be_read_of_a_policy_is_read() -> None:
    """One wrong field does not affect the others, and has no guessed value."""
    body = changed(POLICY, "spec.managementPolicy", "Audit")
    body = changed(body, "spec.deletionPolicy", "Restore")
    body = changed(body, "spec.instanceRef", {"name": "other"})
    body = changed(body, "metadata.finalizers", ["a/b"])
    policy = parse_policy(changed(body, "status", {"organizationId": "42"}))
    assert policy.organization == Reference(By.ID, "42")
    assert policy.instance == "other"
    assert policy.ending is DeletionPolicy.RESTORE
    assert policy.finalizers == ("a/b",)
    assert policy.status.organization_id == "42"
    assert policy.status.observed_generation == -1  # absent there


def _original(organization: str | None, uid: str = "u-1") -> dict[str, Any]:
    target = Target("z", organization)
    text = Original(uid, target, OriginalValue(True, mails(True))).to_text()
    return {"zitadel-notification.dev/original": text}


@pytest.mark.parametrize(
    ("path", "value", "ending"),
    [
        ("spec.deletionPolicy", "Explode", DeletionPolicy.RETAIN),
        ("spec.scope", "Project", DeletionPolicy.RETAIN),
        ("spec.passwordChange", None, DeletionPolicy.RESET),
        ("spec.managementPolicy", "Audit", DeletionPolicy.RESET),
    ],
)
def test_an_ending_that_cannot_be_read_is_retain(
    path: str, value: Any, ending: DeletionPolicy
) -> None:
    assert parse_policy(changed(POLICY, path, value)).ending is ending


def test_a_target_is_kept_where_it_can_be_read() -> None:
    """It is in the spec or, if that cannot be read, in the record."""
    unread = changed(POLICY, "spec.managementPolicy", "Audit")
    assert not parse_policy(unread).may_own
    marked = parse_policy(changed(unread, "metadata.annotations", _original("42")))
    assert marked.may_own
    copied = parse_policy(changed(unread, "metadata.annotations", _original("42", "c")))
    assert not copied.may_own
    assert parse_policy(changed(POLICY, "spec.passwordChange", None)).may_own
    observes = changed(POLICY, "spec.managementPolicy", "Observe")
    assert not parse_policy(changed(observes, "spec.passwordChange", None)).may_own
    scopeless = changed(POLICY, "spec.scope", "World")
    assert parse_policy(scopeless).organization is None
    assert not parse_policy(scopeless).may_own
    whole = parse_policy(changed(scopeless, "metadata.annotations", _original(None)))
    assert (whole.may_own, whole.scope) == (True, Scope.INSTANCE)


def test_an_unknown_age_is_younger_than_any() -> None:
    policy = parse_policy(changed(POLICY, "metadata.creationTimestamp", "yore"))
    assert policy.created > "2999-01-01T00:00:00Z"


GOOD = {
    "type": "Ready",
    "status": "True",
    "reason": "Succeeded",
    "message": "m",
    "observedGeneration": 3,
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
STATUS = {
    "observedGeneration": 3,
    "conditions": [GOOD],
    "organizationId": "42",
    "original": {"isDefault": True, "passwordChange": True},
}


@pytest.mark.parametrize(
    "status",
    [
        "text",
        None,
        [],
        {**STATUS, "conditions": "all well"},
        {**STATUS, "conditions": None},
        {**STATUS, "conditions": [GOOD, 5]},
        {**STATUS, "conditions": [{"type": "Ready"}]},
        {**STATUS, "conditions": [{**GOOD, "status": "Maybe"}]},
        {**STATUS, "conditions": [{**GOOD, "lastTransitionTime": "noon"}]},
        {**STATUS, "conditions": [{**GOOD, "lastTransitionTime": "2026-01-01"}]},
        {**STATUS, "organizationId": 5},
        {**STATUS, "original": "none"},
        {**STATUS, "original": {"isDefault": "true"}},
        {**STATUS, "lastDrift": {"observedAt": "once"}},
        {**STATUS, "passwordChange": "true"},
        {**STATUS, "observedGeneration": "x"},
    ],
)
def test_a_broken_status_is_observed_anew(status: Any) -> None:
    """The object is understood; wrong fields are dropped, so it gets a pass."""
    body = changed(POLICY, "status", status)
    policy = parse_policy(body)
    assert policy.not_understood is None
    assert policy.manages
    assert not is_ready_and_current(policy)
    instance = parse_instance(changed(INSTANCE, "status", status))
    assert instance.not_understood is None


def test_what_can_be_read_of_a_status_is_kept() -> None:
    """Pin and original survive a broken field; others' conditions are ignored."""
    theirs = {"type": "example.com/Theirs", "status": 5}
    settled = parse_policy(changed(POLICY, "status", STATUS))
    assert is_ready_and_current(settled)
    beside = changed(POLICY, "status", {**STATUS, "conditions": [theirs, GOOD]})
    assert parse_policy(beside) == settled
    broken = changed(POLICY, "status", {**STATUS, "sequence": 5})
    status = parse_policy(broken).status
    assert replace(status, observed_generation=3) == settled.status


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.annotations", None),
        ("metadata.annotations", "text"),
        ("metadata.annotations", {"zitadel-notification.dev/original": 5}),
        ("metadata.finalizers", None),
        ("metadata.generation", "x"),
        ("metadata.resourceVersion", 17),
    ],
)
def test_broken_metadata_make_no_object_unusable(path: str, value: Any) -> None:
    assert parse_policy(changed(POLICY, path, value)).not_understood is None
    assert parse_instance(changed(INSTANCE, path, value)).not_understood is None


def test_the_sentence_hides_values() -> None:
    """The message does not contain the value of a wrong field."""
    for path in ("spec.passwordChange", "spec.scope", "metadata.creationTimestamp"):
        policy = parse_policy(changed(POLICY, path, "hidden"))
        assert policy.not_understood is not None
        assert "hidden" not in policy.not_understood.sentence
    interval = {"pollInterval": "hidden"}
    instance = parse_instance(changed(INSTANCE, "spec.driftDetection", interval))
    assert instance.not_understood is not None
    assert "hidden" not in instance.not_understood.sentence


def test_an_unusable_answer_is_trouble_and_not_absence() -> None:
    """If it counted as absent, a policy would go without its cleanup."""
    with pytest.raises(ClusterError):
        parse_answer(kinds.POLICY, {"metadata": {}})


def test_absent_fields_are_left_out() -> None:
    """An apply never contains null."""
    assert to_json(PolicyStatus()) == {
        "observedGeneration": -1,
        "conditions": [],
    }
    assert to_json(InstanceStatus(observed_generation=2)) == {
        "observedGeneration": 2,
        "conditions": [],
    }


@settings(deadline=None)
@given(
    st.builds(
        PolicyStatus,
        st.integers(-1, 2**53 - 1),
        conditions,
        st.none() | texts,
        st.none() | texts,
        st.none() | texts,
        st.none() | st.booleans(),
        values,
        st.none() | texts,
        st.none() | texts,
        st.none() | texts,
        st.none() | texts,
        st.none() | originals,
        st.none()
        | st.builds(
            Drift,
            times,
            st.none() | st.builds(User, texts, texts),
            originals,
            originals,
        ),
    )
)
def test_a_policy_s_status_survives_the_round_trip(status: PolicyStatus) -> None:
    """It is read as it was written."""
    body = {**POLICY, "status": to_json(status)}
    assert parse_policy(body).status == status


@settings(deadline=None)
@given(
    st.builds(
        InstanceStatus,
        st.integers(-1, 2**53 - 1),
        conditions,
        st.none() | texts,
        st.none() | texts,
        st.none() | texts,
        st.none() | st.builds(User, texts, texts),
        st.none()
        | st.builds(Capabilities, st.booleans(), st.booleans(), st.booleans()),
        st.none() | texts,
        st.none() | counts,
        st.none() | texts,
        served_by=st.none() | st.builds(ServedBy, texts, texts, st.none() | texts),
    )
)
def test_an_instance_s_status_survives_the_round_trip(status: InstanceStatus) -> None:
    """It is read as it was written."""
    body = {**INSTANCE, "status": to_json(status)}
    assert parse_instance(body).status == status
