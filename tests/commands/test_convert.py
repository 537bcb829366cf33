"""`znp convert` says what other tools hold, and guesses nothing."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from zitadel_notification_operator.cli.group import znp
from zitadel_notification_operator.manifests.reading import read_manifests

DATA = Path(__file__).parent.parent / "data" / "convert"
ACME, GLOBEX, INITECH = (f"28000000000000010{n}" for n in (1, 2, 3))
TERRAFORM = {
    "instance": ("", True),
    f"acme-{ACME}": (ACME, True),
    f"counted-{GLOBEX}": (GLOBEX, False),
    f"counted-{INITECH}": (INITECH, True),
    "this-7656748c72be6ea1": ("org-c-custom-id", False),
}
EXPECTED: dict[str, dict[str, tuple[str, bool]]] = {
    "terraform-state.json": TERRAFORM,
    "terraform-show.json": TERRAFORM,
    "terraform-plan.json": {f"acme-{ACME}": (ACME, True)},
    "pulumi.json": {
        f"acme-{ACME}": (ACME, True),
        f"globex-{GLOBEX}": (GLOBEX, False),
        "instance": ("", True),
    },
    "truvity.json": {
        f"acme-{ACME}": (ACME, True),
        f"globex-{GLOBEX}": (GLOBEX, False),
        f"initech-{INITECH}": (INITECH, False),
        "instance": ("", True),
    },
    "crossplane.json": {
        f"contrib-acme-{ACME}": (ACME, True),
        f"contrib-globex-{GLOBEX}": (GLOBEX, False),
        "instance": ("", True),
        f"loafoe-{INITECH}": (INITECH, True),
        "contrib-bare-280000000000000104": ("280000000000000104", True),
    },
}
"""The manifests of each file: the object's name, the organization and the value."""

OF_STATE = [
    "counted[1] is tainted: terraform apply would reset the organization",
    "counted[1]: a deposed object is left out",
]
WARNINGS = {
    "terraform-state.json": OF_STATE,
    "terraform-show.json": OF_STATE,
    "terraform-plan.json": [
        "acme: the plan would change it; the manifest has what is there before that",
        "new: the plan would create it; it is not there yet, and left out",
    ],
    "pulumi.json": [
        "globex-old: it is an old one that waits for its deletion, and left out",
        "read: it is only read by Pulumi, and left out",
    ],
    "truvity.json": [
        "globex: passwordChange was left out, which means false there: mails are off",
        "going: it is being deleted, and left out",
    ],
    "crossplane.json": ["its spec says passwordChange true, its status false"],
}

Change = Callable[[Any], None]


def convert(tool: str, file: Path | str, *more: str, **settings: Any) -> Result:
    """Run the command."""
    arguments = ["convert", "--from", tool, str(file), *more]
    return CliRunner().invoke(znp, arguments, **settings)


def tool_of(file: str) -> str:
    """Return the tool that a file of the test data is from."""
    return file.partition(".")[0].partition("-")[0]


def objects(text: str, folder: Path) -> list[dict[str, Any]]:
    """Read an output as `znp plan` and Kubernetes would."""
    path = folder / "converted.yaml"
    path.write_text(text)
    found = read_manifests([str(path)], recursive=False, stdin=io.StringIO())
    return [body for _, body in found.objects]


@pytest.mark.parametrize("file", EXPECTED)
def test_what_each_tool_holds(file: str, tmp_path: Path) -> None:
    """Every policy with its organization's id, its value, and Retain."""
    done = convert(tool_of(file), DATA / file)
    assert done.exit_code == 0, done.output
    made = objects(done.stdout, tmp_path)
    assert {one["metadata"]["name"]: one["spec"] for one in made} == {
        name: {
            "scope": "Organization" if organization else "Instance",
            **({"organization": {"id": organization}} if organization else {}),
            "passwordChange": value,
            "deletionPolicy": "Retain",
        }
        for name, (organization, value) in EXPECTED[file].items()
    }


