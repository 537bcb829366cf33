"""The Lease on a real API server: versions, times, and fields of others."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.connection import connect
from zitadel_notification_operator.cluster.lease import ClusterLease, own_identity
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.lease import NAME, Lease, Timing, first_lease
from zitadel_notification_operator.demo.control_plane import ControlPlane

NOW = datetime(2026, 1, 1, 12, 0, 0, 0, tzinfo=UTC)
TIMING = Timing(15.0)


async def test_create_update_release(api: ApiClient, namespace: str) -> None:
    """Each returns the stored Lease; times without microseconds are accepted."""
    store = ClusterLease(api, namespace, NAME)
    assert await store.read() is None
    first = await store.create(first_lease("a", TIMING, NOW))
    assert first == Lease("a", 15, NOW, NOW, 0, first.version if first else "")
    later = NOW + timedelta(seconds=2, microseconds=7)
    renewed = await store.update(first.taken("a", TIMING, later))
    assert renewed is not None
    assert (renewed.acquired, renewed.renewed) == (NOW, later)
    assert renewed.version != first.version
    released = await store.update(renewed.released(later))
    assert released is not None
    assert (released.holder, released.duration) == ("", 1)
    taken = await store.update(released.taken("b", TIMING, later))
    assert taken is not None
    assert (taken.holder, taken.transitions, taken.acquired) == ("b", 1, later)
    assert await store.read() == taken


async def test_the_slower_one_gets_a_conflict(api: ApiClient, namespace: str) -> None:
    """This holds for a second create, an old version, and a deleted Lease."""
    one, two = ClusterLease(api, namespace, NAME), ClusterLease(api, namespace, NAME)
    first = await one.create(first_lease("a", TIMING, NOW))
    assert first is not None
    assert await two.create(first_lease("b", TIMING, NOW)) is None
    assert await two.read() == first
    assert await one.update(first.taken("a", TIMING, NOW + timedelta(1)))
    assert await two.update(first.taken("b", TIMING, NOW)) is None
    found = await two.read()
    assert found is not None
    assert found.holder == "a"


async def test_a_deleted_record_cannot_be_updated(
    api: ApiClient, control_plane: ControlPlane, namespace: str
) -> None:
    store = ClusterLease(api, namespace, NAME)
    first = await store.create(first_lease("a", TIMING, NOW))
    assert first is not None
    control_plane.kubectl("delete", "lease", NAME, "--namespace", namespace)
    assert await store.update(first.taken("a", TIMING, NOW)) is None
    assert await store.create(first_lease("a", TIMING, NOW))
    assert await store.update(replace(first, holder="a")) is None


async def test_what_others_put_on_it_stays(
    api: ApiClient, control_plane: ControlPlane, namespace: str
) -> None:
    """A label stays; a Lease that was made by hand has few fields."""
    manifest = (
        "apiVersion: coordination.k8s.io/v1\nkind: Lease\n"
        f"metadata: {{name: {NAME}, namespace: {namespace}, labels: {{team: x}}}}\n"
    )
    control_plane.kubectl("create", "-f", "-", stdin=manifest)
    store = ClusterLease(api, namespace, NAME)
    bare = await store.read()
    assert bare is not None
    assert (bare.holder, bare.acquired, bare.transitions) == ("", None, 0)
    assert await store.update(bare.taken("a", TIMING, NOW))
    label = "jsonpath={.metadata.labels.team} {.spec.holderIdentity}"
    where = ("--namespace", namespace, "--output", label)
    assert control_plane.kubectl("get", "lease", NAME, *where).stdout == "x a"


async def test_a_missing_namespace_is_named(api: ApiClient) -> None:
    """Reading finds nothing; the error of a create says what to do."""
    store = ClusterLease(api, "nowhere", NAME)
    assert await store.read() is None
    with pytest.raises(ClusterError, match="no namespace 'nowhere'"):
        await store.create(first_lease("a", TIMING, NOW))


async def test_a_refusal_says_what_to_grant(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    """It names all three verbs, whichever is missing."""
    inside = ("--namespace", namespace)
    control_plane.kubectl("create", "serviceaccount", "nobody", *inside)
    token = control_plane.kubectl("create", "token", "nobody", *inside).stdout.strip()
    kubeconfig = tmp_path / "kubeconfig"
    text = control_plane.kubeconfig.read_text()
    kubeconfig.write_text(text.replace(control_plane.token, token))
    access = await connect(kubeconfig)
    with pytest.raises(ClusterError, match="get, create and update on leases"):
        await ClusterLease(access.api, namespace, NAME).read()
    await access.api.close()


def test_who_we_are_is_the_pod_and_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is POD_NAME or the host's name, and differs for each process."""
    monkeypatch.setenv("POD_NAME", "znp-0")
    assert own_identity().startswith("znp-0_")
    assert own_identity() != own_identity()
    monkeypatch.delenv("POD_NAME")
    assert "_" in own_identity()
