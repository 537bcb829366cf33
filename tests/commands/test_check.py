"""`znp check` against an emulated ZITADEL."""

from datetime import timedelta
from pathlib import Path

import pytest

from support.audit_commands import Auditor
from zitadel_emulator.testing import EmulatedZitadel, Fault

ACME = "280000000000000101"
GLOBEX = "280000000000000102"
ALL = ["organizations", f"organization={ACME}", "instance", "events"]


@pytest.fixture
def auditor(zitadel: EmulatedZitadel, tmp_path: Path) -> Auditor:
    return Auditor(zitadel, tmp_path)


def asked(rights: list[str]) -> list[str]:
    return [part for right in rights for part in ("--for", right)]


@pytest.mark.parametrize(
    ("role", "where", "granted"),
    [
        ("IAM_OWNER", "", [True, True, True, True]),
        ("IAM_ORG_MANAGER", "", [True, True, False, False]),
        ("IAM_OWNER_VIEWER", "", [False, False, False, True]),
        ("IAM_USER_MANAGER", "", [False, False, False, False]),
        ("ORG_SETTINGS_MANAGER", ACME, [False, True, False, False]),
        ("ORG_OWNER", GLOBEX, [False, False, False, False]),
        ("ORG_OWNER_VIEWER", ACME, [False, False, False, False]),
        ("", "", [False, False, False, False]),
    ],
)
def test_what_a_role_can_do(
    auditor: Auditor, role: str, where: str, granted: list[bool]
) -> None:
    """And nothing is written to find out."""
    zitadel = auditor.zitadel
    user = zitadel.add_user(*filter(None, [role]), organization=where, name="bot")
    token, before = user.credential.token, len(zitadel.events())
    found = auditor.json("check", *asked(ALL), token=token)
    assert [one["isGranted"] for one in found["rights"]] == granted
    assert found["isGranted"] is all(granted)
    done = auditor.run("check", *asked(ALL), token=token)
    assert done.exit_code == (0 if all(granted) else 2)
    assert done.stdout.startswith(f"User bot ({user.id}) of {zitadel.url}\n")
    assert done.stdout.endswith(f"\n{granted.count(False)} of 4 missing.\n")
    assert len(zitadel.events()) == before
    for request in zitadel.requests():
        assert request["method"] == "GET" or request["path"].endswith("/_search")


def test_what_to_give_and_where(auditor: Auditor) -> None:
    token = auditor.zitadel.add_user().credential.token
    found = auditor.json("check", *asked(ALL), token=token)
    assert [one["give"] for one in found["rights"]] == [
        {"role": "IAM_ORG_MANAGER", "in": "the instance"},
        {"role": "ORG_SETTINGS_MANAGER", "in": f"organization {ACME}"},
        {"role": "IAM_OWNER", "in": "the instance"},
        {"role": "IAM_OWNER_VIEWER", "in": "the instance"},
    ]
    done = auditor.run("check", token=token)
    assert done.exit_code == 2
    assert "give the user the role IAM_ORG_MANAGER in the instance" in done.stdout


def test_roles_in_some_organizations_are_not_roles_in_all(auditor: Auditor) -> None:
    """A small role in the instance shows the others, but does not open them."""
    zitadel = auditor.zitadel
    user = zitadel.add_user("IAM_OWNER_VIEWER")
    zitadel.set_roles(user.id, ["ORG_OWNER"], ACME)
    zitadel.set_roles(user.id, ["ORG_OWNER"], GLOBEX)
    token = user.credential.token
    assert auditor.run("check", token=token).exit_code == 2
    one = auditor.run("check", "--for", f"organization={GLOBEX}", token=token)
    assert one.exit_code == 0


@pytest.mark.parametrize("state", ["never", "removed"])
def test_an_organization_that_does_not_exist(auditor: Auditor, state: str) -> None:
    """That is no missing role."""
    wanted = "1"
    if state == "removed":
        auditor.zitadel.change_organization(GLOBEX, "removed")
        wanted = GLOBEX
    done = auditor.run("check", "--for", f"organization={wanted}")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"rganization {wanted}" in done.stderr


def test_a_credential_that_is_refused_is_an_error(auditor: Auditor) -> None:
    """Nobody could look, which is not the answer that something is missing."""
    zitadel = auditor.zitadel
    user = zitadel.add_user("IAM_OWNER", expires=zitadel.now() + timedelta(hours=1))
    zitadel.advance_clock(timedelta(hours=2))
    done = auditor.run("check", token=user.credential.token)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "refused the credential" in done.stderr


def test_a_zitadel_that_does_not_answer_is_an_error(auditor: Auditor) -> None:
    auditor.zitadel.cause(Fault(path="/auth", status=503))
    assert auditor.run("check").exit_code == 1


def test_the_default_is_all_organizations(auditor: Auditor) -> None:
    (right,) = auditor.json("check")["rights"]
    assert (right["for"], right["isGranted"]) == ("organizations", True)


def test_a_right_that_does_not_exist(auditor: Auditor) -> None:
    done = auditor.run("check", "--for", "everything")
    assert done.exit_code == 64
    assert "'everything' is none of organizations" in done.stderr
