"""Permissions: those of the operator, as few as possible, and roles for people."""

import pytest

from chart.rendering import (
    CHART,
    NAMESPACE,
    Document,
    named,
    of_kind,
    only,
    render,
    render_case,
)

ROLES = ("ClusterRole", "Role")
GROUP = "zitadel-notification.dev"
FULL = "rel-zitadel-notification-operator"
INSTANCES = {
    (GROUP, "zitadelinstances"): {"get", "list", "watch", "patch"},
    (GROUP, "zitadelinstances/status"): {"patch"},
}
CRDS = {
    ("apiextensions.k8s.io", f"customresourcedefinitions:{plural}.{GROUP}"): {"get"}
    for plural in ("notificationpolicies", "notificationpolicysets", "zitadelinstances")
}
POLICIES = {
    (GROUP, "notificationpolicies"): {
        *("get", "list", "watch", "patch"),
        *("create", "delete"),
    },
    (GROUP, "notificationpolicies/status"): {"patch"},
    (GROUP, "notificationpolicysets"): {"get", "list", "watch", "patch"},
    (GROUP, "notificationpolicysets/status"): {"patch"},
}
EVENTS = {("events.k8s.io", "events"): {"create", "patch"}}
NAMESPACED = {"notificationpolicies", "notificationpolicysets"}
READ = {"get", "list", "watch"}
WRITE = READ | {"create", "update", "patch", "delete", "deletecollection"}
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"

Rights = dict[tuple[str, str], set[str]]


def rights(role: Document) -> Rights:
    """Return the verbs by group and resource, and by name if there is one."""
    found: Rights = {}
    for rule in role["rules"]:
        assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    key = (group, f"{resource}:{name}" if name else resource)
                    found.setdefault(key, set()).update(rule["verbs"])
    return found


def place(document: Document) -> tuple[str, str]:
    """Return the namespace, which may be empty, and the name."""
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def operators_rights(documents: list[Document]) -> dict[str, Rights]:
    """Return the operator's permissions by namespace; "" is the cluster."""
    account = only(documents, "ServiceAccount")["metadata"]
    roles = {(r["kind"], *place(r)): rights(r) for r in of_kind(documents, *ROLES)}
    found: dict[str, Rights] = {}
    for binding in of_kind(documents, "ClusterRoleBinding", "RoleBinding"):
        (subject,) = binding["subjects"]
        assert subject == {
            "kind": "ServiceAccount",
            "name": account["name"],
            "namespace": account["namespace"],
        }
        namespace, _ = place(binding)
        ref = binding["roleRef"]
        role = roles[ref["kind"], namespace, ref["name"]]
        whole = found.setdefault(namespace, {})
        assert not whole.keys() & role.keys()
        whole.update(role)
    return found


def own(*, lease: bool) -> Rights:
    """Return the permissions in the operator's own namespace."""
    found: Rights = {("", "secrets"): {"get"}, ("", "configmaps"): {"get"}}
    if lease:
        group = "coordination.k8s.io"
        found[group, "leases"] = {"create"}
        found[group, "leases:zitadel-notification-operator"] = {"get", "update"}
    return found


def test_cluster_mode(defaults: list[Document]) -> None:
    """Own kinds and Events everywhere; Secrets and the Lease in one namespace."""
    assert operators_rights(defaults) == {
        "": INSTANCES | CRDS | POLICIES | EVENTS,
        NAMESPACE: own(lease=True),
    }


def test_namespaced_mode() -> None:
    """Policies in the named namespaces only; Events about instances in `default`."""
    documents = render("--set", "watchNamespaces={team-a,team-b}")
    assert operators_rights(documents) == {
        "": INSTANCES | CRDS,
        NAMESPACE: own(lease=True),
        "team-a": POLICIES | EVENTS,
        "team-b": POLICIES | EVENTS,
        "default": EVENTS,
    }


def test_own_namespace_may_be_watched() -> None:
    """There are two Roles in it."""
    documents = render("--set", f"watchNamespaces={{{NAMESPACE}}}")
    assert operators_rights(documents)[NAMESPACE] == (
        own(lease=True) | POLICIES | EVENTS
    )


def test_default_may_be_watched() -> None:
    """The Role for its policies has the Events, so there is no second one."""
    documents = render_case("watch-namespaces-values.yaml")
    assert operators_rights(documents)["default"] == POLICIES | EVENTS


