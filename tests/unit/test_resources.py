"""JSON of the API to records and back: nothing is lost, nothing is guessed."""

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zitadel_notification_operator.cluster.resources import (
    UnusableObject,
    instance_status_json,
    parse_answer,
    parse_instance,
    parse_policy,
    policy_status_json,
)
from zitadel_notification_operator.core.conditions import OWN_TYPES, Condition
from zitadel_notification_operator.core.credentials import (
    CaRef,
    CredentialKind,
    CredentialRef,
)
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.identity import Capabilities, User
from zitadel_notification_operator.core.objects import (
    Drift,
    InstanceStatus,
    PolicyStatus,
    RateLimit,
)
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.core.references import By, Reference

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
originals = st.builds(OriginalValue, st.booleans(), st.none() | st.booleans())
counts = st.integers(0, 2**53 - 1)
conditions = st.lists(
    st.builds(
        Condition,
        st.sampled_from(sorted(OWN_TYPES)),
        *(texts, texts, texts, counts, texts),
    ),
    max_size=4,
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
    """Return the body as kopf may give it: mappings that are no dicts."""
    if isinstance(value, dict):
        return MappingProxyType({k: as_mappings(v) for k, v in value.items()})
    return value


def test_defaults_of_a_policy_are_the_schema_s() -> None:
    """What the API server would have filled in is filled in here, too."""
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
    """The same for the other kind."""
    instance = parse_instance(INSTANCE)
    assert instance.credential == CredentialRef(CredentialKind.TOKEN, "pat", "token")
    assert instance.endpoint.rate_limit == RateLimit(50, 100, 8)
    assert instance.poll_interval == 600
    assert instance.grants == ()
    assert instance.status == InstanceStatus()


def test_every_field_of_a_policy_is_read() -> None:
    """Spec, finalizers, annotations and deletion arrive in the record."""
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
    """Grants, limits and intervals arrive in the record."""
    grant: dict[str, Any] = {"namespaces": ["a", "b-*"], "scopes": ["Instance"]}
    grant["organizations"] = [{"id": "1"}, {"name": "ACME"}, {"domain": "a.example"}]
    body = changed(INSTANCE, "spec.grants", [grant, {"namespaces": ["c"]}])
    body = changed(body, "spec.driftDetection", {"pollInterval": "1h30m"})
    body = changed(body, "spec.rateLimit", {"burst": 7})
    body = changed(body, "spec.externalDomain", "auth.example")
    body = changed(body, "spec.caBundle", {"configMapRef": {"name": "ca"}})
    name = "zitadel-notification.dev/accept-instance-id"
    instance = parse_instance(changed(body, "metadata.annotations", {name: "9"}))
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
    assert instance.poll_interval == 5400
    assert instance.endpoint.rate_limit == RateLimit(50, 7, 8)
    assert instance.endpoint.external_domain == "auth.example"
    assert instance.accepted_id == "9"
    assert instance.ca == CaRef("ConfigMap", "ca", "ca.crt")


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
    """With the schema's default for the key."""
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
    """Bodies are read as they come."""
    assert parse_policy(as_mappings(POLICY)) == parse_policy(POLICY)
    assert parse_instance(as_mappings(INSTANCE)) == parse_instance(INSTANCE)


def test_a_resource_version_alone_makes_no_difference() -> None:
    """Two records of one object are equal when nothing of ours differs."""
    later = parse_policy(changed(POLICY, "metadata.resourceVersion", "18"))
    assert later == parse_policy(POLICY)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("metadata", "text", "metadata"),
        ("metadata", REMOVED, "metadata"),
        ("metadata.uid", REMOVED, "metadata.uid"),
        ("metadata.name", 7, "metadata.name"),
        ("spec", REMOVED, "spec"),
        ("spec.scope", "Project", "spec.scope"),
        ("spec.passwordChange", REMOVED, "spec.passwordChange"),
        ("spec.passwordChange", "true", "spec.passwordChange"),
        ("spec.deletionPolicy", "Explode", "spec.deletionPolicy"),
        ("spec.organization", REMOVED, "organization"),
        ("spec.organization", {"label": "newer"}, "organization"),
        ("spec.organization", {"name": "a", "domain": "b"}, "organization"),
        ("spec.organization", {"id": "1", "ofCredential": True}, "organization"),
        ("spec.scope", "Instance", "organization"),
        ("status", {"conditions": [{"type": "Ready"}]}, "status.conditions.0.status"),
    ],
)
def test_an_unusable_policy_names_the_field(path: str, value: Any, named: str) -> None:
    """A reference that we do not know must never read as another target."""
    with pytest.raises(UnusableObject, match=named):
        parse_policy(changed(POLICY, path, value))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("spec.url", REMOVED, "spec.url"),
        ("spec.credentials", {}, "exactly one of personalAccessToken"),
        ("spec.credentials", {"newer": {}}, "exactly one of personalAccessToken"),
        ("spec.credentials", {"clientCredentials": {}}, "clientCredentials.secretRef"),
        ("spec.caBundle", {"url": "newer"}, "exactly one of configMapRef"),
        (
            "spec.grants",
            [{"namespaces": ["a"], "organizations": [{"label": "newer"}]}],
            "grants.0",
        ),
        ("spec.driftDetection", {"pollInterval": "soon"}, "driftDetection"),
        ("spec.grants", [{"namespaces": ["a"], "scopes": ["World"]}], "scopes"),
    ],
)
def test_an_unusable_instance_names_the_field(
    path: str, value: Any, named: str
) -> None:
    """Likewise."""
    with pytest.raises(UnusableObject, match=named):
        parse_instance(changed(INSTANCE, path, value))


