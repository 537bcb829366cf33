"""`znp report` against an emulated ZITADEL."""

import csv
import io
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from support.audit_commands import Auditor
from support.html_pages import Page
from zitadel_emulator.testing import Behavior, EmulatedZitadel

SCRIPT = "</style><script>alert('1')</script>"


@pytest.fixture
def auditor(zitadel: EmulatedZitadel, tmp_path: Path) -> Auditor:
    return Auditor(zitadel, tmp_path)


def page_of(auditor: Auditor, *arguments: str) -> Page:
    """Return the page; it has no script and names nothing outside."""
    done = auditor.run("report", *arguments)
    assert done.exit_code == 0, done.output
    page = Page(done.stdout)
    names = {name for name, _ in page.elements}
    assert names.isdisjoint({"script", "img", "iframe", "object", "form", "base"})
    links = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in {"src", "href", "action", "style"} or name.startswith("on")
    ]
    assert links == ["data:,"]
    assert "url(" not in done.stdout
    assert "@import" not in done.stdout
    return page


def test_the_page(auditor: Auditor) -> None:
    zitadel = auditor.zitadel
    acme, globex = zitadel.organizations["ACME"], zitadel.organizations["Globex"]
    anna = zitadel.add_user("IAM_OWNER", name="Anna")
    auditor.call("POST", acme, False, anna.credential.token)
    auditor.call("POST", globex, True, zitadel.token)
    page = page_of(auditor)
    off, in_force, changes = page.tables
    assert [row[:3] for row in off.rows] == [[f"ACME ({acme})", "OFF", "own"]]
    assert off.rows[0][4] == f"Anna ({anna.id})"
    assert [row[:3] for row in in_force.rows] == [
        ["instance", "on", "own"],
        [f"ACME ({acme})", "OFF", "own"],
        [f"Globex ({globex})", "on", "own"],
        ["ZITADEL (280000000000000002)", "on", "inherited"],
    ]
    assert in_force.rows[2][4].endswith(", this credential")
    assert in_force.rows[3][4] == "ZITADEL itself"
    assert [row[1:4] for row in changes.rows] == [
        ["instance", "no policy", "true"],
        [f"ACME ({acme})", "true (inherited)", "false"],
        [f"Globex ({globex})", "true (inherited)", "true"],
    ]


def test_the_page_is_accessible(auditor: Auditor) -> None:
    auditor.zitadel.set_policy(password_change=False)
    page = page_of(auditor)
    assert page.named("html") == [{"lang": "en"}]
    assert len(page.named("title")) == len(page.named("h1")) == 1
    assert len(page.named("main")) == len(page.named("header")) == 1
    assert all(table.caption for table in page.tables)
    scopes = [one["scope"] for one in page.named("th")]
    assert scopes.count("col") == 5 * len(page.tables)
    assert scopes.count("row") == sum(len(table.rows) for table in page.tables)


def test_names_are_texts(auditor: Auditor) -> None:
    """Also those of users, and those that turn the direction of a text."""
    zitadel = auditor.zitadel
    evil = zitadel.add_organization(SCRIPT)
    right = zitadel.add_organization("\u202eAbc & ürümqi 山田")
    user = zitadel.add_user("IAM_OWNER", name='"><b onclick=x>')
    auditor.call("POST", evil, False, user.credential.token)
    page = page_of(auditor)
    shown = {row[0] for table in page.tables for row in table.rows}
    assert f"{SCRIPT} ({evil})" in shown
    assert f" Abc & ürümqi 山田 ({right})" in shown
    assert f'"><b onclick=x> ({user.id})' in page.text


def test_nothing_is_off_and_nothing_has_changed(auditor: Auditor) -> None:
    later = (auditor.zitadel.now() + timedelta(days=1)).isoformat()
    page = page_of(auditor, "--since", later)
    assert "Nowhere: they are on for all organizations." in page.text
    assert "None since" in page.text
    assert len(page.tables) == 1


def test_json(auditor: Auditor) -> None:
    zitadel = auditor.zitadel
    acme = zitadel.organizations["ACME"]
    zitadel.set_policy(acme, password_change=False)
    zitadel.remove_policy(acme)
    zitadel.set_policy(password_change=False)
    found = auditor.json("report")
    assert found["zitadel"]["id"] == "280000000000000001"
    assert found["instance"]["passwordChange"] is False
    one = found["organizations"][0]
    assert (one["organization"]["id"], one["source"]) == (acme, "Inherited")
    assert one["since"] == found["instance"]["since"] == found["changes"][-1]["time"]
    assert not any(row["logDiffers"] for row in found["organizations"])


def test_csv(auditor: Auditor) -> None:
    auditor.zitadel.add_organization("-1+1", "custom-id")
    done = auditor.run("report", "-o", "csv")
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["organizationName"] for row in found] == [
        "",
        "'-1+1",
        "ACME",
        "Globex",
        "ZITADEL",
    ]
    assert {row["passwordChange"] for row in found} == {"true"}


@pytest.mark.parametrize("lost", ["added", "changed", "removed"])
def test_a_change_that_zitadel_has_lost(auditor: Auditor, lost: str) -> None:
    """What is in force is what a GET shows; the page says that the log differs."""
    zitadel = auditor.zitadel
    acme = zitadel.organizations["ACME"]
    zitadel.lose(lost, acme)  # type: ignore[arg-type] # of the list above
    zitadel.set_policy(acme, password_change=False)
    if lost != "added":
        zitadel.set_policy(acme, password_change=True)
    if lost == "removed":
        zitadel.remove_policy(acme)
    one = auditor.json("report")["organizations"][0]
    assert one["passwordChange"] is zitadel.policy(acme).password_change
    assert (one["source"] == "Inherited") is zitadel.policy(acme).inherited
    assert one["logDiffers"]
    page = page_of(auditor)
    assert page.text.count("ZITADEL's event log says otherwise") >= 2


