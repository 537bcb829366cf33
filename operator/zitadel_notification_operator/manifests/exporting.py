"""Makes manifests of what a ZITADEL holds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from zitadel_notification_operator.core.policy import (
    ManagementPolicy,
    ObservedPolicy,
    Organization,
)
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.set_object import Limits
from zitadel_notification_operator.core.text import shown_name

from .errors import ManifestError
from .manifest import Manifest, Style, policy_manifest, set_manifest
from .object_names import object_name
from .schema import problems_of_name
from .survey import Held, Survey

INSTANCE_NAME = "instance"
"""The name of the object for the instance's policy."""

_MOST_OF_A_SET = 100_000
_TOLD = 3
_ROUND = 1000


class Exporter:
    """Makes manifests of a survey.

    Args:
        survey: What ZITADEL holds.
        style: What all manifests have in common.
        by: How they name organizations: by id, or by name where that is possible.
    """

    def __init__(self, survey: Survey, style: Style, by: By = By.ID) -> None:
        self._survey, self._style, self._by = survey, style, by
        names = Counter(held.organization.name.casefold() for held in survey.held)
        self._common = {name for name, count in names.items() if count > 1}

    def policies(self, *, inherited: bool) -> Iterator[Manifest]:
        """Yield a policy for each organization that has one of its own.

        Args:
            inherited: Whether the others get one, too, which observes only.
        """
        for held in self._survey.held:
            if held.is_own:
                yield self._policy(held, self._style)
            elif inherited:
                observing = replace(self._style, management=ManagementPolicy.OBSERVE)
                yield self._policy(held, observing, "It inherits the instance's policy")

    def set_of_all(self, name: str) -> Iterator[Manifest]:
        """Return a set for all organizations, and policies for those that differ.

        Args:
            name: The name of the set.

        Raises:
            ManifestError: Some organization has no policy of its own, so that a set of
                all would give it one; or there are too few or too many organizations.
        """
        self._require_all_own()
        held = self._survey.held
        counts = Counter(one.settings for one in held)
        common = max(counts, key=lambda settings: (counts[settings], settings.values))
        manifest = set_manifest(
            name,
            common,
            _limit_for(len(held)),
            self._style,
            f"{counts[common]} of {len(held)} organizations, and those of tomorrow",
        )
        others = (one for one in held if one.settings != common)
        policies = (self._policy(one, self._style) for one in others)
        return chain([manifest], (_apart_from(name, policy) for policy in policies))

    def _require_all_own(self) -> None:
        survey = self._survey
        others = [held.organization for held in survey.held if not held.is_own]
        others += survey.without
        if others:
            names = ", ".join(_quoted(one) for one in others[:_TOLD])
            more = f" and {len(others) - _TOLD} more" if len(others) > _TOLD else ""
            raise ManifestError(
                "A set for all organizations would give a policy to those that inherit "
                f"now: {names}{more}; use --as policies"
            )
        if survey.hidden:
            raise ManifestError(
                f"A set for all organizations cannot be made: the credential may not "
                f"see {survey.hidden} of them; use one that may, or --as policies"
            )
        if not survey.held:
            raise ManifestError("There is no organization that a set could be made of")
        if len(survey.held) > _MOST_OF_A_SET:
            raise ManifestError(
                f"A set holds at most {_MOST_OF_A_SET} organizations, and there are "
                f"{len(survey.held)}; use --as policies"
            )

    def _policy(self, held: Held, style: Style, *comments: str) -> Manifest:
        organization = held.organization
        reference, why = self._reference(organization)
        return policy_manifest(
            object_name(organization.name, organization.id),
            reference,
            held.settings,
            style,
            shown_name(organization.name),
            *comments,
            *why,
        )

    def _reference(self, organization: Organization) -> tuple[Reference, list[str]]:
        """Return how an organization is named, and why not by its name."""
        name = organization.name
        by_id = Reference(By.ID, organization.id)
        if self._by is By.ID:
            return by_id, []
        if name.casefold() in self._common:
            return by_id, ["Named by its id: others have this name, too"]
        if problems_of_name(name):
            return by_id, ["Named by its id: its name cannot be used in a manifest"]
        return Reference(By.NAME, name), []


def instance_manifest(policy: ObservedPolicy, style: Style) -> Manifest:
    """Return the manifest for the instance's policy."""
    title = "The instance's policy, which organizations inherit"
    return policy_manifest(INSTANCE_NAME, None, policy.settings, style, title)


def _apart_from(set_name: str, policy: Manifest) -> Manifest:
    """Return a policy with a name that the set does not give to one of its own."""
    if not policy.name.startswith(f"{set_name}-"):
        return policy
    return replace(policy, name=f"own-{policy.name}")


def _limit_for(count: int) -> int:
    """Return a limit with room for new organizations; 0 if the default has enough."""
    room = count + count // 10
    if room <= Limits().organizations:
        return 0
    return min(-(-room // _ROUND) * _ROUND, _MOST_OF_A_SET)


def _quoted(organization: Organization) -> str:
    return f"{shown_name(organization.name)} ({organization.id})"
