"""How people name objects, and how old things are."""

from datetime import UTC, datetime

import pytest
import yaml

from support.documents import ROOT
from zitadel_notification_operator.cli.objects.ages import age_of
from zitadel_notification_operator.core.kinds import (
    INSTANCE,
    KINDS,
    POLICY,
    SET,
    Kind,
    ObjectKey,
)
from zitadel_notification_operator.core.object_names import (
    Named,
    parse_named,
    short_name,
)


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("acme", POLICY, "acme"),
        ("acme.example", POLICY, "acme.example"),
        ("znp/acme", POLICY, "acme"),
        ("NotificationPolicy/acme", POLICY, "acme"),
        ("notificationpolicies/acme", POLICY, "acme"),
        ("notificationpolicy.zitadel-notification.dev/acme", POLICY, "acme"),
        ("znps/customers", SET, "customers"),
        ("notificationpolicysets.v1alpha1.zitadel-notification.dev/a", SET, "a"),
        ("ZNI/default", INSTANCE, "default"),
        ("zitadelinstance/default", INSTANCE, "default"),
    ],
)
def test_names_as_kubectl_writes_them(text: str, kind: Kind, name: str) -> None:
    """A name alone means a policy."""
    assert parse_named(text) == Named(kind, name)


@pytest.mark.parametrize(
    "text",
    ["", "/", "znp/", "/acme", "pods/acme", "znp/a/b", "ACME", "znp.example.com/a"],
)
def test_other_texts_are_refused(text: str) -> None:
    """With a message that says what is accepted."""
    with pytest.raises(ValueError, match=r"no kind of this operator|not the name"):
        parse_named(text)


def test_keys_and_short_names() -> None:
    """An instance is in no namespace."""
    assert parse_named("znp/a").key("team") == ObjectKey("team", "a")
    assert parse_named("zni/a").key("team") == ObjectKey("", "a")
    assert short_name(SET, ObjectKey("team", "a")) == "znps/a"


def test_the_names_are_those_of_the_crds() -> None:
    """kubectl knows the kinds by no others."""
    found = {}
    for file in (ROOT / "deploy" / "crds").glob("*.yaml"):
        names = yaml.safe_load(file.read_text())["spec"]["names"]
        found[names["kind"]] = (names["plural"], names["shortNames"])
        assert names["singular"] == names["kind"].lower()
    assert found == {kind.name: (kind.plural, [kind.short]) for kind in KINDS}


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("2026-01-01T12:00:00Z", "0s"),
        ("2026-01-01T11:58:01Z", "119s"),
        ("2026-01-01T11:58:00Z", "2m"),
        ("2026-01-01T10:00:01Z", "119m"),
        ("2026-01-01T10:00:00.000000Z", "2h"),
        ("2025-12-30T12:00:00Z", "2d"),
        ("2026-01-01T12:00:05Z", "0s"),
        ("yesterday", "<unknown>"),
        ("", "<unknown>"),
    ],
)
def test_ages(text: str, age: str) -> None:
    """In the largest unit of which there are two; a clock that is ahead is no error."""
    assert age_of(text, datetime(2026, 1, 1, 12, tzinfo=UTC)) == age
