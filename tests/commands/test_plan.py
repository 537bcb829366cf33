"""`znp plan` on real servers: it says what the operator then does, and writes nothing.

Random manifests are applied while no operator runs, some of them only named with -f
before. Then the plan is compared with the requests of an operator that is started.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from support.planes import ready_plane
from support.running import EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from zitadel_emulator.testing import start
from zitadel_notification_operator.cli.group import znp
from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent.parent
SCHEMA = json.loads((ROOT / "docs/reference/schemas/plan.json").read_text())
RBAC = "rbac.authorization.k8s.io"
ORGANIZATIONS = 6
ROUNDS = 6
WAITING_FOR_SOMEBODY = {
    None,
    "InstanceNotFound",
    "OrganizationNotFound",
    "PoliciesNotReady",
}
"""Reasons of Reconciling that do not pass by themselves, and None without it."""
NAMESPACES = ("team-a", "team-b", "not-granted")


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane without an operator."""
    with ready_plane() as made:
        for name in NAMESPACES:
            made.kubectl("create", "namespace", name)
        yield made


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    """A ZITADEL, with the organizations of the stories."""
    made = EmulatorProcess(tmp_path_factory.mktemp("emulator"))
    with made.program:
        yield made


def instance(emulator: EmulatorProcess) -> dict[str, Any]:
    """Return the manifest of the instance of all objects."""
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "ZitadelInstance",
        "metadata": {"name": "default"},
        "spec": {
            "url": emulator.url,
            "allowInsecureHTTP": True,
            "credentials": {
                "personalAccessToken": {"secretRef": {"name": "zitadel-credentials"}}
            },
            "grants": [
                {"namespaces": ["team-*"], "scopes": ["Organization", "Instance"]}
            ],
        },
    }


