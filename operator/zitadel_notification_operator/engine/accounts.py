"""Events about writes to ZITADEL that wait until a GET shows the written value.

ZITADEL may accept a write and the GET that verifies it may fail. Then the Events are
kept here, and a later pass posts them.
"""

from dataclasses import dataclass

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.objects import Drift, PolicyObject
from zitadel_notification_operator.engine.ports import Notice


@dataclass(frozen=True, slots=True)
class Account:
    """The Events about one write, and the drift that it corrected.

    Attributes:
        uid: The uid of the object that asked for the write.
        generation: The generation of the spec that asked for it.
        notices: The Events.
        drift: The corrected drift; None if the spec or a person asked for the write.
    """

    uid: str
    generation: int
    notices: tuple[Notice, ...]
    drift: Drift | None = None


class Accounts:
    """The account of each policy's last write; a restart loses them."""

    def __init__(self) -> None:
        self._accounts: dict[PolicyKey, Account] = {}

    def __len__(self) -> int:
        """Return the number of policies whose Events still wait."""
        return len(self._accounts)

    def keep(self, key: PolicyKey, account: Account) -> None:
        """Keep the account of a policy's last write."""
        self._accounts[key] = account

    def take(self, policy: PolicyObject) -> Account | None:
        """Remove and return the account; None if there is none for this very spec."""
        account = self._accounts.pop(policy.key, None)
        if account is None:
            return None
        is_its_own = (account.uid, account.generation) == (
            policy.uid,
            policy.generation,
        )
        return account if is_its_own else None

    def forget(self, key: PolicyKey) -> None:
        """Drop what is known about a policy that is gone."""
        self._accounts.pop(key, None)
