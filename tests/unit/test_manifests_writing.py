"""Whatever names hold, the YAML that is written says the same to every reader."""

import io
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from zitadel_notification_operator.core.names import is_name
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.settings import Settings
from zitadel_notification_operator.manifests.errors import ManifestError
from zitadel_notification_operator.manifests.exporting import Exporter
from zitadel_notification_operator.manifests.manifest import (
    Manifest,
    Style,
    policy_manifest,
)
from zitadel_notification_operator.manifests.object_names import object_name
from zitadel_notification_operator.manifests.reading import read_manifests
from zitadel_notification_operator.manifests.survey import Held, Survey
from zitadel_notification_operator.manifests.writing import Format, write_manifests
from zitadel_notification_operator.manifests.yaml_text import comment, yaml_of

ON = Settings.of({"passwordChange": True})
OFF = Settings.of({"passwordChange": False})
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["yes", "No", "null", "1e3", "0x1f", "1_000", "12:30", "2026-01-01", "~", "", "-"]
)


def held(name: str, key: str, settings: Settings = ON, *, is_own: bool = True) -> Held:
    """Return what is in force for an organization."""
    return Held(Organization(key, name), is_own, settings)


def written(manifests: list[Manifest], **settings: Any) -> str:
    """Return what is written of manifests."""
    stream = io.StringIO()
    write_manifests(manifests, stream, **settings)
    return stream.getvalue()


@given(TEXTS, TEXTS)
def test_any_text_is_read_as_it_was_written(key: str, value: str) -> None:
    """Also by a reader that is stricter than ours."""
    text = yaml_of({"a": {key: value}})
    assert yaml.safe_load(text) == {"a": {key: value}}
    assert text.count("\n") == 2


@given(st.text())
def test_a_comment_is_one_line(text: str) -> None:
    """Whatever it holds, and a YAML reader accepts it."""
    line = comment(text)
    assert line.count("\n") == 1
    assert line.startswith("#")
    assert len(line) < 305
    assert line.encode()
    assert yaml.safe_load(f"{line}a: 1") == {"a": 1}


@given(st.text(), st.text(min_size=1))
def test_names_of_objects_are_valid(title: str, key: str) -> None:
    """An id has at most 200 characters."""
    assert is_name(object_name(title, key[:200]))


@given(
    st.tuples(st.text("ab-", max_size=4), st.text("ab-.A", min_size=1, max_size=4)),
    st.tuples(st.text("ab-", max_size=4), st.text("ab-.A", min_size=1, max_size=4)),
)
def test_names_of_objects_are_unique(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    """Two organizations have the same only if they have one id."""
    if object_name(*one) == object_name(*other):
        assert one[1] == other[1]


@pytest.mark.parametrize(
    ("title", "key", "name"),
    [
        ("ACME", "280000000000000101", "acme-280000000000000101"),
        ("Söhne & Co. KG", "1", "sohne-co-kg-1"),
        ("株式会社", "1", "organization-1"),
        ("ACME", "Org-1", "acme-be2a1a6541360dff"),
    ],
)
def test_names_of_objects(title: str, key: str, name: str) -> None:
    """They stay the same from one export to the next."""
    assert object_name(title, key) == name


def test_two_organizations_of_one_name() -> None:
    """Neither is named by it; the comments still say what they are called."""
    survey = Survey((held("Acme", "1"), held("ACME", "2", OFF), held("Globex", "3")))
    found = list(Exporter(survey, Style(), By.NAME).policies(inherited=False))
    assert [one.spec["organization"] for one in found] == [
        {"id": "1"},
        {"id": "2"},
        {"name": "Globex"},
    ]
    assert [one.name for one in found] == ["acme-1", "acme-2", "globex-3"]
    assert found[1].comments == (
        "ACME",
        "Named by its id: others have this name, too",
    )


def test_a_set_has_room_for_more() -> None:
    """The default limit would stop it at once."""
    many = tuple(held(f"o{n}", str(n), OFF if n < 3 else ON) for n in range(2500))
    first, *others = Exporter(Survey(many), Style()).set_of_all("all")
    assert first.spec["limits"] == {"organizations": 3000}
    assert first.spec["passwordChange"] is True
    assert [one.spec["organization"]["id"] for one in others] == ["0", "1", "2"]
    few = Exporter(Survey(many[:900]), Style()).set_of_all("all")
    assert "limits" not in next(few).spec


def test_mails_stay_on_where_both_are_as_common() -> None:
    """An organization of tomorrow would get the set's value."""
    survey = Survey((held("a", "1", OFF), held("b", "2", ON)))
    first, other = Exporter(survey, Style()).set_of_all("all")
    assert first.spec["passwordChange"] is True
    assert other.spec["passwordChange"] is False


def test_a_policy_beside_a_set_has_a_name_of_its_own() -> None:
    """A set names its policies after itself, and would find the name taken."""
    survey = Survey((held("Customers", "1", OFF), held("b", "2"), held("c", "3")))
    _, policy = Exporter(survey, Style()).set_of_all("customers")
    assert policy.name == "own-customers-1"


@pytest.mark.parametrize(
    ("survey", "says"),
    [
        (Survey(()), "no organization that a set could be made of"),
        (Survey((held("a", "1"),), hidden=2), "may not see 2 of them"),
        (Survey((held("a", "1", is_own=False),)), r"inherit now: a \(1\); use"),
        (
            Survey((), without=tuple(Organization(str(n), "x\n") for n in range(5))),
            r"x  \(0\), x  \(1\), x  \(2\) and 2 more",
        ),
        (
            Survey(tuple(held("a", str(n)) for n in range(100_001))),
            "holds at most 100000 organizations, and there are 100001",
        ),
    ],
)
def test_no_set_can_be_made(survey: Survey, says: str) -> None:
    """The error says why, and what else to do."""
    with pytest.raises(ManifestError, match=says):
        Exporter(survey, Style()).set_of_all("all")


def test_all_that_is_written_can_be_read() -> None:
    """YAML and JSON hold the same."""
    reference = Reference(By.NAME, 'A: "b" # c')
    manifests = [
        policy_manifest("a", reference, ON, Style("prod"), "x\n---\ny"),
        policy_manifest("b", None, OFF, Style()),
    ]
    found = []
    for form in Format:
        text = written(manifests, form=form, namespace="team", header=["A\nheader"])
        read = read_manifests(["-"], recursive=False, stdin=io.StringIO(text))
        found.append([body for _, body in read.objects])
    assert found[0] == found[1] == [one.body("team") for one in manifests]
    assert json.loads(written([], form=Format.JSON))["items"] == []
