"""Instances as platform teams connect them: credentials, TLS, status."""

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import System
from support.running import (
    OWN_NAMESPACE,
    TOKEN,
    EmulatorProcess,
    create_secret,
)
from support.waiting import eventually
from zitadel_notification_operator.demo.certificates import write_certificates

DOMAIN = "auth.example.test"
LOOK = "zitadel-notification.dev/reconcile-requested-at"


def credentials_of(system: System, secret: str, made: dict[str, Any]) -> dict[str, Any]:
    """Store a credential of the emulator; return `spec.credentials` for it."""
    ref: dict[str, Any] = {"secretRef": {"name": secret}}
    if "keyFile" in made:
        create_secret(system.plane, secret, **{"key.json": json.dumps(made["keyFile"])})
        return {"privateKeyJWT": ref}
    if "clientSecret" in made:
        values = {"clientId": made["clientId"], "clientSecret": made["clientSecret"]}
        create_secret(system.plane, secret, **values)
        return {"clientCredentials": ref}
    create_secret(system.plane, secret, made["token"])
    return {"personalAccessToken": ref}


def request_pass(system: System, name: str, token: str) -> None:
    """Request a pass over an instance."""
    system.plane.kubectl("annotate", "--overwrite", "zni", name, f"{LOOK}={token}")


@pytest.mark.parametrize("kind", ["token", "key", "secret"])
def test_each_credential_reaches_zitadel(
    system: System, namespace: str, kind: str
) -> None:
    """The instance shows its user, what that may do, and the expiry."""
    made = system.emulator.user("IAM_OWNER", credential=kind)
    credentials = credentials_of(system, f"s-{namespace}", made)
    system.instance(namespace, system.emulator.url, credentials=credentials)
    status = system.wait_for("", namespace, kind="zni")["status"]
    assert status["user"] == {"id": made["userId"], "name": made["userName"]}
    assert status["capabilities"] == {
        "readEvents": True,
        "writeInstancePolicy": True,
        "listOrganizations": True,
    }
    assert status["version"] == "v4.7.0"
    assert status["instanceId"] == system.emulator.policy()["details"]["resourceOwner"]
    org = system.organization()
    system.policy(namespace, "p", org, instanceRef={"name": namespace})
    system.wait_for(namespace, "p")
    assert system.emulator.policy(org)["passwordChange"] is True


def test_the_end_of_a_key_is_reported(system: System, namespace: str) -> None:
    """It is that of the key file; an expired key is refused without a call."""
    user = {
        "roles": ["IAM_ORG_MANAGER"],
        "credential": "key",
        "expiration": "2099-01-02T03:04:05Z",
    }
    made = system.emulator.call("POST", "/emulator/v1/users", user)
    credentials = credentials_of(system, f"s-{namespace}", made)
    system.instance(namespace, system.emulator.url, credentials=credentials)
    status = system.wait_for("", namespace, kind="zni")["status"]
    assert status["credentialExpiresAt"] == "2099-01-02T03:04:05Z"
    assert status["capabilities"]["writeInstancePolicy"] is False
    assert "version" not in status
    ended = made["keyFile"] | {"expirationDate": "2026-01-01T00:00:00Z"}
    create_secret(system.plane, f"s-{namespace}", **{"key.json": json.dumps(ended)})
    request_pass(system, namespace, "1")
    body = system.wait_for("", namespace, ("False", "CredentialsInvalid"), kind="zni")
    (message,) = {c["message"] for c in body["status"]["conditions"]}
    assert "expired at 2026-01-01T00:00:00Z" in message


@pytest.mark.parametrize("errors", ["server_error", "invalid_grant", "invalid_client"])
def test_a_removed_key_is_reported_and_another_one_heals_it(
    system: System, namespace: str, errors: str, tmp_path: Path
) -> None:
    """This holds for both generations of servers, instance and policies."""
    emulator = EmulatorProcess(tmp_path)
    with emulator.program:
        made = emulator.user("IAM_OWNER", credential="key")
        path = f"/emulator/v1/users/{made['userId']}"
        emulator.call("DELETE", f"{path}/keys/{made['keyId']}")
        emulator.call("PUT", "/emulator/v1/behavior", {"token_errors": errors})
        credentials = credentials_of(system, f"s-{namespace}", made)
        system.instance(namespace, emulator.url, credentials=credentials)
        # Older servers give the same answer for a temporary error.
        older = errors == "server_error"
        expected = ("False", "ServerError" if older else "CredentialsRejected")
        body = system.wait_for("", namespace, expected, kind="zni")
        assert "clocks" in json.dumps(body["status"]["conditions"])
        org = "280000000000000101"
        system.policy(namespace, "p", org, instanceRef={"name": namespace})
        expected = ("False", "InstanceNotReady" if older else "CredentialsRejected")
        system.wait_for(namespace, "p", expected)
        assert older or len(emulator.requests("/oauth/v2/token")) <= 2
        body = {"credential": "key"}
        another = emulator.call("POST", f"{path}/credentials", body)
        credentials_of(system, f"s-{namespace}", another)
        if errors != "invalid_grant":
            request_pass(system, namespace, "1")
        # Without a request, the Secret is read again within a minute.
        eventually(
            lambda: (
                system.condition("znp", "p", namespace, "Ready")
                == ("True", "Succeeded")
            ),
            70,
        )
        system.delete("p", namespace)
        system.gone("znp", "p", namespace)


