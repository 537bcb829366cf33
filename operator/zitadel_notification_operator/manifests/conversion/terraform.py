"""Reads Terraform's and OpenTofu's states: as stored, and as `show -json` gives them.

The resources are those of the provider zitadel/zitadel. What is pending there, such as
a tainted resource, still is in ZITADEL, so it is converted, with a comment.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
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

POLICY = "zitadel_notification_policy"
DEFAULT = "zitadel_default_notification_policy"
TYPES = frozenset({POLICY, DEFAULT})

_STATE_VERSION = 4
_MANAGED = "managed"
_MODES = (_MANAGED, "data")
_TAINTED = "Tainted: Terraform would replace it"
_KNOWN = frozenset({"id", "org_id", "password_change"})
"""The attributes of a resource that are understood."""


@dataclass(frozen=True, slots=True)
class _Resource:
    """One instance of a resource, from either form of the state."""

    address: str
    type: str
    name: str
    values: dict[str, Any]
    provider: str
    is_tainted: bool = False


def read_terraform(text: str, name: str) -> Findings:
    """Return the policies that a state holds.

    Args:
        text: The state: of `terraform state pull`, or of `terraform show -json` for a
            state or a plan.
        name: The name of the file, for messages.

    Raises:
        ManifestError: The text is no state that can be read.
    """
    whole = read_json(text, name)
    if "encrypted_data" in whole:
        raise ManifestError(
            f"{name} is an encrypted state; give what tofu state pull or tofu show "
            "-json prints"
        )
    findings = Findings()
    if "format_version" in whole:
        resources = _shown(whole, name, findings)
    elif "version" in whole:
        resources = _stored(whole, name, findings)
    else:
        raise ManifestError(
            f"{name} is no state of Terraform: it has neither version nor "
            "format_version; give what terraform state pull or terraform show -json "
            "prints"
        )
    providers = set()
    for resource in resources:
        providers.add(resource.provider)
        _take(resource, findings)
    findings.warn_of_several("provider configurations", providers)
    return findings


def _stored(
    whole: dict[str, Any], name: str, findings: Findings
) -> Iterator[_Resource]:
    version = whole["version"]
    if version != _STATE_VERSION:
        raise ManifestError(
            f"{name} is a state of version {shown_version(version)}; znp reads "
            f"version {_STATE_VERSION}, which Terraform 0.12 and newer write"
        )
    for resource in list_at(whole, "resources", name):
        if not _is_ours(resource, name):
            findings.skipped += 1
            continue
        base = f"{resource['type']}.{_text(resource, 'name', name)}"
        module = resource.get("module")
        if module is not None:
            base = f"{_text(resource, 'module', name)}.{base}"
        if "instances" not in resource:
            raise ManifestError(f"{name}: {base}: it has no instances")
        for instance in list_at(resource, "instances", base):
            address = f"{base}{_index(instance.get('index_key'), base)}"
            if instance.get("deposed") is not None:
                findings.warnings.append(f"{address}: a deposed object is left out")
                continue
            if "attributes" not in instance:
                findings.problems.append(
                    f"{address}: it has no attributes; terraform apply -refresh-only "
                    "writes them"
                )
                continue
            yield _Resource(
                address,
                resource["type"],
                resource["name"],
                map_at(instance, "attributes", address),
                str(resource.get("provider")),
                instance.get("status") == "tainted",
            )


def _shown(whole: dict[str, Any], name: str, findings: Findings) -> Iterator[_Resource]:
    version = whole["format_version"]
    if not isinstance(version, str) or version.partition(".")[0] != "1":
        raise ManifestError(
            f"{name} has the format_version {shown_version(version)}; znp reads 1.x, "
            "which Terraform 1.1 and newer write"
        )
    if "planned_values" in whole or "resource_changes" in whole:
        _warn_of_changes(whole, name, findings)
        if "prior_state" not in whole:
            raise ManifestError(
                f"{name} is a plan without a prior state: nothing has been applied "
                "that could be converted"
            )
        whole = map_at(whole, "prior_state", name)
    values = map_at(whole, "values", name)
    yield from _of_module(map_at(values, "root_module", name), name, findings)


def _of_module(
    module: dict[str, Any], name: str, findings: Findings
) -> Iterator[_Resource]:
    for resource in list_at(module, "resources", name):
        if not _is_ours(resource, name):
            findings.skipped += 1
            continue
        address = _text(resource, "address", name)
        if resource.get("deposed_key") is not None:
            findings.warnings.append(f"{address}: a deposed object is left out")
            continue
        yield _Resource(
            address,
            resource["type"],
            _text(resource, "name", name),
            map_at(resource, "values", address),
            str(resource.get("provider_name")),
            resource.get("tainted") is True,
        )
    for child in list_at(module, "child_modules", name):
        yield from _of_module(child, name, findings)


def _warn_of_changes(whole: dict[str, Any], name: str, findings: Findings) -> None:
    for change in list_at(whole, "resource_changes", name):
        actions = map_at(change, "change", name).get("actions")
        if not _is_ours(change, name) or actions in (["no-op"], ["read"]):
            continue
        address = _text(change, "address", name)
        what = (
            "would create it; it is not there yet, and left out"
            if actions == ["create"]
            else "would change it; the manifest has what is there before that"
        )
        findings.warnings.append(f"{address}: the plan {what}")


def _is_ours(resource: dict[str, Any], where: str) -> bool:
    """Return whether a resource is a policy that Terraform manages.

    Raises:
        ManifestError: It is a policy, but nobody knows whether Terraform manages it.
    """
    kind, mode = resource.get("type"), resource.get("mode")
    if not isinstance(kind, str) or kind not in TYPES:
        return False
    if mode not in _MODES:
        title = resource.get("address") or f"{kind}.{resource.get('name')}"
        raise ManifestError(f"{where}: {title}: its mode is neither managed nor data")
    return bool(mode == _MANAGED)


def _text(resource: dict[str, Any], key: str, where: str) -> str:
    found = resource.get(key)
    if not isinstance(found, str) or not found:
        raise ManifestError(f"{where}: a {resource.get('type')} has no {key}")
    return found


def _index(key: object, where: str) -> str:
    if key is None:
        return ""
    if isinstance(key, int | str) and not isinstance(key, bool):
        return f"[{json.dumps(key, ensure_ascii=False)}]"
    raise ManifestError(f"{where}: an index_key is neither a number nor a text")


def _take(resource: _Resource, findings: Findings) -> None:
    address, values = resource.address, resource.values
    organization = INSTANCE
    if resource.type == POLICY:
        places = {key: values.get(key) for key in ("org_id", "id")}
        known = one_id(places, address, findings)
        if known is None:
            return
        organization = known
    flag = read_flag(
        values.get("password_change"), "password_change", address, findings
    )
    if flag is None:
        return
    comments = (_TAINTED,) if resource.is_tainted else ()
    if resource.is_tainted:
        findings.warnings.append(
            f"{address} is tainted: terraform apply would reset the organization and "
            "set it again, so let Terraform forget it before anybody runs that"
        )
    unknown = sorted(key for key in values if key not in _KNOWN and values[key])
    if unknown:
        findings.warnings.append(
            f"{address} has attributes that are not converted: {', '.join(unknown)}"
        )
    settings = settings_of(password_change=flag)
    findings.found.append(
        Found(address, resource.name, organization, settings, comments)
    )
