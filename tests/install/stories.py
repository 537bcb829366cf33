"""Tests for an installed operator only, in both modes.

test_cluster_mode.py and test_namespaced_mode.py run them, together with tests of
tests/cluster, which do not depend on the operator's account.
"""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from cluster.conftest import System
from cluster.fleets import apply_set, make, named, wait_ready
from install.rights import Request, Right, granted, requests
from support.audit import AuditLog
from support.installed import ACCOUNT, RELEASE, Installation
from support.kube_calls import merge, read_all
from support.running import OWN_NAMESPACE
from support.waiting import eventually

REQUESTED = "zitadel-notification.dev/reconcile-requested-at"
POLICIES = "notificationpolicies"
FIXTURES = {"faults"}
AS_ADMINISTRATOR = (
    "test_killed_between_zitadel_and_the_finalizer",
    "test_without_a_secret_a_restarted_operator_waits",
    "test_a_restored_backup_that_never_lived_ends",
)
"""Tests that start an operator of their own; here is a restart of the chart's."""
ABOUT_ZITADEL = (
    "test_the_end_of_a_key_is_reported",
    "test_a_removed_key_is_reported_and_another_one_heals_it",
    "test_a_deactivated_user_turns_all_false_and_back",
    "test_a_role_in_one_organization_is_enough_for_it",
    "test_a_user_without_a_role_is_reported_on_the_instance",
    "test_roots_that_are_none_are_reported",
    "test_another_zitadel_behind_the_url_is_not_touched",
)
"""Tests that wait for ZITADEL, and make the same calls to Kubernetes as the others."""
SLOW = (
    "test_an_edit_to_retain_lets_it_go",
    "test_a_target_that_is_gone_is_done",
    "test_what_was_reset_by_hand_is_done",
    "test_restore_goes_back_to_what_was_first_seen",
    "test_a_restored_backup_records_anew",
)
"""Likewise."""


def suite_of(module: ModuleType, *but: str) -> dict[str, Callable[..., Any]]:
    """Return the tests and fixtures of a module, except those that are named."""
    for name in but:
        assert hasattr(module, name), f"{module.__name__} has no {name}"
    found = {
        name: value
        for name, value in vars(module).items()
        if (name.startswith("test_") or name in FIXTURES) and name not in but
    }
    assert any(name.startswith("test_") for name in found)
    return found


def series(system: System, namespace: str, name: str) -> int:
    """Return how often the Event about handled requests was counted."""
    found = read_all(
        system.plane, "event", namespace, fieldSelector=f"regarding.name={name}"
    )
    events = [event for event in found if event["reason"] == "ReconcileRequested"]
    assert len(events) <= 1, events
    return sum(event.get("series", {}).get("count", 1) for event in events)


def wait_for_series(system: System, namespace: str, name: str, count: int) -> None:
    """Wait until the Event about handled requests was counted so many times."""
    eventually(
        lambda: series(system, namespace, name) == count,
        what=f"Event {count} about {name}",
    )


def test_a_set_adopts_what_lost_its_owner(system: System, namespace: str) -> None:
    """Backups lose owner references; the set's apply sets them again."""
    org = make(system, f"{namespace}-x")
    apply_set(system, namespace, "s", organizations=named(f"{namespace}-*"))
    uid = wait_ready(system, namespace, "s")["metadata"]["uid"]
    system.plane.kubectl(
        *("patch", "znp", f"s-{org}", f"--namespace={namespace}", "--type=merge"),
        '--patch={"metadata":{"ownerReferences":null}}',
    )

    def owners() -> list[str]:
        body = system.get("znp", f"s-{org}", namespace) or {"metadata": {}}
        found = body["metadata"].get("ownerReferences", ())
        return [owner["uid"] for owner in found]

    eventually(lambda: owners() == [uid], 30, "the owner is there again")


def test_a_set_that_changes_while_its_status_is_written(
    system: System, namespace: str, installation: Installation
) -> None:
    """The write meets a newer version, so the operator reads the set again."""
    make(system, f"{namespace}-x")
    apply_set(system, namespace, "s", organizations=named(f"{namespace}-*"))
    wait_ready(system, namespace, "s")

    def is_read_again() -> bool:
        for number in range(200):
            edit = {"spec": {"passwordChange": number % 2 == 0}}
            merge(system.plane, "znps", "s", edit, namespace)
        read = ("notificationpolicysets", "get")
        received = requests(installation.plane, ACCOUNT)
        return any((r.resource, r.verb) == read for r in received)

    eventually(is_read_again, 60, "a GET of the set")
    wait_ready(system, namespace, "s")


@pytest.mark.parametrize("kind", ["znp", "zni"])
def test_a_repeated_event_becomes_a_series(
    system: System, namespace: str, kind: str
) -> None:
    """A policy's is in its namespace, an instance's in `default`."""
    system.instance(namespace, system.emulator.url)
    system.wait_for("", namespace, kind="zni")
    system.policy(
        namespace, namespace, system.organization(), instanceRef={"name": namespace}
    )
    system.wait_for(namespace, namespace)
    where = namespace if kind == "znp" else ""
    options = (f"--namespace={namespace}",) if kind == "znp" else ()
    for number in (1, 2):
        token = f"{REQUESTED}={number}"
        command = ("annotate", "--overwrite", kind, namespace, token)
        system.plane.kubectl(*command, *options)
        wait_for_series(system, where or "default", namespace, number)


