"""Reads `pulumi stack export`: the provider pulumiverse/zitadel, or a bridged one."""

import json
from typing import Any

from zitadel_notification_operator.manifests.errors import ManifestError

from .findings import (
    INSTANCE,
    Findings,
    Found,
    list_at,
    map_at,
    one_id,
    read_flag,
    read_json,
    settings_of,
    shown_version,
)

POLICY = "zitadel:index/notificationPolicy:NotificationPolicy"
DEFAULT = "zitadel:index/defaultNotificationPolicy:DefaultNotificationPolicy"
TYPES = frozenset({POLICY, DEFAULT})

_VERSIONS = (3, 4)

_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The key by which Pulumi marks a value that is no plain JSON."""

_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a mark, no secret
"""What that key holds for a secret."""


def read_pulumi(text: str, name: str) -> Findings:
    """Return the policies that a stack holds.

    Args:
        text: What `pulumi stack export` prints.
        name: The name of the file, for messages.

    Raises:
        ManifestError: The text is no stack that can be read.
    """
    whole = read_json(text, name)
    if "deployment" not in whole or "version" not in whole:
        raise ManifestError(
            f"{name} is no stack of Pulumi: it has no version or no deployment; give "
            "what pulumi stack export prints"
        )
    if whole["version"] not in _VERSIONS:
        raise ManifestError(
            f"{name} is a stack of version {shown_version(whole['version'])}; znp "
            "reads versions 3 and 4"
        )
    deployment = map_at(whole, "deployment", name)
    findings = Findings()
    providers = set()
    for resource in list_at(deployment, "resources", name):
        if not _is_ours(resource):
            findings.skipped += 1
        elif _take(resource, name, findings):
            # The last part of a provider's name is its id, which differs in each run.
            provider = str(resource.get("provider"))
            providers.add(provider.rpartition("::")[0] or provider)
    for pending in list_at(deployment, "pending_operations", name):
        resource = map_at(pending, "resource", name)
        if _is_ours(resource):
            findings.warnings.append(
                f"{resource.get('urn')}: an operation was interrupted; run pulumi "
                "refresh and export again"
            )
    findings.warn_of_several("providers", providers)
    return findings


def _is_ours(resource: dict[str, Any]) -> bool:
    kind = resource.get("type")
    return isinstance(kind, str) and kind in TYPES


def _take(resource: dict[str, Any], name: str, findings: Findings) -> bool:
    """Take a policy; return whether it is one that Pulumi manages."""
    urn = resource.get("urn")
    if not isinstance(urn, str) or not urn:
        raise ManifestError(f"{name}: a {resource['type']} has no urn")
    if resource.get("external") is True:
        findings.warnings.append(f"{urn}: it is only read by Pulumi, and left out")
        return False
    if resource.get("delete") is True:
        findings.warnings.append(
            f"{urn}: it is an old one that waits for its deletion, and left out"
        )
        return False
    outputs = map_at(resource, "outputs", urn)
    organization: str | None = INSTANCE
    if resource["type"] == POLICY:
        organization = _organization(urn, resource, outputs, findings)
    value = _plain(outputs.get("passwordChange"), urn, "passwordChange", findings)
    if organization is None or value is _UNREADABLE:
        return True
    flag = read_flag(value, "passwordChange", urn, findings)
    if flag is not None:
        title = urn.rpartition("::")[2]
        settings = settings_of(password_change=flag)
        findings.found.append(Found(urn, title, organization, settings))
    return True


_UNREADABLE = object()


def _organization(
    urn: str, resource: dict[str, Any], outputs: dict[str, Any], findings: Findings
) -> str | None:
    found = _plain(outputs.get("orgId"), urn, "orgId", findings)
    if found is _UNREADABLE:
        return None
    return one_id({"orgId": found, "id": resource.get("id")}, urn, findings)


def _plain(value: Any, urn: str, what: str, findings: Findings) -> Any:
    """Return a value of Pulumi; if it is no plain one, note that."""
    if not isinstance(value, dict):
        return value
    if value.get(_SIGNATURE) == _SECRET:
        try:
            return json.loads(value["plaintext"])
        except (KeyError, TypeError, ValueError):
            findings.problems.append(
                f"{urn}: {what} is encrypted; give what pulumi stack export "
                "--show-secrets prints"
            )
            return _UNREADABLE
    findings.problems.append(f"{urn}: {what} is no plain value")
    return _UNREADABLE
