"""The settings as values: compared, merged, described, and stored."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import yaml

from support.parsing import parse_policy
from support.second_flag import CRDS, PACKAGE, copy_package
from support.settings import mails
from zitadel_notification_operator.cluster.records import to_json
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.original import Original, OriginalValue
from zitadel_notification_operator.core.settings import FLAGS, Settings

ON, OFF, LEFT_OUT = mails(True), mails(False), mails(None)

INHERITED = (
    '{"instanceId":"z","isDefault":true,"organizationId":"o",'
    '"passwordChange":true,"uid":"uid-p"}'
)
STORED = [
    pytest.param(
        INHERITED,
        Original("uid-p", Target("z", "o"), OriginalValue(True, ON)),
        id="inherited",
    ),
    pytest.param(
        '{"instanceId":"z","isDefault":false,"organizationId":"o",'
        '"passwordChange":false,"uid":"uid-p"}',
        Original("uid-p", Target("z", "o"), OriginalValue(False, OFF)),
        id="own",
    ),
    pytest.param(
        '{"instanceId":"z","isDefault":true,"organizationId":null,'
        '"passwordChange":null,"uid":"uid-p"}',
        Original("uid-p", Target("z", None), OriginalValue(True, LEFT_OUT)),
        id="an instance without a policy",
    ),
]
"""Annotations as version 0.1.0 writes them."""

STATUS = {
    "observedGeneration": 2,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Succeeded",
            "message": "ZITADEL holds the policy as declared",
            "observedGeneration": 2,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
    "organizationId": "o",
    "organizationName": "ACME",
    "isDefault": False,
    "passwordChange": False,
    "sequence": "42",
    "creationDate": "2026-01-01T00:00:00.000000Z",
    "changeDate": "2026-01-01T00:00:00.000000Z",
    "resourceOwner": "o",
    "original": {"isDefault": True, "passwordChange": True},
    "lastDrift": {
        "observedAt": "2026-01-01T00:00:00Z",
        "editor": {"id": "7", "name": "Ann"},
        "from": {"isDefault": True},
        "to": {"isDefault": False, "passwordChange": False},
    },
    "lastHandledReconcileAt": "token",
}
"""A status as version 0.1.0 writes it."""

SPEC = {"scope": "Organization", "organization": {"id": "o"}}


def test_a_flag_that_is_left_out_differs_from_nothing() -> None:
    """Only flags with a value are compared and merged."""
    assert ON.differs_from(OFF)
    assert ON.differs_from(LEFT_OUT)
    assert not ON.differs_from(ON)
    assert not LEFT_OUT.differs_from(ON)
    assert ON.merged_into(OFF) == ON
    assert LEFT_OUT.merged_into(OFF) == OFF
    assert LEFT_OUT.is_empty
    assert not OFF.is_empty
    assert len({ON, Settings.of({"passwordChange": True, "other": False})}) == 1


def test_words() -> None:
    """Messages describe settings, and changes of them."""
    assert ON.describe() == "passwordChange true"
    assert OFF.describe("is") == "passwordChange is false"
    assert LEFT_OUT.describe() == ""
    plain = ON.describe_change(OFF, inherited=False)
    assert plain == "passwordChange from false to true"
    pinned = ON.describe_change(ON, inherited=True)
    assert pinned == "passwordChange from true (inherited) to true"
    first = ON.describe_change(LEFT_OUT, inherited=True)
    assert first == "passwordChange from none to true"


@pytest.mark.parametrize(("text", "original"), STORED)
def test_annotations_of_the_first_version(text: str, original: Original) -> None:
    """They are read, and written in the same form."""
    assert Original.from_text(text) == original
    assert original.to_text() == text


def test_an_annotation_without_a_required_flag_is_not_ours() -> None:
    """Each version has written the required flags."""
    data = json.loads(INHERITED)
    assert Original.from_text(json.dumps({**data, "passwordChange": "true"})) is None
    del data["passwordChange"]
    assert Original.from_text(json.dumps(data)) is None


def test_the_status_of_the_first_version() -> None:
    """It is read, and written in the same form."""
    body = {
        "metadata": {"name": "p", "uid": "uid-p"},
        "spec": {**SPEC, "passwordChange": False},
        "status": STATUS,
    }
    policy = parse_policy(body)
    assert policy.not_understood is None
    assert policy.settings == OFF
    assert policy.status.settings == OFF
    assert policy.status.original == OriginalValue(True, ON)
    assert policy.status.last_drift is not None
    assert policy.status.last_drift.found == OriginalValue(True, LEFT_OUT)
    assert to_json(policy.status) == STATUS


def test_the_crd_has_each_flag() -> None:
    """It is in the spec, in the status, and wherever a status has settings."""
    path = CRDS / "zitadel-notification.dev_notificationpolicies.yaml"
    (version,) = yaml.safe_load(path.read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    spec, status = schema["spec"], schema["status"]["properties"]
    drift = status["lastDrift"]["properties"]
    shown = [status["original"], drift["from"], drift["to"]]
    for flag in FLAGS:
        assert (flag.name in spec["required"]) is flag.is_required
        for properties in (
            spec["properties"],
            status,
            *(t["properties"] for t in shown),
        ):
            assert properties[flag.name]["type"] == "boolean"


def test_no_other_line_names_a_flag() -> None:
    """Apart from the declaration, no code knows a flag by its name."""
    apart = {PACKAGE / "core" / "settings.py"}
    # They speak ZITADEL's JSON themselves, or that of another tool.
    folders = [PACKAGE / "demo", PACKAGE / "manifests" / "conversion"]
    flags = [flag.name for flag in FLAGS]
    found = [
        path
        for path in PACKAGE.rglob("*.py")
        if path not in apart and not any(map(path.is_relative_to, folders))
        if any(f'"{flag}"' in path.read_text() for flag in flags)
    ]
    assert found == []


_SCRIPT = """
import json, sys
from zitadel_notification_operator.cluster.records import to_json
from zitadel_notification_operator.cluster.resources import parse
from zitadel_notification_operator.core.kinds import POLICY
from zitadel_notification_operator.core.original import Original
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.settings import Settings
from zitadel_notification_operator.zitadel.calls import policy_body
from zitadel_notification_operator.zitadel.models import Policy

