"""`znp export` writes what a ZITADEL holds, whole or not at all."""

import json
import re
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import yaml

from commands.conftest import Znp
from support.waiting import eventually
from zitadel_emulator.faults import Fault
from zitadel_emulator.testing import EmulatedZitadel, start
from zitadel_notification_operator.manifests.reading import Manifests, read_manifests
from zitadel_notification_operator.manifests.survey import Surveyor

POLICIES = "/management/v1/policies/notification"
SEARCH = "/v2/organizations/_search"
NO_REFERENCES = (
    "Two\nlines: {a: b}\n---\nkind: Secret",
    "a tab\t!",
    "\x1b[31mred",
    " blanks around ",
)
"""Names that no manifest may hold, because Kubernetes refuses them."""

ODD_NAMES = (
    "# a comment",
    "key: value # and more",
    "株式会社 アクメ",
    "Société Générale & Söhne",
    "\"quoted\" 'twice' \\ and more",
    "x" * 200,
    "\u202eright to left",
    "- - [ {",
    "bom\ufeff and \ufffe",
    "*&!|>%@`",
    "null",
)
"""Names that YAML, terminals or people may misread."""


def exported(text: str, folder: Path) -> Manifests:
    """Read an output as `znp plan` and Kubernetes would."""
    path = folder / "exported.yaml"
    path.write_text(text)
    return read_manifests([str(path)], recursive=False, stdin=sys.stdin)


def specs(found: Manifests) -> list[dict[str, Any]]:
    """Return the specs of all objects, in order."""
    return [body["spec"] for _, body in found.objects]


def own(organization: dict[str, str], *, on: bool, **more: str) -> dict[str, Any]:
    """Return the spec that an organization's own policy gets."""
    return {
        "scope": "Organization",
        "organization": organization,
        "passwordChange": on,
        **more,
        "deletionPolicy": "Retain",
    }


def test_own_policies_are_written(run_znp: Znp, zitadel: EmulatedZitadel) -> None:
    """The whole text: names as comments, values, Retain; no status, no secret."""
    acme, globex = (zitadel.organizations[name] for name in ("ACME", "Globex"))
    zitadel.set_policy(acme, password_change=True)
    zitadel.set_policy(globex, password_change=False)
    done = run_znp("export", "-n", "team-a")
    assert done.exit_code == 0
    assert done.stderr == ""
    assert (
        done.stdout
        == f"""\
---
# ACME
apiVersion: zitadel-notification.dev/v1alpha1
kind: NotificationPolicy
metadata:
  name: acme-{acme}
  namespace: team-a
spec:
  scope: Organization
  organization:
    id: "{acme}"
  passwordChange: true
  deletionPolicy: Retain
---
# Globex
apiVersion: zitadel-notification.dev/v1alpha1
kind: NotificationPolicy
metadata:
  name: globex-{globex}
  namespace: team-a
spec:
  scope: Organization
  organization:
    id: "{globex}"
  passwordChange: false
  deletionPolicy: Retain
"""
    )


def test_nothing_is_written_to_zitadel(run_znp: Znp, zitadel: EmulatedZitadel) -> None:
    """Only GETs and searches."""
    before = zitadel.events()
    assert run_znp("export", "--include-inherited").exit_code == 0
    assert zitadel.events() == before
    assert {(one["method"], one["path"]) for one in zitadel.requests()} == {
        ("GET", POLICIES),
        ("POST", SEARCH),
    }


def test_inherited_ones_observe(
    run_znp: Znp, zitadel: EmulatedZitadel, tmp_path: Path
) -> None:
    """They would get a policy of their own otherwise; so would the default."""
    acme = zitadel.organizations["ACME"]
    zitadel.set_policy(acme, password_change=False)
    done = run_znp("export", "--include-inherited", "--instance-policy")
    assert done.exit_code == 0
    found = specs(exported(done.stdout, tmp_path))
    assert found[0] == {
        "scope": "Instance",
        "passwordChange": True,
        "deletionPolicy": "Retain",
    }
    inheriting = [one for name, one in zitadel.organizations.items() if name != "ACME"]
    assert len(found) == 2 + len(inheriting)
    assert own({"id": acme}, on=False) in found
    for key in inheriting:
        assert own({"id": key}, on=True, managementPolicy="Observe") in found