@pytest.mark.parametrize("file", EXPECTED)
def test_what_people_must_know_is_on_standard_error(file: str) -> None:
    """One line each; nothing of it is in the output."""
    done = convert(tool_of(file), DATA / file)
    lines = done.stderr.splitlines()
    assert len(lines) == len(WARNINGS[file])
    for line, says in zip(lines, WARNINGS[file], strict=True):
        assert line.startswith("Warning: ")
        assert says in line


@pytest.mark.parametrize("file", EXPECTED)
def test_no_secret_of_a_file_is_shown(file: str) -> None:
    """The states of these tools hold secrets of other resources."""
    assert "canary" not in convert(tool_of(file), DATA / file).output


def test_comments_say_where_it_comes_from() -> None:
    """The two forms of a state give the same text; no key breaks out of its line."""
    stored = convert("terraform", DATA / "terraform-state.json").stdout
    assert stored == convert("terraform", DATA / "terraform-show.json").stdout
    assert (
        '# From module.teams["eu"].module.policy.zitadel_notification_policy.this'
        r'["Müller \"GmbH\"\n# & Co: x"]'
    ) in stored
    assert "# Tainted: Terraform would replace it\n" in stored
    left_out = convert("truvity", DATA / "truvity.json").stdout
    assert "# passwordChange was left out, which means false there\n" in left_out


def test_options(tmp_path: Path) -> None:
    """Moving in begins with Observe; a namespace and an instance can be named."""
    text = (DATA / "terraform-plan.json").read_text()
    options = ["--management-policy", "Observe", "-n", "team-a"]
    options += ["--instance-ref", "prod"]
    forms = [
        convert("terraform", "-", *options, "-o", form, input=text)
        for form in ("yaml", "json")
    ]
    made = [objects(done.stdout, tmp_path) for done in forms]
    assert made[0] == made[1]
    (body,) = made[0]
    assert body["metadata"] == {"name": f"acme-{ACME}", "namespace": "team-a"}
    assert body["spec"]["managementPolicy"] == "Observe"
    assert body["spec"]["instanceRef"] == {"name": "prod"}


@pytest.mark.parametrize(
    ("tool", "text", "skipped"),
    [
        ("terraform", '{"version": 4, "resources": []}', 0),
        ("terraform", '{"format_version": "1.0"}', 0),
        ("pulumi", '{"version": 3, "deployment": {}}', 0),
        ("pulumi", '{"version": 4, "deployment": {"resources": [{"type": "a"}]}}', 1),
        ("truvity", '{"apiVersion": "v1", "kind": "List", "items": []}', 0),
        ("crossplane", "{apiVersion: v1, kind: Pod}", 1),
    ],
)
def test_nothing_to_convert_is_told(tool: str, text: str, skipped: int) -> None:
    """It is no error: a stack may have none."""
    done = convert(tool, "-", input=text)
    assert (done.exit_code, done.stdout) == (0, "# There are no objects\n")
    assert done.stderr == (
        "There is no notification policy in standard input; other resources: "
        f"{skipped}\n"
    )


def changed(file: str, change: Change) -> str:
    """Return a file of the test data with a change."""
    whole = json.loads((DATA / file).read_text())
    change(whole)
    return json.dumps(whole)


def resource(whole: Any, number: int) -> Any:
    """Return a resource of a state or a stack."""
    return whole.get("deployment", whole)["resources"][number]


def put(place: Any, key: Any, value: Any) -> None:
    """Set a value, or remove it if it is None."""
    if value is None:
        del place[key]
    else:
        place[key] = value


SECRET = {
    "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
    "ciphertext": "canary",
}


def attributes(whole: Any, number: int = 2) -> Any:
    """Return the attributes of a resource's first instance."""
    return resource(whole, number)["instances"][0]["attributes"]