def test_a_log_that_was_cut(auditor: Auditor) -> None:
    """A GET still says since when, but not by whom."""
    zitadel = auditor.zitadel
    acme = zitadel.organizations["ACME"]
    zitadel.set_policy(acme, password_change=False)
    zitadel.advance_clock(timedelta(hours=2))
    zitadel.set_policy(zitadel.organizations["Globex"], password_change=True)
    zitadel.behave(Behavior(event_retention_seconds=3600))
    first, second, third = auditor.json("report")["organizations"]
    assert (first["by"]["kind"], first["passwordChange"]) == ("Unknown", False)
    assert first["since"] < second["since"]
    assert (second["by"]["kind"], third["by"]["kind"]) == ("ZITADEL", "Unknown")
    page = page_of(auditor)
    assert "ZITADEL's event log begins at" in page.text
    assert "the list of changes is incomplete" in page.text
    assert "ZITADEL's event log begins at" in auditor.run("report").stderr


def test_an_instance_without_a_policy(auditor: Auditor) -> None:
    auditor.zitadel.remove_instance_policy()
    found = auditor.json("report")
    assert {one["source"] for one in found["organizations"]} == {"None"}
    assert "OFF: no policy" in page_of(auditor).tables[1].rows[0][1]


def test_a_thousand_organizations(auditor: Auditor) -> None:
    zitadel = auditor.zitadel
    for number in range(997):
        zitadel.add_organization(f"Organization {number:04}")
    zitadel.clear_requests()
    page = page_of(auditor)
    assert len(page.tables[0].rows) == 1 + 1000
    policies = zitadel.requests("GET", "/management/v1/policies/notification")
    assert len(policies) == 1000


def test_a_file(auditor: Auditor) -> None:
    """It is replaced as a whole, or left as it was."""
    path = auditor.folder / "report.html"
    path.write_text("old")
    done = auditor.run("report", "--output", str(path))
    assert (done.exit_code, done.stdout) == (0, "")
    assert "a report on 3 organizations" in done.stderr
    first = path.read_text()
    assert first.startswith("<!DOCTYPE html>")
    auditor.zitadel.behave(Behavior(instance_blocked=True))
    assert auditor.run("report", "--output", str(path), token="none").exit_code == 1
    assert path.read_text() == first
    assert sorted(one.name for one in auditor.folder.iterdir()) == [
        "report.html",
        "token",
    ]


def test_what_lies_beside_the_file_stays_as_it_is(auditor: Auditor) -> None:
    """Whoever may write to the folder could else choose what is overwritten."""
    victim = auditor.folder / "victim"
    victim.write_text("mine")
    (auditor.folder / ".report.html.part").symlink_to(victim)
    kept = auditor.folder / ".other.html.part"
    kept.write_text("mine, too")
    for name in ("report.html", "other.html"):
        done = auditor.run("report", "--output", str(auditor.folder / name))
        assert done.exit_code == 0, done.output
    assert (victim.read_text(), kept.read_text()) == ("mine", "mine, too")
    assert (auditor.folder / ".report.html.part").is_symlink()


def test_who_may_read_the_file(auditor: Auditor) -> None:
    """A new one belongs to its owner alone; one that exists keeps its mode."""
    path = auditor.folder / "report.html"
    modes = []
    for mode in (None, 0o640, 0o400):
        if mode is not None:
            path.chmod(mode)
        assert auditor.run("report", "--output", str(path)).exit_code == 0
        modes.append(stat.S_IMODE(path.stat().st_mode))
    assert modes == [0o600, 0o640, 0o400]


def test_a_link_to_a_file_stays_one(auditor: Auditor) -> None:
    """Its target is written, which may not exist yet."""
    (auditor.folder / "pages").mkdir()
    target = auditor.folder / "pages" / "today.html"
    link = auditor.folder / "report.html"
    link.symlink_to(Path("pages", "today.html"))
    for _ in range(2):
        assert auditor.run("report", "--output", str(link)).exit_code == 0
        assert link.is_symlink()
        assert target.read_text().startswith("<!DOCTYPE html>")
    assert [one.name for one in target.parent.iterdir()] == ["today.html"]


def test_a_file_that_cannot_be_written(auditor: Auditor) -> None:
    """A folder that does not exist is noticed before ZITADEL is asked."""
    missing = auditor.folder / "none" / "report.html"
    done = auditor.run("report", "--output", str(missing))
    assert done.exit_code == 64
    assert "There is no folder" in done.stderr
    assert auditor.zitadel.requests() == []
    done = auditor.run("report", "--output", "/proc/report.html")
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr


def test_a_credential_that_may_not_read_events(auditor: Auditor) -> None:
    user = auditor.zitadel.add_user("IAM_ORG_MANAGER", name="small")
    done = auditor.run("report", token=user.credential.token)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "IAM_OWNER_VIEWER" in done.stderr


def test_who_may_only_view_can_report(auditor: Auditor) -> None:
    user = auditor.zitadel.add_user("IAM_OWNER_VIEWER")
    assert auditor.json("report", token=user.credential.token)["organizations"]
