"""Secrets by name, in one namespace, on a real API server."""

import json

import pytest

from support.apiserver import access_to
from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.secrets import ClusterSecrets
from zitadel_notification_operator.core.errors import ClusterError, TransientError
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.demo.control_plane import ControlPlane

CANARY = "canary-5f0c"


def create(plane: ControlPlane, namespace: str) -> None:
    """Store a Secret with one key of text, one of bytes, and an empty one."""
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pat", "namespace": namespace},
        "stringData": {"token": f"{CANARY}\n", "empty": ""},
        "data": {"raw": "/wD+"},
    }
    plane.kubectl("create", "-f", "-", stdin=json.dumps(manifest))


async def test_values_come_as_bytes(
    api: ApiClient, control_plane: ControlPlane, namespace: str
) -> None:
    """They are returned as stored; the caller decides about encodings."""
    create(control_plane, namespace)
    values = await ClusterSecrets(api, namespace).read_secret("pat")
    assert values == {
        "token": f"{CANARY}\n".encode(),
        "raw": b"\xff\x00\xfe",
        "empty": b"",
    }


async def test_absent_is_a_value(
    api: ApiClient, control_plane: ControlPlane, namespace: str
) -> None:
    """A missing Secret is None; one without keys is empty."""
    control_plane.kubectl("create", "secret", "generic", "bare", "-n", namespace)
    secrets = ClusterSecrets(api, namespace)
    assert await secrets.read_secret("absent") is None
    assert await secrets.read_secret("bare") == {}
    assert await secrets.read_config_map("absent") is None


async def test_config_maps_come_as_bytes_too(
    api: ApiClient, control_plane: ControlPlane, namespace: str
) -> None:
    """So both kinds of CA bundles are read in the same way."""
    command = ("create", "configmap", "ca", "--from-literal=ca.crt=text", "-n")
    control_plane.kubectl(*command, namespace)
    values = await ClusterSecrets(api, namespace).read_config_map("ca")
    assert values == {"ca.crt": b"text"}


async def test_a_name_stays_within_the_namespace(
    api: ApiClient, control_plane: ControlPlane, namespace: str
) -> None:
    """No name reaches another namespace's Secret."""
    create(control_plane, namespace)
    secrets = ClusterSecrets(api, "zitadel-notification-operator")
    for name in (f"../../{namespace}/secrets/pat", f"..%2F..%2F{namespace}"):
        try:
            assert await secrets.read_secret(name) is None
        except ClusterError:
            continue


async def test_a_missing_permission_says_what_to_give(
    api: ApiClient,
    control_plane: ControlPlane,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The message names the Secret and the verb, and contains no value."""
    create(control_plane, namespace)
    api.session.headers["Impersonate-User"] = "somebody"
    with pytest.raises(TransientError, match=f"{namespace}/pat.*verb get") as caught:
        await ClusterSecrets(api, namespace).read_secret("pat")
    assert caught.value.reason is Reason.CREDENTIALS_MISSING
    assert CANARY not in caught.value.message
    assert CANARY not in caplog.text


async def test_other_failures_are_the_cluster_s() -> None:
    """A server that does not respond says nothing about the Secret."""
    api = access_to("https://127.0.0.1:9").api
    with pytest.raises(ClusterError):
        await ClusterSecrets(api, "default").read_secret("pat")
    await api.close()
