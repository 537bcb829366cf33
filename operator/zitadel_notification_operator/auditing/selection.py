"""Which changes are about one organization, also those that it inherited."""

from .ledger import Change, Ledger


class Selection:
    """Picks the changes that are about an organization.

    A change of the instance's policy is about an organization that inherits it.

    Attributes:
        found: Whether any organization was meant so far.

    Args:
        wanted: The id or the name of an organization; empty for all organizations.
        present: The ids and names of those that exist.
        log_is_complete: Whether the log shows the creation of each organization.
    """

    def __init__(
        self, wanted: str, present: dict[str, str], *, log_is_complete: bool
    ) -> None:
        self._wanted = wanted
        self._present = {id_ for id_, name in present.items() if self._is(id_, name)}
        self._log_is_complete = log_is_complete
        self.found = not wanted or bool(self._present)

    def takes(self, change: Change, ledger: Ledger) -> bool:
        """Return whether a change is about the organization that is meant.

        Args:
            change: The change.
            ledger: What the log has told up to this change.
        """
        if not self._wanted:
            return True
        organization = change.organization_id
        if organization is None:
            return any(self._inherits(one, ledger) for one in self._present)
        meant = organization in self._present or any(
            self._is(organization, name) for name in ledger.names(organization)
        )
        self.found = self.found or meant
        return meant

    def _inherits(self, organization: str, ledger: Ledger) -> bool:
        if organization in ledger.own:
            return False
        return organization in ledger.created or not self._log_is_complete

    def _is(self, organization: str, name: str) -> bool:
        return organization == self._wanted or name.lower() == self._wanted.lower()