WRONG: list[tuple[str, Change, str]] = [
    (
        "terraform-state.json",
        lambda w: put(w, "version", 3),
        "is a state of version 3; znp reads version 4",
    ),
    (
        "terraform-state.json",
        lambda w: put(w, "version", "canary-version"),
        "is a state of version an unknown kind",
    ),
    (
        "terraform-state.json",
        lambda w: put(w, "version", None),
        "it has neither version nor format_version; give what terraform state pull",
    ),
    ("terraform-state.json", lambda w: put(w, "encrypted_data", "x"), "encrypted stat"),
    (
        "terraform-state.json",
        lambda w: put(w, "resources", {}),
        "resources must be a l",
    ),
    (
        "terraform-state.json",
        lambda w: put(attributes(w), "password_change", None),
        "zitadel_notification_policy.acme: it has no password_change",
    ),
    (
        "terraform-state.json",
        lambda w: put(attributes(w), "password_change", "canary"),
        "acme: this is neither true nor false: password_change",
    ),
    (
        "terraform-state.json",
        lambda w: put(attributes(w), "org_id", "2"),
        "acme: its org_id and id differ, so its organization is unknown",
    ),
    (
        "terraform-state.json",
        lambda w: attributes(w).update(id="", org_id=None),
        "acme: it has neither org_id nor id",
    ),
    (
        "terraform-state.json",
        lambda w: put(resource(w, 2)["instances"][0], "attributes", None),
        "acme: it has no attributes",
    ),
    (
        "terraform-state.json",
        lambda w: put(resource(w, 3)["instances"][0], "index_key", True),
        "an index_key is neither a number nor a text",
    ),
    (
        "terraform-state.json",
        lambda w: put(resource(w, 2), "name", None),
        "a zitadel_notification_policy has no name",
    ),
    (
        "terraform-state.json",
        lambda w: attributes(w).update(org_id=GLOBEX, id=GLOBEX),
        "acme and zitadel_notification_policy.counted[0] contradict each other",
    ),
    (
        "terraform-state.json",
        lambda w: attributes(w).update(org_id="1 2", id="1 2"),
        "acme: spec.organization.id: `id` must be a string of visible ASCII",
    ),
    (
        "terraform-show.json",
        lambda w: put(w, "format_version", "0.2"),
        "has the format_version 0.2; znp reads 1.x",
    ),
    (
        "terraform-show.json",
        lambda w: put(w, "format_version", "2.0"),
        "has the format_version 2.0",
    ),
    (
        "terraform-show.json",
        lambda w: put(w["values"], "root_module", []),
        "root_module must be an object",
    ),
    (
        "terraform-plan.json",
        lambda w: put(w, "prior_state", None),
        "is a plan without a prior state",
    ),
    ("pulumi.json", lambda w: put(w, "version", 2), "is a stack of version 2"),
    ("pulumi.json", lambda w: put(w, "deployment", None), "it has no version or no de"),
    (
        "pulumi.json",
        lambda w: put(resource(w, 2)["outputs"], "passwordChange", SECRET),
        "::acme: passwordChange is encrypted; give what pulumi stack export --show-se",
    ),
    (
        "pulumi.json",
        lambda w: put(resource(w, 2)["outputs"], "orgId", {"a": "canary"}),
        "::acme: orgId is no plain value",
    ),
    (
        "pulumi.json",
        lambda w: put(resource(w, 2)["outputs"], "orgId", "2"),
        "::acme: its orgId and id differ",
    ),
    (
        "pulumi.json",
        lambda w: put(resource(w, 2)["outputs"], "passwordChange", None),
        "::acme: it has no passwordChange",
    ),
    ("pulumi.json", lambda w: put(resource(w, 2), "urn", None), "has no urn"),
    (
        "truvity.json",
        lambda w: put(w["items"][0], "status", None),
        "team-a/acme: its organization is unknown: it has none; its status would tell",
    ),
    (
        "truvity.json",
        lambda w: put(w["items"][0]["spec"], "organizationId", "2"),
        "acme: its organization is unknown: status.organizationId and spec.organizati",
    ),
    (
        "truvity.json",
        lambda w: put(w["items"][0], "apiVersion", "zitadel.truvity.io/v1"),
        "item 1: znp reads zitadel.truvity.io/v1alpha2, not zitadel.truvity.io/v1",
    ),
    (
        "truvity.json",
        lambda w: put(w["items"][0]["spec"], "passwordChange", "canary"),
        "acme: this is neither true nor false: spec.passwordChange",
    ),
    (
        "truvity.json",
        lambda w: put(w["items"][0], "metadata", {}),
        "item 1: a NotificationPolicy has no name",
    ),
    ("truvity.json", lambda w: put(w["items"][0], "spec", "x"), "spec must be an obj"),
    (
        "crossplane.json",
        lambda w: put(w["items"][1]["spec"]["forProvider"], "orgId", None),
        "team-b/contrib-globex: its organization is unknown: it has none",
    ),
    (
        "crossplane.json",
        lambda w: put(w["items"][3]["status"]["atProvider"], "passwordChange", None),
        "team-c/loafoe: it has no passwordChange",
    ),
    (
        "crossplane.json",
        lambda w: put(w["items"][0]["spec"]["forProvider"], "orgId", "2"),
        "status.atProvider.orgId and spec.forProvider.orgId differ",
    ),
    (
        "crossplane.json",
        lambda w: put(
            w["items"][5], "apiVersion", "notification.zitadel.crossplane.io/v2"
        ),
        "item 6: znp does not know Policy of notification.zitadel.crossplane.io/v2",
    ),
    (
        "crossplane.json",
        lambda w: put(w["items"][6], "kind", "OtherNotificationPolicy"),
        "item 7: znp does not know OtherNotificationPolicy",
    ),
]


