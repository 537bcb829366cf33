"""What is in force for an organization, since when and by whom.

A GET says what is in force; the log says who made it so. Where the two differ, the GET
counts, and that is said (docs/concepts/two-sides.md).
"""

from dataclasses import dataclass

from zitadel_notification_operator.core.events import moment_of
from zitadel_notification_operator.core.policy import ObservedPolicy, Organization
from zitadel_notification_operator.core.settings import NO_SETTINGS, Settings

from .ledger import UNKNOWN_AUTHOR, Author, Ledger, Moment, Source


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in force for one organization, or in the instance.

    Attributes:
        organization: The organization; None for the instance.
        source: Where the values come from.
        settings: The values in force.
        since: Since when, as ZITADEL wrote it; empty if there is no policy.
        author: Who made it so.
        differs: Whether ZITADEL's event log says something else than a GET.
    """

    organization: Organization | None
    source: Source
    settings: Settings = NO_SETTINGS
    since: str = ""
    author: Author = UNKNOWN_AUTHOR
    differs: bool = False

    @property
    def is_off(self) -> bool:
        """Whether some mail is not sent. Without a policy, ZITADEL sends none."""
        return not all(self.settings.values)


def standing_of(
    organization: Organization | None, observed: ObservedPolicy | None, ledger: Ledger
) -> Standing:
    """Return what is in force, with what the log says of it.

    Args:
        organization: The organization; None for the instance.
        observed: What a GET returned.
        ledger: The log, read before that GET.
    """
    if observed is None:
        return Standing(organization, Source.NOWHERE)
    id_ = "" if organization is None else organization.id
    inherits = bool(id_) and observed.is_default
    origin = ledger.changed.get("" if inherits else id_)
    if origin is None or str(origin.sequence) != observed.sequence:
        origin = Moment(observed.change_date, 0, UNKNOWN_AUTHOR)
    if inherits:
        removal = None if id_ in ledger.own else ledger.changed.get(id_)
        began = (origin, removal, ledger.created.get(id_))
        origin = max((one for one in began if one is not None), key=_order)
    return Standing(
        organization,
        Source.INHERITED if inherits else Source.OWN,
        observed.settings,
        origin.time,
        origin.author,
        _differs(id_, observed, ledger, inherits=inherits),
    )


def _differs(
    id_: str, observed: ObservedPolicy, ledger: Ledger, *, inherits: bool
) -> bool:
    """Return whether the log contradicts a GET that was made after it was read."""
    last = ledger.changed.get(id_)
    if inherits:
        return id_ in ledger.own
    if last is None or int(observed.sequence or 0) > last.sequence:
        return False
    logged = ledger.own.get(id_) if id_ else ledger.instance
    return logged is None or logged.differs_from(observed.settings)


def _order(moment: Moment) -> float:
    found = moment_of(moment.time)
    return 0.0 if found is None else found.timestamp()
