"""A release for a class of instances, beside one without a class."""

from typing import Any

import pytest

from chart.rendering import container, of_kind, only, refusal, render

CANARY = ("--set", "class=canary", "--set", "crds.install=false")


def lease_names(documents: list[dict[str, Any]]) -> list[str]:
    """Return the names of the Leases that the operator may renew."""
    (role,) = [
        role
        for role in of_kind(documents, "Role")
        if any("leases" in rule["resources"] for rule in role["rules"])
    ]
    return [name for rule in role["rules"] for name in rule.get("resourceNames", ())]


def test_the_class_is_an_option_and_the_name_of_the_lease() -> None:
    """Without a class there is no option, and the Lease has its plain name."""
    plain, canary = render(), render(*CANARY)
    assert "--class=canary" in container(canary)["args"]
    assert not [arg for arg in container(plain)["args"] if "class" in arg]
    assert lease_names(canary) == ["zitadel-notification-operator-canary"]
    assert lease_names(plain) == ["zitadel-notification-operator"]


@pytest.mark.parametrize(
    "more", [(), ("--set", "watchNamespaces={team-a,team-b}")], ids=["all", "some"]
)
def test_releases_of_one_name_share_no_object(more: tuple[str, ...]) -> None:
    """They may have one name in two namespaces, if they have two classes."""
    plain = render(*more, "--set", "crds.install=false")
    canary = render(*more, *CANARY, "--namespace", "other")
    shared = names(plain) & names(canary)
    assert shared == set()
    assert names(plain)


def names(documents: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Return what identifies each object in a cluster."""
    return {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])
        for one in documents
    }


def test_bindings_of_a_class_name_its_own_roles() -> None:
    """A binding to the other release's role would give the wrong rights."""
    documents = render(*CANARY)
    roles = {one["metadata"]["name"] for one in of_kind(documents, "ClusterRole")}
    binding = only(documents, "ClusterRoleBinding")
    assert binding["roleRef"]["name"] in roles
    assert binding["roleRef"]["name"].endswith("-canary")


@pytest.mark.parametrize("text", ["Canary", "a.b", "a-", "a" * 31])
def test_what_is_no_class_is_refused(text: str) -> None:
    """The schema says which value is wrong."""
    assert "class" in refusal("--set-string", f"class={text}")