@pytest.mark.parametrize(("file", "change", "says"), WRONG)
def test_what_cannot_be_read_is_an_error_that_names_it(
    file: str, change: Change, says: str
) -> None:
    """Nothing is on standard output, and no value is quoted."""
    done = convert(tool_of(file), "-", input=changed(file, change))
    assert done.exit_code == 1
    assert done.stdout == ""
    assert says in done.stderr
    assert "canary" not in done.output


STATE = '{"version": 4, "resources": [%s]}'
SHOWN = '{"format_version": "1.0", "values": {"root_module": {"resources": [%s]}}}'
OURS = '"type": "zitadel_notification_policy", "name": "a"'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (STATE % f"{{{OURS}}}", "policy.a: its mode is neither managed nor data"),
        (STATE % f'{{{OURS}, "mode": "managed"}}', "policy.a: it has no instances"),
        (STATE % f'{{{OURS}, "mode": []}}', "policy.a: its mode is neither"),
        (SHOWN % f'{{{OURS}, "address": "m.a"}}', "m.a: its mode is neither managed"),
    ],
)
def test_half_a_resource_of_terraform_is_an_error(text: str, says: str) -> None:
    """It is not counted among those that are of no interest."""
    done = convert("terraform", "-", input=text)
    assert (done.exit_code, done.stdout) == (1, "")
    assert says in done.stderr


STACK = '{"version": 3, "deployment": {"%s": [%s]}}'
OF_PULUMI = '"type": "zitadel:index/notificationPolicy:NotificationPolicy", "urn": "u"'
OF_STATE_4 = f'{{{OURS}, "mode": "managed", "instances": [{{"attributes": %s}}]}}'