def test_another_replica_takes_over(
    system: System, installation: Installation, namespace: str
) -> None:
    """It uses the Lease, the only one that the account may use."""
    org = system.organization()
    system.policy(namespace, "p", org)
    system.wait_for(namespace, "p")
    first, second = system.operator, installation.start("pod-2")
    second.wait_ready()
    assert installation.holder() == "pod-1"
    assert first.program.stop() == 0
    system.operator = second
    eventually(lambda: installation.holder() == "pod-2", 40, "pod-2 holds the Lease")
    system.policy(namespace, "p", org, passwordChange=False)
    system.wait_for(namespace, "p")
    assert system.emulator.policy(org).get("passwordChange", False) is False


def test_a_restart_writes_nothing(
    system: System, installation: Installation, namespace: str, audit: AuditLog
) -> None:
    """There is no write to objects or ZITADEL; a new deletion is done."""
    orgs = {name: system.organization() for name in ("stays", "goes")}
    for name, org in orgs.items():
        system.policy(namespace, name, org)
        system.wait_for(namespace, name)
    assert system.operator.program.stop() == 0
    system.delete("goes", namespace)
    before = len(audit.by_operator(POLICIES, namespace, "stays"))
    system.operator = installation.lead("pod-3")
    system.gone("znp", "goes", namespace)
    assert system.emulator.policy(orgs["goes"])["isDefault"]
    assert len(audit.by_operator(POLICIES, namespace, "stays")) == before
    writes = [
        write[0] for write in system.emulator.writes() if write[2] == orgs["stays"]
    ]
    assert writes == ["POST"]


@pytest.mark.parametrize(
    "question",
    [
        "list secrets --all-namespaces",
        "get secrets --namespace=kube-system",
        "get configmaps --namespace=kube-system",
        f"list secrets --namespace={OWN_NAMESPACE}",
        f"watch secrets --namespace={OWN_NAMESPACE}",
        f"create secrets --namespace={OWN_NAMESPACE}",
        f"update leases/another --namespace={OWN_NAMESPACE}",
        f"delete leases/{RELEASE} --namespace={OWN_NAMESPACE}",
        f"get leases/{RELEASE} --namespace=kube-system",
        f"create serviceaccounts --subresource=token --namespace={OWN_NAMESPACE}",
        "update notificationpolicies --namespace=default",
        "deletecollection notificationpolicies --namespace=default",
        "create notificationpolicysets --namespace=default",
        "update notificationpolicysets --namespace=default",
        "delete notificationpolicysets --namespace=default",
        "update notificationpolicysets --subresource=finalizers --namespace=default",
        "update notificationpolicysets --subresource=status --namespace=default",
        "update notificationpolicies --subresource=status --namespace=default",
        "create zitadelinstances",
        "delete zitadelinstances",
        "get pods --all-namespaces",
        "get namespaces",
        "get customresourcedefinitions",
        "get crd/customresourcedefinitions.example.com",
        "list customresourcedefinitions",
        "watch crd/notificationpolicies.zitadel-notification.dev",
        "delete crd/notificationpolicies.zitadel-notification.dev",
        "create clusterrolebindings",
        "impersonate users",
        "list events --all-namespaces",
    ],
)
def test_what_the_account_may_not(installation: Installation, question: str) -> None:
    """The API server says so itself."""
    assert not installation.may(*question.split())


@pytest.mark.parametrize(
    "question",
    [
        f"get secrets --namespace={OWN_NAMESPACE}",
        f"update leases/{RELEASE} --namespace={OWN_NAMESPACE}",
        "patch zitadelinstances",
        "get crd/notificationpolicies.zitadel-notification.dev",
        "get crd/notificationpolicysets.zitadel-notification.dev",
        "get crd/zitadelinstances.zitadel-notification.dev",
    ],
)
def test_what_it_may(installation: Installation, question: str) -> None:
    """Otherwise a check that always says no would not be noticed."""
    assert installation.may(*question.split())


def judge(system: System, installation: Installation, audit: AuditLog) -> None:
    """Compare the account's requests with its permissions.

    This ends the operator, because a watch is in the audit log only after its end.
    """
    assert system.operator.program.stop() == 0
    rights = granted(installation.manifest())
    assert len(rights) > 10

    def unused() -> list[Right]:
        audit.settle()
        return find_unused(installation, rights)

    audit.settle()
    received = requests(installation.plane, ACCOUNT)
    assert len(received) > 100
    refused = [r for r in received if r.code in {401, 403} and not is_too_late(r)]
    assert not refused, refused
    eventually(lambda: not unused(), 20, f"not used: {unused()}")


def is_too_late(request: Request) -> bool:
    """Return whether a request created an Event in a namespace that is being deleted.

    RBAC allows that, but Kubernetes accepts no new object there, and answers 403.
    """
    return request.authorized and (request.resource, request.verb) == (
        "events",
        "create",
    )


def find_unused(installation: Installation, rights: set[Right]) -> list[Right]:
    """Return the permissions that no request has needed.

    All watched namespaces have the same permissions, and a test needs few of them in
    its own. So a use in one namespace counts for all; but each must have been listed
    and watched.
    """
    received = requests(installation.plane, ACCOUNT)
    used = {right for right in rights if any(r.needs(right) for r in received)}
    elsewhere = {
        replace(right, namespace="")
        for right in used
        if right.namespace in installation.watched
        and right.verb not in {"list", "watch"}
    }
    return sorted(
        right
        for right in rights - used
        if right.namespace not in installation.watched
        or replace(right, namespace="") not in elsewhere
    )