def test_no_lease_no_right_to_it() -> None:
    """A single replica needs no permission for leases."""
    documents = render_case("watch-namespaces-values.yaml")
    assert operators_rights(documents)[NAMESPACE] == own(lease=False)


def test_no_role_is_too_wide(documents: list[Document]) -> None:
    """There is no wildcard, no escalation, and no list of all Secrets."""
    roles = of_kind(documents, *ROLES)
    assert len(roles) >= 6
    for role in roles:
        for (group, resource), verbs in rights(role).items():
            assert "*" not in {group, resource, *verbs}
            assert not verbs & {"escalate", "bind", "impersonate"}
            if resource in {"secrets", "configmaps"}:
                assert (role["kind"], verbs) == ("Role", {"get"})
            if group != GROUP:
                assert not verbs & {"delete", "deletecollection"}


@pytest.mark.parametrize(
    ("suffix", "resources", "verbs", "into"),
    [
        ("-operator-view", NAMESPACED, READ, {"view", "edit", "admin"}),
        ("-operator-edit", NAMESPACED, WRITE, {"edit", "admin"}),
        ("-instance-view", {"zitadelinstances"}, READ, {"cluster-reader"}),
        ("-instance-admin", {"zitadelinstances"}, WRITE, set()),
    ],
)
def test_roles_for_people(
    defaults: list[Document],
    suffix: str,
    resources: set[str],
    verbs: set[str],
    into: set[str],
) -> None:
    """No namespaced role has instances, and none may write a status.

    A set writes policies, so a role that has the one has the other.
    """
    role = named(defaults, "ClusterRole", suffix)
    assert role["metadata"]["name"].startswith(FULL)
    assert rights(role) == {(GROUP, resource): verbs for resource in resources}
    labels = role["metadata"]["labels"]
    assert {
        key.removeprefix(AGGREGATE) for key in labels if key.startswith(AGGREGATE)
    } == into


def test_the_operators_own_roles_are_aggregated_nowhere(
    documents: list[Document],
) -> None:
    """Otherwise every admin of a namespace could do what the operator can."""
    bound = {
        (b["roleRef"]["kind"], b["roleRef"]["name"])
        for b in of_kind(documents, "ClusterRoleBinding", "RoleBinding")
    }
    roles = [
        r
        for r in of_kind(documents, *ROLES)
        if (r["kind"], r["metadata"]["name"]) in bound
    ]
    assert roles
    for role in roles:
        assert AGGREGATE not in str(role["metadata"]["labels"])


def test_aggregation_can_be_switched_off() -> None:
    """The roles stay, for the user's own bindings."""
    documents = render("--set", "rbac.aggregate=false")
    assert len(of_kind(documents, "ClusterRole")) == 5
    assert AGGREGATE not in str(documents)


def test_rbac_can_be_left_to_others() -> None:
    """Then there is no role and no binding."""
    documents = render("--set", "rbac.create=false")
    assert of_kind(documents, *ROLES, "ClusterRoleBinding", "RoleBinding") == []


def test_a_service_account_of_ones_own() -> None:
    """It gets the permissions, and the pod runs as it."""
    documents = render(
        *("--set", "serviceAccount.create=false", "--set", "serviceAccount.name=mine")
    )
    assert of_kind(documents, "ServiceAccount") == []
    spec = only(documents, "Deployment")["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "mine"
    subjects = [
        binding["subjects"]
        for binding in of_kind(documents, "ClusterRoleBinding", "RoleBinding")
    ]
    wanted = {"kind": "ServiceAccount", "name": "mine", "namespace": NAMESPACE}
    assert subjects == [[wanted], [wanted]]


def test_the_token_is_mounted_where_it_is_needed(documents: list[Document]) -> None:
    """It is in the operator's pods, and not in the test's."""
    account = only(documents, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    spec = only(documents, "Deployment")["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is True
    (test,) = of_kind(documents, "Pod")
    assert test["spec"]["automountServiceAccountToken"] is False


def test_rules_say_why() -> None:
    """The template has a reason beside each rule that needs one."""
    text = (CHART / "templates" / "_rbac.tpl").read_text()
    for reason in (
        "finalizer",
        "by the names in the ZitadelInstances",
        "cannot restrict create to a name",
        "is being deleted",
        "makes a policy for each organization",
        "OwnerReferencesPermissionEnforcement",
    ):
        assert reason in text