@pytest.mark.parametrize(
    ("tool", "text", "says"),
    [
        (
            "terraform",
            STATE % (OF_STATE_4 % '{"org_id": [], "id": "1"}'),
            "a: its org_id or id is no text, so its organization is unknown",
        ),
        (
            "pulumi",
            STACK % ("resources", f'{{{OF_PULUMI}, "outputs": {{"orgId": []}}}}'),
            "u: its orgId or id is no text, so its organization is unknown",
        ),
        ("pulumi", STACK % ("resources", '{"type": []}'), "other resources: 1"),
        (
            "pulumi",
            STACK % ("pending_operations", '{"resource": {"type": {}}}'),
            "other resources: 0",
        ),
    ],
)
def test_lists_where_texts_belong(tool: str, text: str, says: str) -> None:
    """They are no keys in Python, which must not show as a traceback."""
    done = convert(tool, "-", input=text)
    assert done.stdout in {"", "# There are no objects\n"}
    assert says in done.stderr


@pytest.mark.parametrize("tool", ["truvity", "crossplane"])
def test_a_list_without_objects_is_no_failure(tool: str) -> None:
    """kubectl prints one where there are no objects, and nothing where it fails."""
    done = convert(tool, "-", input="apiVersion: v1\nkind: List\nitems: []\n")
    assert (done.exit_code, done.stdout) == (0, "# There are no objects\n")
    empty = convert(tool, "-", input="")
    assert empty.exit_code == 1
    assert empty.stderr == (
        "Error: standard input holds no object; kubectl get -o json prints a list even "
        "where there are none, so it may have failed\n"
    )


@pytest.mark.parametrize("tool", ["terraform", "pulumi", "truvity", "crossplane"])
@pytest.mark.parametrize(
    "text", ["", "null", "# x", "[", "[]", "7", '{"a": canary}', "{" * 9999]
)
def test_files_of_anything_else(tool: str, text: str) -> None:
    """One sentence, no traceback."""
    done = convert(tool, "-", input=text)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: standard input")
    assert "canary" not in done.output


def test_several_zitadels_are_a_warning() -> None:
    """Ids of one would be looked for in another."""

    def change(whole: Any) -> None:
        whole["items"][0]["spec"]["instance"] = "staging"

    done = convert("truvity", "-", input=changed("truvity.json", change))
    assert done.exit_code == 0
    assert "belong to several instances: prod, staging. If these are" in done.stderr


def test_one_organization_in_two_resources() -> None:
    """With one value it is one manifest that names both."""

    def change(whole: Any) -> None:
        attributes(whole).update(org_id=INITECH, id=INITECH)

    text = convert("terraform", "-", input=changed("terraform-state.json", change))
    assert text.exit_code == 0
    assert text.stdout.count(INITECH) == 2
    assert (
        "# From zitadel_notification_policy.acme\n"
        "# From zitadel_notification_policy.counted[1]\n"
    ) in text.stdout


def test_secrets_of_pulumi_that_are_shown_are_read() -> None:
    """`--show-secrets` writes the values as JSON within JSON."""

    def change(whole: Any) -> None:
        shown = {**SECRET, "plaintext": "false"}
        resource(whole, 2)["outputs"]["passwordChange"] = shown

    done = convert("pulumi", "-", input=changed("pulumi.json", change))
    assert done.exit_code == 0
    first = done.stdout.split("---\n")[1]
    assert "passwordChange: false" in first


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The path is in the sentence; a missing option is a matter of usage."""
    done = convert("pulumi", tmp_path / "none")
    assert done.exit_code == 1
    assert "none cannot be read: No such file" in done.stderr
    assert CliRunner().invoke(znp, ["convert", "x"]).exit_code == 64


def test_an_attribute_that_is_not_converted_is_named(tmp_path: Path) -> None:
    """A newer provider may have more settings than this version knows."""
    text = (DATA / "terraform-state.json").read_text()
    path = tmp_path / "state.json"
    path.write_text(
        text.replace('"password_change"', '"email": true, "password_change"')
    )
    done = convert("terraform", path)
    assert done.exit_code == 0
    assert "has attributes that are not converted: email" in done.stderr
