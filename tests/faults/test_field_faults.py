"""Faults that users of comparable operators met, with whole programs.

A real API server, the emulator and the operator run as separate processes.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import System
from cluster.test_connections import create_roots, credentials_of, request_pass
from support.apiserver import kubeconfig
from support.authorities import Authority
from support.kube_calls import create_namespace
from support.running import EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

pytestmark = [pytest.mark.clock, pytest.mark.timeout(300)]

ACME = "280000000000000101"
NOWHERE = "http://127.0.0.1:1"
"""Nobody listens there."""


@contextmanager
def world_of(
    plane: ControlPlane, folder: Path, *options: str, **environment: str
) -> Iterator[System]:
    """Start an emulator and an operator with these options and variables."""
    create_secret(plane, "zitadel-credentials")
    emulator = EmulatorProcess(folder, 0, *options)
    with emulator.program:
        operator = OperatorProcess(plane, folder, environment=environment)
        try:
            operator.wait_ready()
            yield System(plane, emulator, operator, folder)
        finally:
            code = operator.program.stop()
    assert code == 0


def message(body: dict[str, Any]) -> str:
    """Return the message of the Ready condition."""
    (ready,) = [c for c in body["status"]["conditions"] if c["type"] == "Ready"]
    return str(ready["message"])


@pytest.mark.tls
def test_an_api_server_of_another_authority_is_reported_as_that(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    """The log names the certificate and where its authority is set.

    With the right one in the kubeconfig the operator goes on, without a restart.
    """
    path = tmp_path / "kubeconfig"

    def write(authority: str) -> None:
        data = base64.b64encode(authority.encode()).decode()
        cluster = {"certificate-authority-data": data}
        user = {"token": control_plane.token}
        kubeconfig(path, control_plane.url, cluster=cluster, user=user)

    write(Authority().pem)
    operator = OperatorProcess(control_plane, tmp_path, kubeconfig=path)
    try:
        eventually(
            lambda: "its certificate is not trusted" in operator.log.read_text(),
            30,
            "words about the certificate",
        )
        assert not operator.is_ready()
        write((control_plane.folder / "ca.crt").read_text())
        operator.wait_ready()
        text = operator.log.read_text()
    finally:
        code = operator.program.stop()
    assert code == 0
    assert "(authorities: the kubeconfig's certificate-authority-data)" in text
    assert "not permitted" not in text
    assert "Traceback" not in text


@pytest.mark.tls
def test_a_zitadel_whose_authority_is_bare_is_trusted_by_its_bundle(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    """It has only basicConstraints, which curl --cacert accepts."""
    authority = Authority("bare")
    roots, cert, key = (tmp_path / name for name in ("ca.crt", "tls.crt", "tls.key"))
    roots.write_text(authority.pem)
    shown = authority.issue("zitadel")
    cert.write_text(shown[0])
    key.write_text(shown[1])
    options = ("--tls-cert", str(cert), "--tls-key", str(key))
    with world_of(control_plane, tmp_path, *options, NO_PROXY="*") as system:
        create_roots(system, "bare", roots)
        bundle = {"configMapRef": {"name": "bare"}}
        spec: dict[str, Any] = {"caBundle": bundle, "allowInsecureHTTP": False}
        system.instance("bare", system.emulator.url, **spec)
        system.wait_for("", "bare", kind="zni")
        system.policy("default", "bare", ACME, instanceRef={"name": "bare"})
        system.wait_for("default", "bare")
        system.delete("bare", "default")
        system.gone("znp", "bare", "default")


def test_a_zitadel_that_refuses_great_limits_is_asked_for_less(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    """Two policies and two grants use names among many organizations."""
    with world_of(control_plane, tmp_path, NO_PROXY="*") as system:
        behavior = {"largest_limit": 100}
        system.emulator.call("PUT", "/emulator/v1/behavior", behavior)
        organizations = [system.organization() for _ in range(120)]
        names = {
            f"pages-{index}": system.emulator.get("/management/v1/orgs/me", found)[
                "org"
            ]
            for index, found in enumerate((organizations[0], organizations[-1]))
        }
        for namespace in names:
            create_namespace(control_plane, namespace)
        grants = [
            {"namespaces": [namespace], "organizations": [{"name": org["name"]}]}
            for namespace, org in names.items()
        ]
        system.instance("pages", system.emulator.url, grants=grants)
        for namespace, org in names.items():
            ref = {"name": org["name"]}
            system.policy(namespace, "p", ref, instanceRef={"name": "pages"})
        for namespace, org in names.items():
            status = system.wait_for(namespace, "p")["status"]
            assert status["organizationId"] == org["id"]
            assert system.emulator.policy(org["id"])["passwordChange"] is True
        # Events are read in smaller pages, too.
        path = "/management/v1/policies/notification"
        system.emulator.call("DELETE", path, organization=organizations[0])
        eventually(
            lambda: not system.emulator.policy(organizations[0]).get("isDefault"),
            *(20, "the drift is corrected"),
        )
        status = system.wait_for("", "pages", kind="zni")["status"]
        assert status["driftDetection"]["method"] == "Events"
        refused = [r for r in system.emulator.requests() if r["status"] == 400]
        # The limit is halved from 1,000 on, and the accepted one is kept.
        assert 1 <= len(refused) <= 10
        for namespace in names:
            system.delete("p", namespace)
            system.gone("znp", "p", namespace)


def test_a_range_in_no_proxy_is_reached_directly(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    """ZITADEL and Kubernetes are; other addresses use the missing proxy."""
    variables = {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE}
    variables["NO_PROXY"] = "127.0.0.0/8"
    # This machine may set the variables in lower case.
    variables |= {name.lower(): value for name, value in variables.items()}
    with world_of(control_plane, tmp_path, **variables) as system:
        system.instance("range", system.emulator.url)
        system.wait_for("", "range", kind="zni")
        system.policy("default", "range", ACME, instanceRef={"name": "range"})
        system.wait_for("default", "range")
        system.instance("outside", "http://zitadel.example")
        unreachable = ("False", "Unreachable")
        body = system.wait_for("", "outside", unreachable, kind="zni")
        assert "proxy" in message(body)
        system.delete("range", "default")
        system.gone("znp", "range", "default")


@pytest.mark.parametrize("kind", ["token", "key"])
def test_a_credential_that_was_encoded_twice_is_reported(
    control_plane: ControlPlane, tmp_path: Path, kind: str
) -> None:
    """The instance reports it without a call; a correct one helps."""
    with world_of(control_plane, tmp_path, NO_PROXY="*") as system:
        made = system.emulator.user("IAM_OWNER", credential=kind)
        secret = f"twice-{kind}"
        credentials = credentials_of(system, secret, made)
        value = made["token"] if kind == "token" else json.dumps(made["keyFile"])
        once = base64.b64encode(value.encode()).decode()
        # Kubernetes encodes the value a second time.
        field = "token" if kind == "token" else "key.json"
        create_secret(system.plane, secret, **{field: once})
        before = system.emulator.requests()
        system.instance(secret, system.emulator.url, credentials=credentials)
        invalid = ("False", "CredentialsInvalid")
        text = message(system.wait_for("", secret, invalid, kind="zni"))
        assert "was base64-encoded twice" in text
        assert secret in text
        assert field in text
        assert system.emulator.requests() == before
        credentials_of(system, secret, made)
        request_pass(system, secret, "1")
        system.wait_for("", secret, kind="zni")
        assert once[:20] not in system.operator.log.read_text()
