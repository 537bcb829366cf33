"""Reads the objects of truvity's operator, of version v1alpha2.

There a `passwordChange` that is left out means false, and the organization may come
from a ScopeMap, so that only the status tells which it is.
"""

from zitadel_notification_operator.manifests.objects import Item

from .findings import INSTANCE, Findings, Found, read_flag, settings_of
from .kubernetes import Foreign, foreign_items, one_of, read_foreign

GROUP = "zitadel.truvity.io"
VERSION = f"{GROUP}/v1alpha2"
POLICY = "NotificationPolicy"
DEFAULT = "DefaultNotificationPolicy"

_LEFT_OUT = "passwordChange was left out, which means false there"


def read_truvity(text: str, name: str) -> Findings:
    """Return the policies that objects of truvity's operator declare.

    Args:
        text: What `kubectl get -o json` or `-o yaml` prints.
        name: The name of the file, for messages.

    Raises:
        ManifestError: The text holds something else than objects of Kubernetes.
    """
    findings = Findings()
    instances = set()
    for item in foreign_items(text, name):
        if item.group != GROUP or item.kind not in {POLICY, DEFAULT}:
            findings.skipped += 1
            continue
        if item.api_version != VERSION:
            findings.problems.append(
                f"{item.where}: znp reads {VERSION}, not {item.api_version}"
            )
            continue
        foreign = read_foreign(item, findings)
        if foreign is not None:
            instances.add(str(foreign.spec.get("instance") or "the default one"))
            _take(item, foreign, findings)
    findings.warn_of_several("instances", instances)
    return findings


def _take(item: Item, foreign: Foreign, findings: Findings) -> None:
    organization: str | None = INSTANCE
    if item.kind == POLICY:
        organization = one_of(
            {
                "status.organizationId": foreign.status.get("organizationId"),
                "spec.organizationId": foreign.spec.get("organizationId"),
            },
            foreign.origin,
            findings,
            hint="its status would tell it once that operator has handled it",
        )
    value, comments = foreign.spec.get("passwordChange"), []
    if value is None:
        value = False
        comments.append(_LEFT_OUT)
        findings.warnings.append(f"{foreign.origin}: {_LEFT_OUT}: mails are off")
    flag = read_flag(value, "spec.passwordChange", foreign.origin, findings)
    if organization is None or flag is None:
        return
    settings = settings_of(password_change=flag)
    findings.found.append(
        Found(foreign.origin, foreign.name, organization, settings, tuple(comments))
    )