def test_the_sentence_names_the_object_and_hides_its_values() -> None:
    """People find the object; what stands in a wrong field stays there."""
    with pytest.raises(UnusableObject) as caught:
        parse_policy(changed(POLICY, "spec.passwordChange", "hidden"))
    assert "NotificationPolicy team-a/acme" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_an_unusable_answer_is_trouble_and_not_absence() -> None:
    """Taken for absent, a policy would be let go without its cleanup."""
    with pytest.raises(ClusterError):
        parse_answer(parse_policy, {"metadata": {}})


def test_absent_fields_are_left_out() -> None:
    """No null is ever applied."""
    assert policy_status_json(PolicyStatus()) == {
        "observedGeneration": -1,
        "conditions": [],
    }
    assert instance_status_json(InstanceStatus(observed_generation=2)) == {
        "observedGeneration": 2,
        "conditions": [],
    }


@given(
    st.builds(
        PolicyStatus,
        st.integers(-1, 2**53 - 1),
        conditions,
        st.none() | texts,
        st.none() | texts,
        st.none() | st.booleans(),
        st.none() | st.booleans(),
        st.none() | texts,
        st.none() | texts,
        st.none() | texts,
        st.none() | texts,
        st.none() | originals,
        st.none()
        | st.builds(
            Drift,
            texts,
            st.none() | st.builds(User, texts, texts),
            originals,
            originals,
        ),
        st.none() | texts,
    )
)
def test_a_policy_s_status_survives_the_round_trip(status: PolicyStatus) -> None:
    """What is written is what is read."""
    body = {**POLICY, "status": policy_status_json(status)}
    assert parse_policy(body).status == status


@given(
    st.builds(
        InstanceStatus,
        st.integers(-1, 2**53 - 1),
        conditions,
        st.none() | texts,
        st.none() | texts,
        st.none() | st.builds(User, texts, texts),
        st.none()
        | st.builds(Capabilities, st.booleans(), st.booleans(), st.booleans()),
        st.none() | texts,
        st.none() | counts,
        st.none() | texts,
        st.none() | texts,
    )
)
def test_an_instance_s_status_survives_the_round_trip(status: InstanceStatus) -> None:
    """The same for the other kind."""
    body = {**INSTANCE, "status": instance_status_json(status)}
    assert parse_instance(body).status == status
