"""Reads the objects of Crossplane's providers for ZITADEL.

There are three: crossplane-contrib's, which calls the instance's kind
`NotificationPolicy` of a group `default`; loafoe's; and one that vhdirk generated.
"""

from collections.abc import Mapping
from typing import Any

from zitadel_notification_operator.manifests.objects import Item

from .findings import INSTANCE, Findings, Found, map_at, read_flag, settings_of
from .kubernetes import Foreign, foreign_items, one_of, read_foreign

_ENDS = ("zitadel.crossplane.io", "zitadel.m.crossplane.io")

ORGANIZATION_KINDS = frozenset(
    {
        ("zitadel.crossplane.io", "NotificationPolicy"),
        ("zitadel.m.crossplane.io", "NotificationPolicy"),
        ("notification.zitadel.crossplane.io", "Policy"),
        ("notification.zitadel.m.crossplane.io", "Policy"),
    }
)
"""Groups and kinds of an organization's policy."""

INSTANCE_KINDS = frozenset(
    {
        ("zitadel.crossplane.io", "DefaultNotificationPolicy"),
        ("zitadel.crossplane.io", "ClusterDefaultNotificationPolicy"),
        ("zitadel.m.crossplane.io", "DefaultNotificationPolicy"),
        ("default.zitadel.crossplane.io", "NotificationPolicy"),
        ("default.zitadel.m.crossplane.io", "NotificationPolicy"),
    }
)
"""Groups and kinds of the instance's policy."""

_VERSION = "v1alpha1"
_ID = ("organizationID", "orgId")


def read_crossplane(text: str, name: str) -> Findings:
    """Return the policies that objects of Crossplane's providers declare.

    Args:
        text: What `kubectl get -o json` or `-o yaml` prints.
        name: The name of the file, for messages.

    Raises:
        ManifestError: The text holds something else than objects of Kubernetes.
    """
    findings = Findings()
    configurations = set()
    for item in foreign_items(text, name):
        if not _is_ours(item, findings):
            continue
        foreign = read_foreign(item, findings)
        if foreign is not None:
            configuration = map_at(foreign.spec, "providerConfigRef", foreign.origin)
            configurations.add(str(configuration.get("name") or "the default one"))
            _take(item, foreign, findings)
    findings.warn_of_several("provider configurations", configurations)
    return findings


def _is_ours(item: Item, findings: Findings) -> bool:
    """Return whether this is a policy; note what is nearly one."""
    pair = (item.group, item.kind)
    if pair in ORGANIZATION_KINDS | INSTANCE_KINDS:
        if item.api_version == f"{item.group}/{_VERSION}":
            return True
    elif not _looks_like_a_policy(item):
        findings.skipped += 1
        return False
    findings.problems.append(
        f"{item.where}: znp does not know {item.kind} of {item.api_version}"
    )
    return False


def _looks_like_a_policy(item: Item) -> bool:
    if not item.group.endswith(_ENDS):
        return False
    if item.kind.endswith("NotificationPolicy"):
        return True
    return item.group.startswith("notification.") and item.kind == "Policy"


def _take(item: Item, foreign: Foreign, findings: Findings) -> None:
    origin = foreign.origin
    asked = map_at(foreign.spec, "forProvider", origin)
    first = map_at(foreign.spec, "initProvider", origin)
    seen = map_at(foreign.status, "atProvider", origin)
    organization: str | None = INSTANCE
    if (item.group, item.kind) in ORGANIZATION_KINDS:
        organization = _organization(origin, asked, seen, findings)
    value, source = _value(asked, seen, first)
    flag = read_flag(value, "passwordChange", origin, findings)
    if organization is None or flag is None:
        return
    comments = () if source is None else (f"passwordChange is that of {source}",)
    now = seen.get("passwordChange")
    if isinstance(now, bool) and now != flag:
        findings.warnings.append(
            f"{origin}: its spec says passwordChange {_word(flag)}, its status "
            f"{_word(now)}; the manifest has what the spec says"
        )
    settings = settings_of(password_change=flag)
    findings.found.append(Found(origin, foreign.name, organization, settings, comments))


def _organization(
    origin: str, asked: Mapping[str, Any], seen: Mapping[str, Any], findings: Findings
) -> str | None:
    places: dict[str, object] = {
        f"{place}.{key}": values.get(key)
        for place, values in (
            ("status.atProvider", seen),
            ("spec.forProvider", asked),
        )
        for key in _ID
    }
    if not any(places.values()):
        # Upjet's id of such a resource is the organization's.
        places["status.atProvider.id"] = seen.get("id")
    hint = "its status would tell it once that provider has handled it"
    return one_of(places, origin, findings, hint=hint)


def _value(
    asked: Mapping[str, Any], seen: Mapping[str, Any], first: Mapping[str, Any]
) -> tuple[object, str | None]:
    """Return the value, and where it is from if that is not `spec.forProvider`."""
    for values, source in (
        (asked, None),
        (seen, "status.atProvider"),
        (first, "spec.initProvider"),
    ):
        if values.get("passwordChange") is not None:
            return values["passwordChange"], source
    return None, None


def _word(flag: bool) -> str:  # noqa: FBT001 - it is what is described
    return "true" if flag else "false"
