"""Which objects can be reconciled, suspended and resumed, and why not; pure."""

from collections.abc import Mapping
from typing import Any

from zitadel_notification_operator.cli.process.program import called_as
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy_object import PolicyObject

from .judgement import is_suspended, title

GITOPS_MANAGERS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
}
"""The programs that put a spec back, by the field managers of their writes."""


def why_not_reconciled(one: OwnObject) -> str:
    """Return why a pass cannot be asked for; empty if it can."""
    if is_suspended(one) and not one.deleting:
        set_name = _set_of(one)
        whose = f"znps/{set_name}" if set_name else title(one)
        return (
            "it is suspended, so nothing happens to it until "
            f"{called_as()} resume {whose}{_inside(one)}"
        )
    return ""


def why_not_suspended(one: OwnObject) -> str:
    """Return why an object cannot be suspended; empty if it can."""
    if isinstance(one, InstanceObject):
        return (
            "a ZitadelInstance cannot be suspended, because deletions need it: suspend "
            f"the policies and sets that use it ({called_as()} suspend --all -A), or "
            "scale the operator to zero"
        )
    if one.deleting:
        return (
            "it is being deleted, and a suspended object does its cleanup, too: to "
            "leave ZITADEL as it is, set spec.deletionPolicy to Retain"
        )
    set_name = _set_of(one)
    if set_name:
        return (
            f"the set znps/{set_name} has made it and would put it back: suspend "
            f"the set ({called_as()} suspend znps/{set_name}{_inside(one)}), or make a "
            "policy of your own for this organization, which overrules it"
        )
    return ""


def why_not_resumed(one: OwnObject) -> str:
    """Return why an object cannot be resumed; empty if it can."""
    set_name = _set_of(one)
    if set_name and is_suspended(one):
        return (
            f"the set znps/{set_name} has suspended it: resume the set "
            f"({called_as()} resume znps/{set_name}{_inside(one)})"
        )
    return ""


def gitops_writer(body: Mapping[str, Any]) -> str:
    """Return which GitOps tool writes an object's spec; empty if none does."""
    for entry in body.get("metadata", {}).get("managedFields") or ():
        writes_spec = "f:spec" in (entry.get("fieldsV1") or {})
        if writes_spec and entry.get("manager") in GITOPS_MANAGERS:
            return GITOPS_MANAGERS[entry["manager"]]
    return ""


def _set_of(one: OwnObject) -> str:
    """Return the name of the set that has made a policy; empty if none has."""
    if isinstance(one, PolicyObject) and one.controller is not None:
        return one.controller.name
    return ""


def _inside(one: OwnObject) -> str:
    return f" -n {one.key.namespace}" if one.key.namespace else ""
