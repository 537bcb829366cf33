"""`znp history` against an emulated ZITADEL."""

import csv
import io
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.audit_commands import Auditor
from zitadel_emulator.testing import Behavior, EmulatedZitadel, Fault
from zitadel_notification_operator.cli.group import znp

EVENTS = "/admin/v1/events/_search"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def auditor(zitadel: EmulatedZitadel, tmp_path: Path) -> Auditor:
    return Auditor(zitadel, tmp_path)


def rows(found: dict[str, list[dict[str, dict[str, str]]]]) -> list[tuple[object, ...]]:
    """Return organization, from, to and the author's name of each change."""
    return [
        (
            (one["organization"] or {}).get("name", "instance"),
            *(
                (one[side]["source"], one[side]["passwordChange"])
                for side in ("from", "to")
            ),
            one["by"]["name"],
        )
        for one in found["changes"]
    ]


def test_changes_by_several_users(auditor: Auditor) -> None:
    zitadel = auditor.zitadel
    acme = zitadel.organizations["ACME"]
    anna = zitadel.add_user("IAM_OWNER", name="Anna")
    bob = zitadel.add_user("ORG_OWNER", organization=acme, name=SCRIPT)
    auditor.call("POST", acme, False, bob.credential.token)
    auditor.call("PUT", acme, True, zitadel.token)
    auditor.call("PUT", "", False, anna.credential.token)
    auditor.call("DELETE", acme, False, anna.credential.token)
    found = auditor.json("history")
    assert found["log"]["isComplete"]
    assert rows(found) == [
        ("instance", ("None", None), ("Own", True), None),
        ("ACME", ("Inherited", True), ("Own", False), SCRIPT),
        ("ACME", ("Own", False), ("Own", True), "Emulator Machine"),
        ("instance", ("Own", True), ("Own", False), "Anna"),
        ("ACME", ("Own", True), ("Inherited", False), "Anna"),
    ]
    by = [(one["by"]["kind"], one["by"]["isCredential"]) for one in found["changes"]]
    assert by == [
        ("ZITADEL", False),
        ("User", False),
        ("User", True),
        ("User", False),
        ("User", False),
    ]
    mine = auditor.json("history", token=anna.credential.token)["changes"]
    assert [one["by"]["isCredential"] for one in mine] == [False] * 3 + [True] * 2
    text = auditor.run("history").stdout.splitlines()
    assert text[0].split() == ["TIME", "POLICY", "OF", "FROM", "TO", "BY"]
    assert text[4].split()[1:] == ["instance", "true", "false", "Anna", f"({anna.id})"]
    assert text[3].endswith(", this credential")


def test_organizations_that_were_renamed_and_removed(auditor: Auditor) -> None:
    """One has its present name, the other the one it had then, and its id."""
    zitadel = auditor.zitadel
    acme, globex = zitadel.organizations["ACME"], zitadel.organizations["Globex"]
    zitadel.set_policy(acme, password_change=False)
    zitadel.set_policy(globex, password_change=False)
    zitadel.rename_organization(acme, "Ümläut 山田")
    zitadel.rename_organization(globex, "Hooli")
    zitadel.change_organization(globex, "removed")
    changes = auditor.json("history")["changes"]
    named = [one["organization"] for one in changes]
    assert named[1] == {"id": acme, "name": "Ümläut 山田"}
    assert named[2] == {"id": globex, "name": "Globex"}
    assert named[3] == {"id": globex, "name": "Hooli"}
    assert changes[3]["to"] == {"source": "OrganizationRemoved", "passwordChange": None}
    for wanted in (globex, "globex", "HOOLI"):
        of_one = auditor.json("history", "--organization", wanted)["changes"]
        assert of_one == changes[2:]


def test_one_organization(auditor: Auditor) -> None:
    """What it inherited counts, too."""
    zitadel = auditor.zitadel
    acme, globex = zitadel.organizations["ACME"], zitadel.organizations["Globex"]
    zitadel.set_policy(password_change=False)
    zitadel.set_policy(globex, password_change=False)
    zitadel.set_policy(acme, password_change=True)
    zitadel.set_policy(password_change=True)
    zitadel.remove_policy(acme)
    for wanted in (acme, "ACME", "acme"):
        assert rows(auditor.json("history", "--organization", wanted)) == [
            ("instance", ("Own", True), ("Own", False), None),
            ("ACME", ("Inherited", False), ("Own", True), None),
            ("ACME", ("Own", True), ("Inherited", True), None),
        ]
    done = auditor.run("history", "--organization", "nobody")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "No organization has the id or the name nobody" in done.stderr


def test_a_period(auditor: Auditor) -> None:
    """What was before is known from the events before the period."""
    zitadel = auditor.zitadel
    acme = zitadel.organizations["ACME"]
    zitadel.set_policy(acme, password_change=False)
    zitadel.advance_clock(timedelta(days=40))
    since = zitadel.now().isoformat()
    zitadel.set_policy(acme, password_change=True)
    expected = [("ACME", ("Own", False), ("Own", True), None)]
    assert rows(auditor.json("history", "--since", since)) == expected
    later = (zitadel.now() + timedelta(days=1)).isoformat()
    done = auditor.run("history", "--since", later)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("No changes since 20")