def test_moving_in_observes_all(
    run_znp: Znp, zitadel: EmulatedZitadel, tmp_path: Path
) -> None:
    """As the guide applies them first; another instance can be named."""
    acme = zitadel.organizations["ACME"]
    zitadel.set_policy(acme, password_change=False)
    done = run_znp("export", "--management-policy", "Observe", "--instance-ref", "prod")
    (spec,) = specs(exported(done.stdout, tmp_path))
    assert spec["managementPolicy"] == "Observe"
    assert spec["instanceRef"] == {"name": "prod"}


@pytest.mark.parametrize("by", ["id", "name"])
def test_odd_names(
    run_znp: Znp, zitadel: EmulatedZitadel, tmp_path: Path, by: str
) -> None:
    """No name breaks the YAML; one that no manifest can hold is named by its id."""
    names = {*ODD_NAMES, *NO_REFERENCES}
    for name in names:
        zitadel.set_policy(zitadel.add_organization(name), password_change=True)
    done = run_znp("export", "--by", by)
    assert (done.exit_code, done.stderr) == (0, "")
    found = exported(done.stdout, tmp_path)
    assert found.skipped == 0
    assert {kind.name for kind, _ in found.objects} == {"NotificationPolicy"}
    assert len({body["metadata"]["name"] for _, body in found.objects}) == len(names)
    ids = {key: name for name, key in zitadel.organizations.items()}
    named = [spec["organization"] for spec in specs(found)]
    assert {one.get("name") or ids[one["id"]] for one in named} == names
    by_name = {one["name"] for one in named if "name" in one}
    assert by_name == ({*ODD_NAMES} if by == "name" else set())
    comments = [line for line in done.stdout.splitlines() if line.startswith("#")]
    assert all(line.isprintable() for line in comments)


def test_json_is_a_list(run_znp: Znp, zitadel: EmulatedZitadel, tmp_path: Path) -> None:
    """It holds the same objects."""
    zitadel.set_policy(zitadel.organizations["ACME"], password_change=True)
    texts = [run_znp("export", "-o", form).stdout for form in ("yaml", "json")]
    whole = json.loads(texts[1])
    assert (whole["apiVersion"], whole["kind"]) == ("v1", "List")
    assert [exported(text, tmp_path).objects for text in texts] == [
        exported(texts[0], tmp_path).objects
    ] * 2
    zitadel.remove_policy(zitadel.organizations["ACME"])
    empty = run_znp("export", "-o", "json")
    assert json.loads(empty.stdout)["items"] == []
    assert "No organization has a policy of its own" in empty.stderr


def test_the_order_is_stable(run_znp: Znp, zitadel: EmulatedZitadel) -> None:
    """A file in Git changes only where ZITADEL has changed."""
    for number in range(40):
        key = zitadel.add_organization(f"Customer {number}")
        zitadel.set_policy(key, password_change=number % 3 > 0)
    texts = {run_znp("export").stdout for _ in range(3)}
    assert len(texts) == 1
    names = re.findall("(?m)^# (.+)", texts.pop())
    assert names == sorted(names)


def test_a_set(run_znp: Znp, zitadel: EmulatedZitadel, tmp_path: Path) -> None:
    """The commoner value for all, and policies for the others."""
    everyone = zitadel.organizations
    for name, key in everyone.items():
        zitadel.set_policy(key, password_change=name == "ACME")
    done = run_znp("export", "--as", "set", "-n", "platform")
    assert done.exit_code == 0, done.stderr
    made, policy = exported(done.stdout, tmp_path).objects
    assert made[1] == {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicySet",
        "metadata": {"name": "organizations", "namespace": "platform"},
        "spec": {
            "organizations": {"all": True},
            "passwordChange": False,
            "deletionPolicy": "Retain",
        },
    }
    assert policy[1]["spec"] == own({"id": everyone["ACME"]}, on=True)