def test_rotation_on_the_first_refusal(system: System, namespace: str) -> None:
    """The Secret has the new token, the old one is revoked: it takes seconds."""
    old = system.emulator.user("IAM_OWNER", credential="token")
    credentials = credentials_of(system, f"s-{namespace}", old)
    system.instance(namespace, system.emulator.url, credentials=credentials)
    system.wait_for("", namespace, kind="zni")
    path = f"/emulator/v1/users/{old['userId']}/credentials"
    new = system.emulator.call("POST", path, {"credential": "token"})
    credentials_of(system, f"s-{namespace}", new)
    system.emulator.call("DELETE", f"/emulator/v1/tokens/{old['tokenId']}")
    org = system.organization()
    system.policy(namespace, "p", org, instanceRef={"name": namespace})
    system.wait_for(namespace, "p")
    assert system.condition("zni", namespace, "", "Ready") == ("True", "Succeeded")


def test_a_deactivated_user_turns_all_false_and_back(
    system: System, namespace: str
) -> None:
    """Both come with the instance's next check."""
    made = system.emulator.user("IAM_OWNER", credential="token")
    credentials = credentials_of(system, f"s-{namespace}", made)
    system.instance(namespace, system.emulator.url, credentials=credentials)
    org = system.organization()
    system.policy(namespace, "p", org, instanceRef={"name": namespace})
    system.wait_for(namespace, "p")
    path = f"/emulator/v1/users/{made['userId']}"
    system.emulator.call("PUT", path, {"state": "deactivated"})
    request_pass(system, namespace, "1")
    rejected = ("False", "CredentialsRejected")
    system.wait_for("", namespace, rejected, kind="zni")
    system.wait_for(namespace, "p", rejected)
    system.emulator.call("PUT", path, {"state": "reactivated"})
    request_pass(system, namespace, "2")
    system.wait_for("", namespace, kind="zni")
    system.wait_for(namespace, "p")


def test_a_role_in_one_organization_is_enough_for_it(
    system: System, namespace: str
) -> None:
    """Elsewhere the policy says which role to give, and where."""
    org, other = system.organization(), system.organization()
    made = system.emulator.user(
        "ORG_SETTINGS_MANAGER", credential="token", organization=org
    )
    credentials = credentials_of(system, f"s-{namespace}", made)
    system.instance(namespace, system.emulator.url, credentials=credentials)
    status = system.wait_for("", namespace, kind="zni")["status"]
    assert not any(status["capabilities"].values())
    for name, target in (("mine", org), ("other", other)):
        system.policy(namespace, name, target, instanceRef={"name": namespace})
    system.wait_for(namespace, "mine")
    refused = ("False", "InsufficientPermissions")
    body = system.wait_for(namespace, "other", refused)
    assert "ORG_SETTINGS_MANAGER" in json.dumps(body["status"]["conditions"])
    assert "IAM_ORG_MANAGER" in json.dumps(body["status"]["conditions"])


def test_a_user_without_a_role_is_reported_on_the_instance(
    system: System, namespace: str
) -> None:
    made = system.emulator.user(credential="token")
    credentials = credentials_of(system, f"s-{namespace}", made)
    system.instance(namespace, system.emulator.url, credentials=credentials)
    refused = ("False", "InsufficientPermissions")
    body = system.wait_for("", namespace, refused, kind="zni")
    assert "IAM_ORG_MANAGER" in json.dumps(body["status"]["conditions"])


