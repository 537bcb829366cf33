"""`EmulatedZitadel`: what each of its methods does, seen by a client."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.api import ACME, ADMIN, GLOBEX, INSTANCE, ME, OWN, POLICY
from zitadel_emulator.testing import (
    BadControl,
    Behavior,
    EmulatedZitadel,
    EmulatorEnded,
    Fault,
    NotStarted,
    Policy,
    start,
)

pytestmark = pytest.mark.tls


@pytest.fixture
def client(zitadel: EmulatedZitadel) -> Iterator[httpx.Client]:
    """A client of the emulator, with the owner's token."""
    headers = {"Authorization": f"Bearer {zitadel.token}"}
    with httpx.Client(base_url=zitadel.url, headers=headers, trust_env=False) as client:
        yield client


def as_user(token: str, organization: str = "") -> dict[str, str]:
    """Return the headers of a call with another token."""
    return {"Authorization": f"Bearer {token}", "x-zitadel-orgid": organization}


@pytest.mark.parametrize("time", [1, 2])
def test_each_test_begins_anew(zitadel: EmulatedZitadel, time: int) -> None:
    """The second time nothing of the first is left."""
    assert zitadel.organizations == {"ZITADEL": OWN, "ACME": ACME, "Globex": GLOBEX}
    assert zitadel.requests() == []
    zitadel.add_organization(f"New in test {time}")
    zitadel.cause(Fault(status=503))
    httpx.get(zitadel.url, trust_env=False)
    assert len(zitadel.requests()) == 1


async def test_asynchronous_tests_can_use_it(zitadel: EmulatedZitadel) -> None:
    """It does not need the event loop of the test."""
    zitadel.set_policy(ACME, password_change=False)
    headers = as_user(zitadel.token, ACME)
    async with httpx.AsyncClient(base_url=zitadel.url, trust_env=False) as client:
        answer = await client.get(POLICY, headers=headers)
    assert answer.json()["policy"].get("passwordChange", False) is False


def test_fixtures_of_the_session_have_the_same_url(
    zitadel: EmulatedZitadel, zitadel_server: EmulatedZitadel
) -> None:
    """A client may be made once for all tests."""
    assert (zitadel.url, zitadel.token) == (zitadel_server.url, zitadel_server.token)
    assert zitadel.url.startswith("http://127.0.0.1:")


def test_organizations(zitadel: EmulatedZitadel, client: httpx.Client) -> None:
    """They are made, renamed, deactivated and removed, with their domains."""
    new = zitadel.add_organization("New")
    given = zitadel.add_organization("Given", "290000000000000001")
    assert given == "290000000000000001"
    zitadel.rename_organization(new, "Newer")
    zitadel.add_domain(new, "new.example", primary=True)
    found = client.get(ME, headers={"x-zitadel-orgid": new}).json()["org"]
    assert (found["name"], found["primaryDomain"]) == ("Newer", "new.example")
    zitadel.change_organization(given, "deactivated")
    found = client.get(ME, headers={"x-zitadel-orgid": given}).json()["org"]
    assert found["state"] == "ORG_STATE_INACTIVE"
    zitadel.change_organization(given, "removed")
    assert zitadel.organizations["Newer"] == new
    assert "Given" not in zitadel.organizations
    zitadel.add_domain(new, "other.example")
    zitadel.remove_domain(new, "other.example")
    with pytest.raises(BadControl):
        zitadel.remove_domain(new, "other.example")


def test_hosts(zitadel: EmulatedZitadel, client: httpx.Client) -> None:
    """An unknown one is not found."""
    host = {"Host": "auth.example"}
    assert client.get(ADMIN, headers=host).status_code == 404
    zitadel.add_host("auth.example")
    assert client.get(ADMIN, headers=host).status_code == 200


def test_users(zitadel: EmulatedZitadel, client: httpx.Client) -> None:
    """Roles and credentials do what they do in ZITADEL."""
    made = zitadel.add_user("ORG_OWNER", organization=ACME, name="Robot")
    mine = as_user(made.credential.token, ACME)
    assert made.name == "robot"
    assert client.get(POLICY, headers=mine).status_code == 200
    zitadel.set_roles(made.id, [], ACME)
    assert client.get(POLICY, headers=mine).status_code == 404
    zitadel.set_roles(made.id, ["ORG_OWNER"], ACME)
    zitadel.deactivate_user(made.id)
    assert client.get(POLICY, headers=mine).status_code == 401
    zitadel.reactivate_user(made.id)
    assert client.get(POLICY, headers=mine).status_code == 200
    zitadel.revoke_token(made.credential.token_id)
    assert client.get(POLICY, headers=mine).status_code == 401
    another = zitadel.add_credential(made.id)
    mine = as_user(another.token, ACME)
    assert client.get(POLICY, headers=mine).status_code == 200


