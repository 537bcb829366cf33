"""Makes manifests of what a conversion has found, or none if anything is wrong."""

from collections.abc import Callable, Mapping

from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.manifests.checking import problems_of
from zitadel_notification_operator.manifests.errors import ManifestError
from zitadel_notification_operator.manifests.exporting import INSTANCE_NAME
from zitadel_notification_operator.manifests.manifest import (
    Manifest,
    Style,
    policy_manifest,
)
from zitadel_notification_operator.manifests.object_names import object_name

from .crossplane import read_crossplane
from .findings import INSTANCE, Findings, Found
from .pulumi import read_pulumi
from .terraform import read_terraform
from .truvity import read_truvity

READERS: Mapping[str, Callable[[str, str], Findings]] = {
    "terraform": read_terraform,
    "pulumi": read_pulumi,
    "truvity": read_truvity,
    "crossplane": read_crossplane,
}
"""What reads the files of each tool."""


def manifests_of(findings: Findings, style: Style) -> list[Manifest]:
    """Return a manifest for each organization, and for the instance.

    Several resources for one organization with the same values become one manifest.

    Args:
        findings: What was found.
        style: What all manifests have in common.

    Raises:
        ManifestError: Something cannot be read, or contradicts something else.
    """
    problems = list(findings.problems)
    grouped: dict[str, list[Found]] = {}
    for found in findings.found:
        grouped.setdefault(found.organization, []).append(found)
    manifests = []
    for organization, same in grouped.items():
        if any(one.settings != same[0].settings for one in same):
            origins = " and ".join(one.origin for one in same)
            problems.append(f"{origins} contradict each other: one target, two values")
            continue
        manifest = _manifest(organization, same, style)
        wrong = problems_of(manifest.kind, manifest.body())
        problems += [f"{same[0].origin}: {problem}" for problem in wrong]
        manifests.append(manifest)
    if problems:
        raise ManifestError(*problems)
    return manifests


def _manifest(organization: str, same: list[Found], style: Style) -> Manifest:
    first = same[0]
    reference, name = None, INSTANCE_NAME
    if organization != INSTANCE:
        reference = Reference(By.ID, organization)
        name = object_name(first.title, organization)
    comments = [line for one in same for line in (f"From {one.origin}", *one.comments)]
    return policy_manifest(name, reference, first.settings, style, *comments)