def create_roots(system: System, name: str, certificate: Path) -> None:
    """Store CA certificates in a ConfigMap of the operator's namespace."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": OWN_NAMESPACE},
        "data": {"ca.crt": certificate.read_text()},
    }
    system.plane.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))


def serving(folder: Path) -> tuple[str, ...]:
    """Return options for an emulator with a certificate of a new CA."""
    folder.mkdir(exist_ok=True)
    write_certificates(folder, DOMAIN)
    cert, key = folder / "serving.crt", folder / "serving.key"
    return "--tls-cert", str(cert), "--tls-key", str(key), "--domain", DOMAIN


@pytest.mark.tls
def test_a_private_authority_and_another_name(
    system: System, namespace: str, tmp_path: Path
) -> None:
    """It is refused without the CA, and Ready with it, also after a change."""
    emulator = EmulatorProcess(tmp_path, 0, *serving(tmp_path / "one"))
    emulator.roots = tmp_path / "one" / "ca.crt"
    port = int(emulator.url.rpartition(":")[2])
    made = emulator.user("IAM_OWNER", credential="key")
    spec: dict[str, Any] = {
        "credentials": credentials_of(system, f"s-{namespace}", made),
        "externalDomain": DOMAIN,
        "allowInsecureHTTP": False,
    }
    system.instance(namespace, emulator.url, **spec)
    untrusted = ("False", "CertificateNotTrusted")
    system.wait_for("", namespace, untrusted, kind="zni")
    spec["caBundle"] = {"configMapRef": {"name": f"ca-{namespace}"}}
    system.instance(namespace, emulator.url, **spec)
    system.wait_for("", namespace, ("False", "CABundleMissing"), kind="zni")
    create_roots(system, f"ca-{namespace}", emulator.roots)
    request_pass(system, namespace, "1")
    system.wait_for("", namespace, kind="zni")
    org = "280000000000000101"
    system.policy(namespace, "p", org, instanceRef={"name": namespace})
    system.wait_for(namespace, "p")
    for request in emulator.requests("/oauth/v2/token", "/auth/v1/users/me"):
        assert request["server_name"] == DOMAIN
        assert request["host"] == DOMAIN
    emulator.program.stop()

    emulator = EmulatorProcess(tmp_path, port, *serving(tmp_path / "two"))
    with emulator.program:
        request_pass(system, namespace, "2")
        system.wait_for("", namespace, untrusted, kind="zni")
        # The former ZITADEL's policy is quiet: it keeps what was observed.
        assert system.condition("znp", "p", namespace, "Ready") == ("True", "Succeeded")
        create_roots(system, f"ca-{namespace}", tmp_path / "two" / "ca.crt")
        request_pass(system, namespace, "3")
        # The key is the former ZITADEL's: now the CA is trusted, but the key is not.
        # This older server has no other answer for that.
        system.wait_for("", namespace, ("False", "ServerError"), kind="zni")
        system.plane.kubectl("delete", "zni", namespace, "--wait=false")
        system.plane.kubectl("delete", "znp", "p", "-n", namespace, "--wait=false")
        patch = '{"spec":{"deletionPolicy":"Retain"}}'
        command = ("patch", "znp", "p", "-n", namespace, "--type=merge", "-p", patch)
        system.plane.kubectl(*command)
        system.gone("zni", namespace)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("not a certificate", "CABundleInvalid"), ("", "CABundleInvalid")],
)
@pytest.mark.tls
def test_roots_that_are_none_are_reported(
    system: System, namespace: str, tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "roots").write_text(text)
    create_roots(system, namespace, tmp_path / "roots")
    system.instance(
        namespace,
        "https://127.0.0.1:1",
        caBundle={"configMapRef": {"name": namespace}},
    )
    body = system.wait_for("", namespace, ("False", reason), kind="zni")
    assert f"ConfigMap {OWN_NAMESPACE}/{namespace}" in json.dumps(body["status"])


def test_another_zitadel_behind_the_url_is_not_touched(
    system: System, namespace: str
) -> None:
    """This lasts until an administrator accepts its id."""
    system.instance(namespace, system.emulator.url)
    system.wait_for("", namespace, kind="zni")
    org = system.organization()
    system.policy(namespace, "p", org, instanceRef={"name": namespace})
    system.wait_for(namespace, "p")
    path = "/admin/v1/instances/me"
    answer = json.dumps({"instance": {"id": "another", "version": "v4.7.0"}})
    fault = {"path": path, "body": answer}
    made = system.emulator.call("POST", "/emulator/v1/faults", fault)
    try:
        request_pass(system, namespace, "1")
        body = system.wait_for("", namespace, ("False", "InstanceChanged"), kind="zni")
        assert "another" in json.dumps(body["status"]["conditions"])
        system.wait_for(namespace, "p", ("False", "InstanceNotReady"))
        accept = "zitadel-notification.dev/accept-instance-id=another"
        system.plane.kubectl("annotate", "zni", namespace, accept)
        body = system.wait_for("", namespace, kind="zni")
        assert body["status"]["instanceId"] == "another"
        system.wait_for(namespace, "p")
    finally:
        system.emulator.call("DELETE", "/emulator/v1/faults")
    assert made


def test_no_secret_appears_anywhere(system: System, namespace: str) -> None:
    """None is in the log at DEBUG, an object, an Event or a metric."""
    secrets = [TOKEN]
    for kind in ("key", "secret", "token"):
        made = system.emulator.user("IAM_OWNER", credential=kind)
        credentials = credentials_of(system, f"{kind}-{namespace}", made)
        name = f"{kind}-{namespace}"
        system.instance(name, system.emulator.url, credentials=credentials)
        system.wait_for("", name, kind="zni")
        secrets += [made[name] for name in ("token", "clientSecret") if name in made]
        if kind == "key":
            lines = made["keyFile"]["key"].splitlines()
            secrets += [line for line in lines if len(line) == 64]
    found = [system.operator.log.read_text(), system.operator.metrics()]
    for kind in ("znp", "zni", "events"):
        done = system.plane.kubectl("get", kind, "--all-namespaces", "--output=yaml")
        found.append(done.stdout)
    # Assertions begin so: `{"alg":"RS256",`.
    secrets += ["eyJhbGciOiJSUzI1NiIs", "Bearer "]
    assert len(secrets) > 10
    for text in found:
        assert text
        assert not [secret for secret in secrets if secret in text]
