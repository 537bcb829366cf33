"""How a spec names an organization: by id, name, domain, or as the credential's own."""

from enum import StrEnum
from typing import NamedTuple


class By(StrEnum):
    """What an organization is named by: the fields of `spec.organization`."""

    ID = "id"
    NAME = "name"
    DOMAIN = "domain"
    CREDENTIAL = "ofCredential"


class Reference(NamedTuple):
    """One way to name an organization.

    Attributes:
        by: Which field of the spec it is.
        value: What the field holds; empty for the credential's own organization.
    """

    by: By
    value: str = ""

    def __str__(self) -> str:
        """Return what messages call it."""
        match self.by:
            case By.CREDENTIAL:
                return "the credential's own organization"
            case By.ID:
                return f"organization {self.value}"
            case By.NAME | By.DOMAIN:
                return f"organization with {self.by} {self.value!r}"

    @property
    def is_search(self) -> bool:
        """Whether ZITADEL has to be searched for it."""
        return self.by in {By.NAME, By.DOMAIN}
