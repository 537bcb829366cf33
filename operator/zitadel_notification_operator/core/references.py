"""How a spec refers to an organization: by id, name, domain, or as the credential's."""

from enum import StrEnum
from typing import NamedTuple


class By(StrEnum):
    """The ways to refer to an organization: the fields of `spec.organization`."""

    ID = "id"
    NAME = "name"
    DOMAIN = "domain"
    CREDENTIAL = "ofCredential"


class Reference(NamedTuple):
    """One reference to an organization.

    Attributes:
        by: The field of the spec that is used.
        value: The value of that field; empty for the credential's own organization.
    """

    by: By
    value: str = ""

    def __str__(self) -> str:
        """Return how messages name the organization."""
        match self.by:
            case By.CREDENTIAL:
                return "the credential's own organization"
            case By.ID:
                return f"organization {self.value}"
            case By.NAME | By.DOMAIN:
                return f"organization with {self.by} {self.value!r}"

    @property
    def is_search(self) -> bool:
        """Whether ZITADEL must be searched for the organization."""
        return self.by in {By.NAME, By.DOMAIN}