def test_keys_and_secrets(zitadel: EmulatedZitadel, client: httpx.Client) -> None:
    """They buy tokens at the token endpoint."""
    made = zitadel.add_user("IAM_OWNER", credential="secret")
    form = {
        "grant_type": "client_credentials",
        "scope": "urn:zitadel:iam:org:project:id:zitadel:aud",
        "client_id": made.credential.client_id,
        "client_secret": made.credential.client_secret,
    }
    answer = client.post("/oauth/v2/token", data=form)
    token = answer.raise_for_status().json()["access_token"]
    assert client.get(ADMIN, headers=as_user(token)).status_code == 200
    zitadel.remove_secret(made.id)
    assert client.post("/oauth/v2/token", data=form).status_code == 400
    key = zitadel.add_credential(made.id, "key")
    assert key.key_file["keyId"] == key.key_id
    assert key.key_file["userId"] == made.id
    zitadel.remove_key(made.id, key.key_id)
    with pytest.raises(BadControl):
        zitadel.remove_key(made.id, key.key_id)


def test_policies(zitadel: EmulatedZitadel, client: httpx.Client) -> None:
    """They are set, inherited and removed."""
    on, off = {"passwordChange": True}, {"passwordChange": False}
    assert zitadel.policy() == Policy(on, inherited=False, written=on)
    assert zitadel.policy(ACME) == Policy(on, inherited=True, written=None)
    zitadel.set_policy(password_change=False)
    assert zitadel.policy(ACME) == Policy(off, inherited=True, written=None)
    zitadel.set_policy(ACME, password_change=True)
    assert zitadel.policy(ACME) == Policy(on, inherited=False, written=on)
    assert zitadel.policy(ACME).password_change
    zitadel.remove_policy(ACME)
    assert not zitadel.policy(ACME).password_change
    zitadel.set_policy_flags(emailChange="bool")
    zitadel.set_policy(ACME, password_change=True, emailChange=True)
    shown = client.get(POLICY, headers={"x-zitadel-orgid": ACME}).json()["policy"]
    assert shown["emailChange"] is True
    zitadel.remove_policy(ACME)
    zitadel.remove_instance_policy()
    assert zitadel.policy(ACME) == Policy(None, inherited=True, written=None)
    assert not zitadel.policy().password_change


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault(status=503, times=1), 503),
        (Fault(path="/admin", method="GET", body="no JSON"), 200),
        (Fault(path="/management", status=500), 200),
    ],
)
def test_faults(
    zitadel: EmulatedZitadel, client: httpx.Client, fault: Fault, status: int
) -> None:
    """They match by path and method, and may end by themselves."""
    zitadel.cause(fault)
    assert zitadel.faults() == [fault]
    answer = client.get(ADMIN)
    assert answer.status_code == status
    assert (answer.text == "no JSON") is (fault.body is not None)
    assert zitadel.faults() == ([] if fault.times else [fault])
    zitadel.clear_faults()
    assert zitadel.faults() == []
    assert "policy" in client.get(ADMIN).json()