def test_a_log_that_was_cut(auditor: Auditor) -> None:
    """The values before are unknown, and that is told."""
    zitadel = auditor.zitadel
    acme, globex = zitadel.organizations["ACME"], zitadel.organizations["Globex"]
    zitadel.set_policy(acme, password_change=False)
    zitadel.set_policy(globex, password_change=False)
    zitadel.advance_clock(timedelta(hours=2))
    zitadel.set_policy(acme, password_change=True)
    zitadel.remove_policy(globex)
    zitadel.behave(Behavior(event_retention_seconds=3600))
    found = auditor.json("history")
    assert not found["log"]["isComplete"]
    assert found["log"]["begins"] == found["changes"][0]["time"]
    assert rows(found) == [
        ("ACME", ("Own", None), ("Own", True), None),
        ("Globex", ("Own", None), ("Inherited", None), None),
    ]
    done = auditor.run("history")
    assert "ZITADEL's event log begins at" in done.stderr
    assert "  unknown  " in done.stdout
    assert "unknown (inherited)" in done.stdout


def test_an_empty_log(auditor: Auditor) -> None:
    auditor.zitadel.advance_clock(timedelta(hours=2))
    auditor.zitadel.behave(Behavior(event_retention_seconds=3600))
    done = auditor.run("history")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "shows no event at all" in done.stderr


def test_three_pages(auditor: Auditor) -> None:
    """No event is missed or repeated where a page ends."""
    zitadel = auditor.zitadel
    many = [zitadel.add_organization(f"Many {number}") for number in range(25)]
    for number in range(100):
        for organization in many:
            zitadel.set_policy(organization, password_change=bool(number % 2))
    zitadel.clear_requests()
    changes = auditor.json("history")["changes"][1:]
    assert len(changes) == 2500
    for place, organization in enumerate(many):
        own = changes[place::25]
        assert {one["organization"]["id"] for one in own} == {organization}
        sequences = [int(one["sequence"]) for one in own]
        assert sequences == list(range(sequences[0], sequences[0] + 100))
        assert all(one["to"] == next_["from"] for one, next_ in pairwise(own))
    # One search for the right, one for the log's beginning, and a last one that finds
    # nothing new.
    assert len(zitadel.requests("POST", EVENTS)) == 1 + 1 + 3 + 1


def test_a_zitadel_with_small_pages(auditor: Auditor) -> None:
    """The page is halved until it is small enough."""
    zitadel = auditor.zitadel
    acme = zitadel.organizations["ACME"]
    for number in range(70):
        zitadel.set_policy(acme, password_change=bool(number % 2))
    zitadel.behave(Behavior(largest_limit=40))
    assert len(auditor.json("history")["changes"]) == 71


def test_transactions_that_overlap(auditor: Auditor) -> None:
    """The change that ended last counts, although it began first."""
    zitadel = auditor.zitadel
    acme = zitadel.organizations["ACME"]
    zitadel.set_policy(acme, password_change=True)
    zitadel.advance_clock(timedelta(minutes=1))
    zitadel.set_policy(acme, password_change=False)
    zitadel.behave(Behavior(transaction_milliseconds=5000))
    zitadel.set_policy(acme, password_change=True)
    *_, before, last = auditor.json("history")["changes"]
    assert before["time"] > last["time"]
    assert [before["to"]["passwordChange"], last["to"]["passwordChange"]] == [
        False,
        True,
    ]
    assert last["from"] == before["to"]


def test_a_failure_that_passes(auditor: Auditor) -> None:
    auditor.zitadel.cause(Fault(path=EVENTS, status=503, times=1))
    assert auditor.run("history").exit_code == 0


def test_a_zitadel_that_is_not_there(auditor: Auditor) -> None:
    auditor.zitadel.behave(Behavior(instance_blocked=True))
    auditor.zitadel.cause(Fault(path="/", status=404, body="not me"))
    done = auditor.run("history")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")


@pytest.mark.parametrize("role", ["IAM_ORG_MANAGER", ""])
def test_a_credential_that_may_not_read_events(auditor: Auditor, role: str) -> None:
    user = auditor.zitadel.add_user(*filter(None, [role]), name="small")
    done = auditor.run("history", token=user.credential.token)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"user small ({user.id}) may not read ZITADEL's events" in done.stderr
    assert "give the user the role IAM_OWNER_VIEWER in the instance" in done.stderr


def test_csv_is_no_formula(auditor: Auditor) -> None:
    zitadel = auditor.zitadel
    evil = zitadel.add_organization('=HYPERLINK("http://evil.example")')
    zitadel.set_policy(evil, password_change=False)
    done = auditor.run("history", "-o", "csv")
    first, second = csv.DictReader(io.StringIO(done.stdout))
    assert first["scope"] == "Instance"
    assert second["organizationName"] == '\'=HYPERLINK("http://evil.example")'
    assert second["organizationId"] == evil
    assert (second["fromPasswordChange"], second["toPasswordChange"]) == (
        "true",
        "false",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Say which ZITADEL"),
        (["--since", "soon"], "30d"),
        (["-o", "html"], "'html' is not one of"),
        (["--url", "https://a.example"], "--url needs a credential"),
    ],
)
def test_wrong_use_is_reported(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(znp, ["history", *arguments])
    assert done.exit_code == 64
    assert words in done.output


@pytest.mark.parametrize("command", ["history", "report", "check"])
def test_the_help_has_two_examples(command: str) -> None:
    done = CliRunner().invoke(znp, [command, "--help"], terminal_width=120)
    assert done.exit_code == 0
    assert done.output.count(f"  znp {command} --") == 2