def manifest(kind: str, namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    """Return a manifest."""
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


class Story:
    """A random sequence of changes.

    Args:
        plane: The cluster.
        emulator: The ZITADEL.
        folder: Where the operator's log and manifests go.
    """

    def __init__(
        self, plane: ControlPlane, emulator: EmulatorProcess, folder: Path
    ) -> None:
        self.plane = plane
        self.emulator = emulator
        self.folder = folder
        self.chance = random.Random(7)
        self.organizations = {
            str(emulator.call("POST", "/management/v1/orgs", {"name": name})["id"]): (
                name
            )
            for name in (f"Customer {number}" for number in range(ORGANIZATIONS))
        }

    def manifests(self) -> list[dict[str, Any]]:
        """Return some random manifests; a name may be that of an existing object."""
        return [self.policy() for _ in range(5)] + [self.set_of_some()]

    def policy(self) -> dict[str, Any]:
        """Return the manifest of a random policy."""
        chance = self.chance
        found = chance.choice(sorted(self.organizations))
        reference = chance.choice([{"id": found}, {"name": self.organizations[found]}])
        if chance.random() < 0.1:
            reference = {"name": "Nobody"}
        spec: dict[str, Any] = {
            "scope": "Organization",
            "organization": reference,
            "passwordChange": chance.random() < 0.5,
            "managementPolicy": chance.choice(
                ["Manage", "Manage", "Manage", "Observe"]
            ),
            "deletionPolicy": chance.choice(["Reset", "Restore", "Retain"]),
            "suspend": chance.random() < 0.1,
        }
        if chance.random() < 0.1:
            spec = {"scope": "Instance", "passwordChange": chance.random() < 0.5}
        namespace = chance.choice(NAMESPACES)
        return manifest(
            "NotificationPolicy", namespace, f"p{chance.randrange(6)}", **spec
        )

    def set_of_some(self) -> dict[str, Any]:
        """Return the manifest of a set."""
        chance = self.chance
        return manifest(
            "NotificationPolicySet",
            "team-a",
            "some",
            organizations={
                "include": [{"name": f"Customer {chance.randrange(2)}"}],
                "exclude": [{"name": "*3"}],
            },
            passwordChange=chance.random() < 0.5,
            deletionPolicy=chance.choice(["Reset", "Retain"]),
        )

    def apply(self, manifests: list[dict[str, Any]]) -> None:
        """Apply manifests; an edit that the schema refuses is left out."""
        for one in manifests:
            self.plane.kubectl("apply", "-f", "-", stdin=json.dumps(one), check=False)

    def acceptable(self, manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the manifests that the API server takes, the last of each name."""
        taken: dict[tuple[str, str], dict[str, Any]] = {}
        for one in manifests:
            tried = self.plane.kubectl(
                "apply",
                "--dry-run=server",
                "-f",
                "-",
                stdin=json.dumps(one),
                check=False,
            )
            if tried.returncode == 0:
                taken[one["kind"], "/".join(one["metadata"].values())] = one
        return list(taken.values())

    def delete_some(self) -> None:
        """Delete a random policy; a finalizer may keep it."""
        found = self.plane.kubectl(
            "get",
            "znp",
            "-A",
            "--no-headers",
            "-o",
            "custom-columns=:metadata.namespace,:metadata.name",
        )
        lines = found.stdout.split("\n")
        rows = [line.split() for line in lines if line]
        if rows:
            namespace, name = self.chance.choice(rows)
            self.plane.kubectl("delete", "znp", name, "-n", namespace, "--wait=false")

    def somebody_writes(self) -> None:
        """Remove or change the policy of an organization that has one."""
        for organization in self.organizations:
            own = not self.emulator.policy(organization).get("isDefault")
            if own and self.chance.random() < 0.3:
                path = "/management/v1/policies/notification"
                self.emulator.call("DELETE", path, organization=organization)

    def plan(self, *options: str, code: int | None = None) -> dict[str, Any]:
        """Return the plan as JSON; require that it writes nothing."""
        before = self.emulator.writes()
        done = CliRunner().invoke(
            znp,
            [
                *("plan", "-o", "json", "--show-unchanged", "--allow-local-urls"),
                *("--kubeconfig", str(self.plane.kubeconfig), *options),
            ],
        )
        assert self.emulator.writes() == before
        if code is not None:
            assert done.exit_code == code, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        jsonschema.validate(found, SCHEMA)
        return found

    def states(self) -> dict[str, tuple[bool, bool]]:
        """Return of each organization, and "" for the instance: inherits, mails."""
        found = {}
        for organization in ("", *self.organizations):
            policy = self.emulator.policy(organization)
            inherits = bool(organization) and policy.get("isDefault", False)
            found[organization] = inherits, policy.get("passwordChange", False)
        return found

    def operate(self, plan: dict[str, Any]) -> None:
        """Start an operator, and require that it does what the plan says, and no more.

        Where policies compete, it may write to one target twice.
        """
        before = len(self.emulator.writes())
        announced = set(states_after(plan))
        expected = {**self.states(), **states_after(plan)}
        operator = OperatorProcess(self.plane, self.folder)
        with operator.program:
            operator.wait_ready()
            # What others have written is found a moment after the start, and while it
            # is not, the statuses still say what the operator before has reported. So
            # does that of a policy that is about to take over from a deleted one.
            eventually(
                lambda: (
                    self.written(before) >= announced
                    and self.is_settled()
                    and not self.wrong(expected)
                ),
                30,
                f"{announced} are written, and nothing is reconciling",
            )
            assert operator.program.stop() == 0
        assert self.wrong(expected) == []
        assert self.written(before) == announced

    def wrong(self, expected: dict[str, tuple[bool, bool]]) -> list[str]:
        """Return the organizations whose policy is not as expected."""
        inherited = expected[""][1]
        return [
            organization
            for organization, (inherits, value) in self.states().items()
            if inherits != expected[organization][0]
            or value != (inherited if inherits else expected[organization][1])
        ]

    def written(self, before: int) -> set[str]:
        """Return the targets of all writes but the first ones, "" for the instance."""
        return {one for *_, one in self.emulator.writes()[before:]}

    def is_settled(self) -> bool:
        """Return whether each object is reported on, and no deletion is under way."""
        text = self.plane.kubectl("get", "znp,znps", "-A", "-o", "json").stdout
        for body in json.loads(text)["items"]:
            metadata, status = body["metadata"], body.get("status", {})
            if "deletionTimestamp" in metadata:
                return False
            if status.get("observedGeneration") != metadata["generation"]:
                return False
            reasons = {one["type"]: one["reason"] for one in status["conditions"]}
            waits = reasons.get("Reconciling")
            pending = status.get("organizations", {}).get("pending", 0)
            if pending or waits not in WAITING_FOR_SOMEBODY:
                return False
        return True


def as_person(plane: ControlPlane, folder: Path, *rules: dict[str, Any]) -> Path:
    """Return the kubeconfig of a person who has these rights in team-a.

    Rules about kinds without a namespace count for the whole cluster.
    """
    name = folder.name
    subjects = [{"kind": "User", "name": name, "apiGroup": RBAC}]
    for number, rule in enumerate(rules):
        everywhere = rule["resources"] == ["zitadelinstances"]
        scope = {} if everywhere else {"namespace": "team-a"}
        prefix = "Cluster" if everywhere else ""
        metadata = {"name": f"{name}-{number}", **scope}
        role = {
            "apiVersion": f"{RBAC}/v1",
            "kind": f"{prefix}Role",
            "metadata": metadata,
            "rules": [rule],
        }
        binding = {
            "apiVersion": f"{RBAC}/v1",
            "kind": f"{prefix}RoleBinding",
            "metadata": metadata,
            "roleRef": {
                "apiGroup": RBAC,
                "kind": f"{prefix}Role",
                "name": metadata["name"],
            },
            "subjects": subjects,
        }
        for one in (role, binding):
            plane.kubectl("apply", "-f", "-", stdin=json.dumps(one))
    config = yaml.safe_load(plane.kubeconfig.read_text())
    for user in config["users"]:
        user["user"]["as"] = name
    config["contexts"][0]["context"]["namespace"] = "team-a"
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_person_with_few_rights_is_told_what_is_missing(
    plane: ControlPlane, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """What may not be read is named, and nothing is guessed."""
    create_secret(plane, "zitadel-credentials")
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(instance(emulator)))
    one = manifest(
        "NotificationPolicy",
        "team-a",
        "few-rights",
        scope="Organization",
        organization={"name": "ACME"},
        passwordChange=True,
        managementPolicy="Observe",
    )
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(one))

    def plan(*rules: dict[str, Any]) -> Result:
        folder = tmp_path / f"person-{len(rules)}"
        folder.mkdir()
        config = as_person(plane, folder, *rules)
        arguments = ["plan", "--allow-local-urls", "--kubeconfig", str(config)]
        return CliRunner().invoke(znp, arguments)

    policies = right("notificationpolicies", "notificationpolicysets")
    done = plan(policies)
    assert done.exit_code == 1
    assert "zitadelinstances" in done.stderr
    done = plan(policies, right("zitadelinstances"))
    assert done.exit_code == 1
    assert "of namespace team-a only" in done.stderr
    assert "NotificationPolicy team-a/few-rights: CredentialsMissing: You may not" in (
        done.stdout
    )
    plane.kubectl("delete", "znp", "few-rights", "-n", "team-a", "--wait=false")


@pytest.fixture
def granted(plane: ControlPlane, emulator: EmulatorProcess) -> None:
    """The instance of all objects, and its credential."""
    create_secret(plane, "zitadel-credentials")
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(instance(emulator)))


def made(emulator: EmulatorProcess, name: str) -> str:
    """Create an organization and return its id."""
    return str(emulator.call("POST", "/management/v1/orgs", {"name": name})["id"])


def planned(plane: ControlPlane, objects: list[dict[str, Any]], *more: str) -> Result:
    """Plan some manifests from standard input."""
    text = "\n---\n".join(map(json.dumps, objects))
    arguments = ["plan", "-f", "-", "--allow-local-urls"]
    config = ["--kubeconfig", str(plane.kubeconfig)]
    return CliRunner().invoke(znp, [*arguments, *config, *more], input=text)


def plain(name: str, organization: str, **spec: Any) -> dict[str, Any]:
    """Return the manifest of a policy in team-a."""
    return manifest(
        "NotificationPolicy",
        "team-a",
        name,
        scope="Organization",
        organization={"id": organization},
        passwordChange=True,
        **spec,
    )


@pytest.mark.usefixtures("granted")
def test_manifests_do_not_say_where_a_credential_is_sent(
    plane: ControlPlane, emulator: EmulatorProcess
) -> None:
    """An instance that a manifest leads elsewhere is unknown, unless it is trusted."""
    acme = made(emulator, "Elsewhere")
    elsewhere = instance(emulator)
    with start() as other:
        elsewhere["spec"]["url"] = other.url
        one = plain("elsewhere", acme)
        done = planned(plane, [elsewhere, one])
        assert done.exit_code == 1
        assert "AddressNotAllowed" in done.stdout
        assert other.requests() == []
        trusting = planned(plane, [elsewhere, one], "--trust-instances")
        assert trusting.exit_code == 1
        assert other.requests() != []
    # The same instance with other grants leads to the same place.
    granting = instance(emulator)
    granting["spec"]["grants"] = [{"namespaces": ["team-a"]}]
    assert "1 to create" in planned(plane, [granting, one]).stdout


@pytest.mark.usefixtures("granted")
def test_what_kubernetes_refuses_is_refused(
    plane: ControlPlane, emulator: EmulatorProcess
) -> None:
    """A field that may not change is named; nothing is planned then."""
    one, other = made(emulator, "Fixed"), made(emulator, "Other")
    stored = plain("fixed", one, managementPolicy="Observe")
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(stored))
    done = planned(plane, [plain("fixed", other, managementPolicy="Observe")])
    assert done.exit_code == 1
    assert "team-a/fixed: spec.organization may not be changed" in done.stderr
    plane.kubectl("delete", "znp", "fixed", "-n", "team-a", "--wait=false")


@pytest.mark.usefixtures("granted")
def test_objects_that_are_not_shown_compete(
    plane: ControlPlane, emulator: EmulatorProcess
) -> None:
    """Two instances lead to one ZITADEL; -n and --instance only choose the lines."""
    organization = made(emulator, "Contested")
    second = instance(emulator)
    second["metadata"]["name"] = "second"
    for one in (second, plain("owner", organization)):
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(one))
    rival = plain("rival", organization, instanceRef={"name": "second"})
    rival["metadata"]["namespace"] = "team-b"
    for options in (["--instance", "second"], ["-n", "team-b"]):
        done = planned(plane, [rival], *options)
        (line, last) = done.stdout.splitlines()
        assert line.startswith("! conflict   NotificationPolicy team-b/rival: Conflict")
        assert last.endswith("1 in conflict.")
    plane.kubectl("delete", "znp", "owner", "-n", "team-a", "--wait=false")
    plane.kubectl("delete", "zni", "second", "--wait=false")


def test_a_cluster_without_the_crds_is_an_error() -> None:
    """A wrong context must not look like "no changes"."""
    with ControlPlane() as empty:
        done = CliRunner().invoke(znp, ["plan", "--kubeconfig", str(empty.kubeconfig)])
    assert done.exit_code == 1
    assert "does not serve NotificationPolicy and ZitadelInstance" in done.stderr
    assert done.stdout == ""


def right(*resources: str) -> dict[str, Any]:
    """Return the right to read some of our kinds."""
    return {
        "apiGroups": ["zitadel-notification.dev"],
        "resources": list(resources),
        "verbs": ["get", "list"],
    }


def states_after(plan: dict[str, Any]) -> dict[str, tuple[bool, bool]]:
    """Return what a plan announces: by organization, whether it inherits, and mails."""
    return {
        one.get("organizationId", ""): (
            "organizationId" in one and one["after"]["inherited"],
            one["after"]["passwordChange"],
        )
        for one in plan["objects"]
        if one["verdict"] in {"create", "update", "reset"}
    }


@pytest.mark.timeout(400)
@pytest.mark.clock
def test_the_operator_does_what_the_plan_says(
    plane: ControlPlane, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """In each round, and after it there is nothing left to do."""
    create_secret(plane, "zitadel-credentials")
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(instance(emulator)))
    story, announced = Story(plane, emulator, tmp_path), Counter[str]()
    for number in range(ROUNDS):
        manifests = story.acceptable(story.manifests())
        if number:
            story.delete_some()
            story.somebody_writes()
        if number % 2:
            story.apply(manifests)
            plan = story.plan()
        else:
            path = tmp_path / "manifests.json"
            items = {"apiVersion": "v1", "kind": "List", "items": manifests}
            path.write_text(json.dumps(items))
            plan = story.plan("-f", str(path))
            story.apply(manifests)
        announced.update(plan["summary"])
        story.operate(plan)
        after = story.plan()
        assert states_after(after) == {}, after
    # Otherwise the rounds would show little.
    for verdict in ("create", "update", "reset", "unchanged", "conflict", "unknown"):
        assert announced[verdict], f"no round had a {verdict}: {announced}"
