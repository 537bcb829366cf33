"""The end-to-end tests with an account that has permissions in some namespaces."""

from cluster import test_behaviour, test_connections, test_deletions, test_sets
from cluster.conftest import System
from install import stories
from install.stories import ABOUT_ZITADEL, AS_ADMINISTRATOR, SLOW, judge, suite_of
from support.audit import AuditLog
from support.installed import Installation

WATCHED = tuple(f"watched-{number}" for number in range(60))

globals().update(
    # Its namespaces are not watched here.
    suite_of(test_behaviour, "test_quickstart_both_scopes_and_both_orders")
)
globals().update(
    suite_of(
        test_deletions,
        *AS_ADMINISTRATOR,
        *SLOW,
        # The permissions go with the namespace; that is tested below.
        "test_a_namespace_goes_with_its_policies",
    )
)
globals().update(suite_of(test_sets))
globals().update(suite_of(test_connections, *ABOUT_ZITADEL))
globals().update(suite_of(stories))


def test_a_namespace_outside_is_left_alone(
    system: System, installation: Installation, namespace: str
) -> None:
    """Its older policy has no claim, and the account no permission."""
    org = system.organization()
    system.plane.kubectl("create", "namespace", "outside")
    system.policy("outside", "p", org, passwordChange=False)
    # If the operator saw the older one, that would win by its time in whole seconds.
    system.policy(namespace, "p", org)
    system.wait_for(namespace, "p")
    body = system.get("znp", "p", "outside")
    assert body is not None
    assert "conditions" not in body.get("status", {})
    assert "finalizers" not in body["metadata"]
    assert [w[0] for w in system.emulator.writes() if w[2] == org] == ["POST"]
    for verb in ("get", "list", "watch", "patch"):
        assert not installation.may(verb, "notificationpolicies", "-n", "outside")
        assert installation.may(verb, "notificationpolicies", "-n", namespace)
    system.delete("p", "outside")
    system.gone("znp", "p", "outside")


def test_rights_are_exact(
    system: System, installation: Installation, audit: AuditLog
) -> None:
    """In all these tests nothing was refused, and every permission was used."""
    judge(system, installation, audit)