def test_no_set_where_somebody_inherits(run_znp: Znp) -> None:
    """A set would pin the default's value; nothing is on standard output."""
    done = run_znp("export", "--as", "set", "--instance-policy")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "would give a policy to those that inherit now: ACME (" in done.stderr
    assert "use --as policies" in done.stderr


def test_terraform_import(run_znp: Znp, zitadel: EmulatedZitadel) -> None:
    """Blocks in HCL; no name breaks out of its comment or string."""
    acme = zitadel.organizations["ACME"]
    odd = zitadel.add_organization('x"\n} ${file("/etc/passwd")}', "a:${b}%{c}")
    zitadel.set_policy(acme, password_change=True)
    headers = {"Authorization": f"Bearer {zitadel.token}", "x-zitadel-orgid": odd}
    body = {"passwordChange": True}
    httpx.post(zitadel.url + POLICIES, headers=headers, json=body).raise_for_status()
    done = run_znp("export", "--as", "terraform-import", "--instance-policy")
    assert done.exit_code == 0
    assert (
        f"\n# ACME\nimport {{\n  to = zitadel_notification_policy.acme-{acme}\n"
        f'  id = "{acme}"\n}}\n'
    ) in done.stdout
    assert '  id = "a__SEMICOLON__$${b}%%{c}"\n' in done.stdout
    blocks = re.findall(
        r"(?m)^import \{\n  to = [\w.-]+\n  id = \".*\"\n\}$", done.stdout
    )
    assert len(blocks) == 2
    assert "zitadel_default_notification_policy.default ''" in done.stdout
    outside = re.sub(r"(?m)^import \{\n.*\n.*\n\}$", "", done.stdout)
    assert all(line.startswith("#") for line in outside.splitlines() if line)


def test_one_that_is_removed_meanwhile_is_left_out(
    run_znp: Znp, zitadel: EmulatedZitadel
) -> None:
    """Its GET shows the default, as if it inherited; the second list tells."""
    gone = zitadel.add_organization("Gone")
    zitadel.set_policy(gone, password_change=False)
    zitadel.cause(Fault(method="GET", organization=gone, latency=1.0))

    def remove() -> None:
        eventually(lambda: zitadel.requests("GET"), what="the policies being read")
        zitadel.change_organization(gone, "removed")

    remover = Thread(target=remove)
    remover.start()
    done = run_znp("export", "--include-inherited")
    remover.join()
    assert done.exit_code == 0
    assert f"Warning: Organization Gone ({gone}) was removed meanwhile" in done.stderr
    assert gone not in done.stdout
    assert zitadel.organizations["ACME"] in done.stdout


def test_one_that_is_created_or_renamed_meanwhile_is_written(
    run_znp: Znp, zitadel: EmulatedZitadel
) -> None:
    """The second list has it, and the newest names."""
    zitadel.cause(Fault(method="GET", latency=1.0))

    def create() -> None:
        eventually(lambda: zitadel.requests("GET"), what="the policies being read")
        key = zitadel.add_organization("Created")
        zitadel.set_policy(key, password_change=False)
        zitadel.rename_organization(zitadel.organizations["ACME"], "Renamed")

    creator = Thread(target=create)
    creator.start()
    done = run_znp("export", "--include-inherited")
    creator.join()
    assert (done.exit_code, done.stderr) == (0, "")
    names = re.findall("(?m)^# (.+)\n(?:# It inherits|api)", done.stdout)
    assert names == ["Created", "Globex", "Renamed", "ZITADEL"]


@pytest.mark.parametrize("shape", ["policies", "terraform-import"])
def test_a_partial_read_is_no_export(
    run_znp: Znp,
    zitadel: EmulatedZitadel,
    monkeypatch: pytest.MonkeyPatch,
    shape: str,
) -> None:
    """One policy that cannot be read makes the whole fail, and the error names it."""
    monkeypatch.setattr(Surveyor.__init__, "__kwdefaults__", _impatient())
    acme = zitadel.organizations["ACME"]
    zitadel.set_policy(acme, password_change=True)
    globex = zitadel.organizations["Globex"]
    zitadel.cause(Fault(path=POLICIES, organization=globex, status=503))
    done = run_znp("export", "--as", shape)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert f"The policy of organization {globex} cannot be read" in done.stderr
    assert zitadel.token not in done.output


