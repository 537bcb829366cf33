"""The notification policies of the emulated instance, on both sides of ZITADEL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .control_path import ControlPath, part


@dataclass(frozen=True)
class Policy:
    """A notification policy, as ZITADEL's two sides have it.

    Attributes:
        shown: The values that GETs show and by which ZITADEL sends mails, by
            ZITADEL's names; None if not even the instance has a policy.
        inherited: Whether these are the instance's.
        written: The values in the event log, by which ZITADEL accepts or refuses
            writes; None if there is no policy of its own. They differ from those in
            force only if the read side has lost an event, or has stopped.
    """

    shown: Mapping[str, Any] | None
    inherited: bool
    written: Mapping[str, Any] | None

    @property
    def password_change(self) -> bool:
        """Whether users get a mail when their password has changed."""
        return bool(self.shown and self.shown["passwordChange"])


class Policies(ControlPath):
    """What tests do with policies.

    These are no calls of ZITADEL: faults do not apply to them, and `requests` does not
    contain them.
    """

    def policy(self, organization: str = "") -> Policy:
        """Return the policy of an organization, or of the instance.

        Args:
            organization: The id of the organization; empty means the instance.

        Raises:
            BadControl: There is no such organization.
        """
        found = self.control("GET", _path(organization))
        return Policy(found["shown"], found["inherited"], found["written"])

    def set_policy(
        self,
        organization: str = "",
        *,
        password_change: bool,
        **flags: bool | int | str,
    ) -> None:
        """Set the policy of an organization, or of the instance.

        Nothing is written if it has these values already.

        Args:
            organization: The id of the organization; empty means the instance.
            password_change: Whether users get a mail when their password has changed.
            flags: Values of the flags that `set_policy_flags` added.

        Raises:
            BadControl: There is no such organization or flag.
        """
        body = {"passwordChange": password_change, **flags}
        self.control("PUT", _path(organization), body)

    def remove_policy(self, organization: str) -> None:
        """Remove an organization's own policy, so that it inherits the instance's.

        Raises:
            BadControl: There is no such organization.
        """
        self.control("DELETE", f"organizations/{part(organization)}/policy")

    def remove_instance_policy(self) -> None:
        """Make it an instance that never had a policy, as those of older versions."""
        self.control("DELETE", "instance-policy")

    def set_policy_flags(self, **flags: Literal["bool", "string", "uint64"]) -> None:
        """Give policies more flags than `passwordChange`, as a newer ZITADEL might.

        Args:
            flags: The type of each flag by its name, such as `emailChange="bool"`.
                They replace those that were set before.

        Raises:
            BadControl: A name is not in lowerCamel case, or is taken.
        """
        self.control("PUT", "policy-flags", flags)


def _path(organization: str) -> str:
    return f"organizations/{part(organization)}/policy" if organization else _INSTANCE


_INSTANCE = "instance-policy"
