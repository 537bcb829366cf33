"""The organizations of the emulated instance, their states and their domains."""

from typing import Literal

from .control_path import ControlPath, part

State = Literal["deactivated", "reactivated", "removed"]


class Organizations(ControlPath):
    """What tests do with organizations."""

    @property
    def organizations(self) -> dict[str, str]:
        """The ids of all organizations that are not removed, by name.

        At the start these are `ZITADEL`, to which the token's user belongs, `ACME` and
        `Globex`.
        """
        found = self.control("GET", "organizations")
        return {each["name"]: each["id"] for each in found}

    def add_organization(self, name: str, organization: str = "") -> str:
        """Create an organization and return its id.

        Args:
            name: Its name, which no other organization may have.
            organization: Its id; made up if empty.

        Raises:
            BadControl: The name or the id is taken, or the name is empty.
        """
        body = {"name": name, "id": organization}
        made: str = self.control("POST", "organizations", body)["id"]
        return made

    def rename_organization(self, organization: str, name: str) -> None:
        """Give an organization another name, and the domain that belongs to it.

        Raises:
            BadControl: There is no such organization, or the name is taken or the same.
        """
        self.control("PUT", f"organizations/{part(organization)}", {"name": name})

    def change_organization(self, organization: str, state: State) -> None:
        """Deactivate, reactivate or remove an organization.

        Raises:
            BadControl: There is no such organization, it already has this state, or it
                is the one that cannot be removed: the token's own.
        """
        self.control("PUT", f"organizations/{part(organization)}", {"state": state})

    def add_domain(
        self,
        organization: str,
        domain: str,
        *,
        verified: bool = True,
        primary: bool = False,
    ) -> None:
        """Give an organization one more domain.

        Args:
            organization: The id of the organization.
            domain: The domain, such as `acme.example`.
            verified: Whether its owner has been verified; searches find no other.
            primary: Whether it becomes the organization's primary domain.

        Raises:
            BadControl: There is no such organization, or the domain is taken.
        """
        body = {"domain": domain, "verified": verified, "primary": primary}
        self.control("POST", f"organizations/{part(organization)}/domains", body)

    def remove_domain(self, organization: str, domain: str) -> None:
        """Take a domain from an organization.

        Raises:
            BadControl: The organization has no such domain, or it is the primary one.
        """
        path = f"organizations/{part(organization)}/domains/{part(domain)}"
        self.control("DELETE", path)

    def add_host(self, host: str) -> None:
        """Let the instance answer to one more host, whatever the port.

        A request with a Host header that it does not know gets 404, as from ZITADEL.
        """
        self.control("POST", "domains", {"domain": host})