def _impatient() -> dict[str, Any]:
    return {**(Surveyor.__init__.__kwdefaults__ or {}), "patience": 1.0}


def test_what_passes_is_tried_again(run_znp: Znp, zitadel: EmulatedZitadel) -> None:
    """A restart of ZITADEL, or a limit, does not end a long export."""
    zitadel.set_policy(zitadel.organizations["ACME"], password_change=True)
    zitadel.cause(Fault(path=POLICIES, status=503, times=2))
    zitadel.cause(Fault(path=SEARCH, status=429, headers={"Retry-After": "1"}, times=1))
    done = run_znp("export")
    assert done.exit_code == 0, done.output
    assert "# ACME" in done.stdout


def test_pages_that_are_too_large_are_halved(
    run_znp: Znp, zitadel: EmulatedZitadel
) -> None:
    """Administrators of ZITADEL set how many rows a page may have."""
    for number in range(30):
        zitadel.add_organization(f"Customer {number}")
    behavior = zitadel.behavior()
    behavior.largest_limit = 20
    zitadel.behave(behavior)
    done = run_znp("export", "--include-inherited")
    assert done.stdout.count("kind: NotificationPolicy") == 33


def test_without_a_right_it_says_so(
    run_znp: Znp, zitadel: EmulatedZitadel, tmp_path: Path
) -> None:
    """The instance's policy needs another role than those of organizations."""
    zitadel.remove_instance_policy()
    zitadel.set_policy(zitadel.organizations["ACME"], password_change=True)
    done = run_znp("export", "--instance-policy", "--include-inherited")
    assert done.exit_code == 0
    assert "The instance has no policy of its own" in done.stderr
    assert "no policy is in force; it is not in the output" in done.stderr
    assert len(specs(exported(done.stdout, tmp_path))) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--as", "set", "--include-inherited"], "does not go with --as set"),
        (["--as", "terraform-import", "-o", "json"], "leave out -o"),
        (["--set-name", "A B"], "is not the name of a set"),
        (["-n", "A B"], "is not the name of a namespace"),
        (["--instance-ref", "A B"], "is not the name of a ZitadelInstance"),
        (["--instance", "x"], "leave out --token-file"),
    ],
)
def test_wrong_options(run_znp: Znp, arguments: list[str], says: str) -> None:
    """Usage is 64, and the text says what to do."""
    done = run_znp("export", *arguments)
    assert done.exit_code == 64
    assert done.stdout == ""
    assert says in " ".join(done.stderr.split())


@pytest.mark.clock
def test_ten_thousand_organizations_take_less_than_forty_seconds(
    tmp_path: Path,
) -> None:
    """With a rate that is not reached, and in little memory."""
    with start(organizations=10_000) as zitadel:
        token = tmp_path / "token"
        token.write_text(zitadel.token)
        program = (
            "import resource, sys, time; from zitadel_notification_operator.cli.group "
            "import znp\n"
            "begun = time.monotonic()\n"
            "try: znp()\n"
            "finally: print(time.monotonic() - begun, resource.getrusage("
            "resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )

        def run(*arguments: str) -> tuple[str, float, int]:
            command = [sys.executable, "-c", program, "export", "--url", zitadel.url]
            command += ["--token-file", str(token), "--allow-local-urls", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, kilobytes = done.stderr.split()[-2:]
            return done.stdout, float(seconds), int(kilobytes)

        text, seconds, kilobytes = run(
            "--include-inherited", "--requests-per-second", "10000"
        )
    assert text.count("kind: NotificationPolicy") == 10_001
    assert len({d["metadata"]["name"] for d in _all(text)}) == 10_001
    # As `eventually`: 40 seconds are those of an idle machine.
    assert seconds < 40 * 3
    with start(organizations=1) as zitadel:
        _, _, least = run("--include-inherited")
    assert kilobytes - least < 10_001 * 1.5


def _all(text: str) -> Any:
    return yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