def test_faults_of_the_network(zitadel: EmulatedZitadel, client: httpx.Client) -> None:
    """Connections are cut, and answers never come."""
    zitadel.cause(Fault(reset=True, times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(ADMIN)
    zitadel.cause(Fault(hang=True, times=1))
    with pytest.raises(httpx.ReadTimeout):
        client.get(ADMIN, timeout=0.2)
    assert [each["status"] for each in zitadel.requests("GET", ADMIN)] == [0, 0]
    zitadel.clear_requests()
    assert zitadel.requests() == []


def test_lost_events(zitadel: EmulatedZitadel, client: httpx.Client) -> None:
    """The write is accepted, and no GET shows it."""
    zitadel.lose("changed", ACME)
    zitadel.set_policy(ACME, password_change=True)
    assert zitadel.still_to_lose() == 1
    headers = {"x-zitadel-orgid": ACME}
    body = {"passwordChange": False}
    assert client.put(POLICY, json=body, headers=headers).status_code == 200
    assert zitadel.still_to_lose() == 0
    assert client.put(POLICY, json=body, headers=headers).status_code == 400
    assert zitadel.policy(ACME).password_change
    assert zitadel.policy(ACME).written == body
    assert zitadel.events(ACME)[-1]["type"] == "org.policy.notification.changed"
    zitadel.lose_of_instance("changed", count=2)
    zitadel.lose("removed")
    assert zitadel.still_to_lose() == 3
    zitadel.clear_losses()
    assert zitadel.still_to_lose() == 0


def test_switches(zitadel: EmulatedZitadel, client: httpx.Client) -> None:
    """A read side that has stopped shows what was there before."""
    zitadel.behave(Behavior(projection_stopped=True))
    assert zitadel.behavior() == Behavior(projection_stopped=True)
    client.put(ADMIN, json={"passwordChange": False}).raise_for_status()
    assert zitadel.policy().password_change
    zitadel.behave(Behavior())
    assert not zitadel.policy().password_change
    zitadel.set_database(down=True)
    assert client.get(ADMIN).status_code == 404
    zitadel.set_database(down=False)
    assert client.get(ADMIN).status_code == 200


def test_the_clock(zitadel: EmulatedZitadel, client: httpx.Client) -> None:
    """Tokens end when their time has come."""
    begin = zitadel.now()
    assert abs(begin - datetime.now(UTC)) < timedelta(minutes=1)
    end = begin + timedelta(days=1)
    made = zitadel.add_user("IAM_OWNER", expires=end)
    mine = as_user(made.credential.token)
    assert client.get(ADMIN, headers=mine).status_code == 200
    zitadel.advance_clock(timedelta(days=1))
    assert client.get(ADMIN, headers=mine).status_code == 401
    assert zitadel.now() >= end
    with pytest.raises(BadControl, match="seconds"):
        zitadel.advance_clock(-timedelta(seconds=1))


def test_events(zitadel: EmulatedZitadel) -> None:
    """They may be those of one organization, or of all."""
    zitadel.set_policy(ACME, password_change=True)
    last = zitadel.events(ACME)[-1]
    assert last["payload"] == {"passwordChange": True}
    assert last in zitadel.events()
    assert last not in zitadel.events(INSTANCE)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("cause", {"fault": Fault(status=99)}, "status"),
    ("lose", {"kind": "moved"}, "kind"),
    ("behave", {"behavior": Behavior(stale_reads=-1)}, "stale_reads"),
    ("policy", {"organization": "1"}, "organization"),
    ("set_policy", {"password_change": True, "other": True}, "other"),
    ("add_organization", {"name": "ACME"}, ""),
    ("deactivate_user", {"user": "1/../2"}, "user"),
]


@pytest.mark.parametrize(("method", "arguments", "field"), REFUSED)
def test_what_is_refused_names_the_field(
    zitadel: EmulatedZitadel, method: str, arguments: dict[str, Any], field: str
) -> None:
    """It is one exception for all methods, with the emulator's sentence."""
    with pytest.raises(BadControl, match=f"^{field}"):
        getattr(zitadel, method)(**arguments)


def test_an_emulator_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its own token and size, whatever the command's variables say."""
    monkeypatch.setenv("ZITADEL_EMULATOR_TOKEN", "other")
    monkeypatch.setenv("ZITADEL_EMULATOR_TLS_CERT", "nowhere")
    with start("mine", organizations=4) as own:
        assert len(own.organizations) == 5
        headers = {"Authorization": "Bearer mine"}
        url = own.url + ADMIN
        assert httpx.get(url, headers=headers, trust_env=False).status_code == 200
    with pytest.raises(EmulatorEnded, match=own.url):
        own.reset()


def test_the_readme_lists_all_methods() -> None:
    """None is missing, and none is made up."""
    text = (Path(__file__).parent.parent / "README.md").read_text()
    table = text.partition("| about | methods |")[2].partition("\n\n")[0]
    methods = {name for name in dir(EmulatedZitadel) if not name.startswith("_")}
    assert set(re.findall(r"`(\w+)`", table)) == methods - {"control"}
    for name in methods:
        assert getattr(EmulatedZitadel, name).__doc__, name


def test_an_emulator_that_cannot_start() -> None:
    """The text is what it printed."""
    with pytest.raises(NotStarted, match="--token"), start("a b"):
        pass