texts, body = json.load(sys.stdin)
policy = parse(POLICY, body)
details = {"sequence": "1", "resourceOwner": "o"}
read = Policy.model_validate(
    {"details": details, "email_change": True, "digest": 1}
)
before = ObservedPolicy(False, read.settings, unknown_members=read.unknown_members)
wanted = Settings.of({"passwordChange": True})
json.dump(
    {
        "originals": [Original.from_text(t).value.settings.by_name() for t in texts],
        "again": Original.from_text(texts[0]).to_text(),
        "spec": policy.settings.by_name(),
        "status": to_json(policy.status),
        "read": read.settings.by_name(),
        "written": json.loads(policy_body(wanted, before)),
        "words": Settings((True, False)).describe(),
        "change": Settings((True, True)).describe_change(
            Settings((True, False)), inherited=False
        ),
        "drift": wanted.differs_from(read.settings),
    },
    sys.stdout,
)
"""


@pytest.fixture(scope="module")
def two_flags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what a version with a second flag reads from this version's data."""
    body = {
        "metadata": {"name": "p", "uid": "uid-p"},
        "spec": {**SPEC, "passwordChange": False},
        "status": STATUS,
    }
    stored = [param.values[0] for param in STORED]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=json.dumps([stored, body]),
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": str(copy_package(tmp_path_factory.mktemp("copy"))),
        },
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_older_original_leaves_a_newer_flag_out(two_flags: dict[str, Any]) -> None:
    """It is not restored, because its former value is unknown."""
    assert two_flags["originals"] == [
        {"passwordChange": True, "emailChange": None},
        {"passwordChange": False, "emailChange": None},
        {"passwordChange": None, "emailChange": None},
    ]
    assert json.loads(two_flags["again"])["emailChange"] is None


def test_an_older_object_is_read_and_written_as_before(
    two_flags: dict[str, Any],
) -> None:
    """Neither spec nor status has anything new."""
    assert two_flags["spec"] == {"passwordChange": False, "emailChange": None}
    assert two_flags["status"] == STATUS


def test_a_write_carries_what_the_spec_leaves_out(two_flags: dict[str, Any]) -> None:
    """Absent in ZITADEL's response means false; both spellings are read."""
    assert two_flags["read"] == {"passwordChange": False, "emailChange": True}
    assert two_flags["written"] == {
        "passwordChange": True,
        "emailChange": True,
        "digest": 1,
    }
    assert two_flags["drift"] is True


def test_words_about_several_flags(two_flags: dict[str, Any]) -> None:
    """They are joined; a change names only the flags that change."""
    assert two_flags["words"] == "passwordChange true, emailChange false"
    assert two_flags["change"] == "emailChange from false to true"
