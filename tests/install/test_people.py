"""The roles for people in docs/how-to/install.md, with real aggregation."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chart.rendering import only
from support.documents import ROOT, Shell, commands, section
from support.installed import RELEASE, Installation
from support.running import OWN_NAMESPACE
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

DOCUMENT = ROOT / "docs" / "how-to" / "install.md"
TEAM, IDENTITY = "team-a", "identity-team"


@pytest.fixture(scope="module")
def installation(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Install with the document's commands, for some namespaces, and bind the roles."""
    folder = tmp_path_factory.mktemp("reader")
    shell = Shell(control_plane, folder)
    control_plane.start_controller_manager()
    shell.run(commands(DOCUMENT, "Only some namespaces"))
    made = Installation(control_plane, folder)
    made.wait_for_crds()
    shell.run(commands(DOCUMENT, "Check whether it works"))
    shell.run(commands(DOCUMENT, "Roles for people"))
    eventually(
        lambda: may(control_plane, TEAM, "get notificationpolicies -n team-a"),
        30,
        "the role edit includes the chart's",
    )
    yield made
    control_plane.stop_controller_manager()


def may(plane: ControlPlane, group: str, question: str) -> bool:
    """Return what `kubectl auth can-i` says about a member of a group."""
    who = ("--as=somebody", f"--as-group={group}")
    answer = plane.kubectl("auth", "can-i", *question.split(), *who, check=False)
    assert answer.stdout.strip() in {"yes", "no"}, answer.stderr
    return answer.stdout.strip() == "yes"


@pytest.mark.parametrize(
    ("group", "question", "answer"),
    [
        (TEAM, "create notificationpolicies -n team-a", True),
        (TEAM, "deletecollection notificationpolicies -n team-a", True),
        (TEAM, "create notificationpolicies -n team-b", False),
        (TEAM, "get notificationpolicies -n team-b", False),
        (TEAM, "patch notificationpolicies --subresource=status -n team-a", False),
        (TEAM, "update notificationpolicies --subresource=status -n team-a", False),
        (TEAM, "create notificationpolicysets -n team-a", True),
        (TEAM, "deletecollection notificationpolicysets -n team-a", True),
        (TEAM, "create notificationpolicysets -n team-b", False),
        (TEAM, "patch notificationpolicysets --subresource=status -n team-a", False),
        (TEAM, "get zitadelinstances", False),
        (TEAM, "create zitadelinstances", False),
        (TEAM, f"get secrets -n {OWN_NAMESPACE}", False),
        (IDENTITY, "create zitadelinstances", True),
        (IDENTITY, "patch zitadelinstances --subresource=status", False),
        (IDENTITY, "create notificationpolicies -n team-a", False),
        (IDENTITY, "create notificationpolicysets -n team-a", False),
        (IDENTITY, f"get secrets -n {OWN_NAMESPACE}", False),
    ],
)
def test_what_they_may(
    installation: Installation, group: str, question: str, answer: bool
) -> None:
    """A team writes policies and sets in its namespace, but no instances."""
    assert may(installation.plane, group, question) is answer


def test_viewers_read(installation: Installation) -> None:
    """This is like Kubernetes' own role view."""
    plane = installation.plane
    plane.kubectl(
        *("create", "rolebinding", "readers", "--namespace=team-a"),
        *("--clusterrole=view", "--group=readers"),
    )
    for resource in ("notificationpolicies", "notificationpolicysets"):
        assert may(plane, "readers", f"watch {resource} -n team-a")
        assert not may(plane, "readers", f"patch {resource} -n team-a")


def test_the_document_names_each_role(installation: Installation) -> None:
    """They are all ClusterRoles of the chart except the operator's."""
    rows = re.findall(r"(?m)^\| `([\w-]+)` \|", section(DOCUMENT, "Roles for people"))
    command = ("get", "clusterrole", "--output=jsonpath={.items[*].metadata.name}")
    selector = "--selector=app.kubernetes.io/part-of=zitadel-notification-operator"
    names = set(installation.plane.kubectl(*command, selector).stdout.split())
    assert names - {RELEASE} == set(rows)


def test_the_account_has_rights_in_the_named_namespaces(
    installation: Installation,
) -> None:
    """The document's command gives them in both namespaces only."""
    account = only(installation.manifest(), "ServiceAccount")["metadata"]
    assert (account["namespace"], account["name"]) == (OWN_NAMESPACE, RELEASE)
    for namespace in ("team-a", "team-b"):
        assert installation.may("patch", "notificationpolicies", "-n", namespace)
    assert not installation.may("get", "notificationpolicies", "-n", "default")


def test_the_command_for_the_whole_cluster(
    control_plane: ControlPlane, installation: Installation, tmp_path: Path
) -> None:
    """The same release is installed again, for all namespaces."""
    installation.helm("uninstall", RELEASE)
    Shell(control_plane, tmp_path).run(commands(DOCUMENT, "The whole cluster"))
    assert installation.may("get", "notificationpolicies", "-n", "default")
