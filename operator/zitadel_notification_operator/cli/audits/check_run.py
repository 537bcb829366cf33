"""What `znp check` asks of ZITADEL, and what it says of the answers."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from zitadel_notification_operator.auditing.reading import patiently
from zitadel_notification_operator.auditing.rights import Right, Verdict, check
from zitadel_notification_operator.auditing.rows import FORMAT_VERSION
from zitadel_notification_operator.cli.connecting.cluster_options import ClusterOptions
from zitadel_notification_operator.cli.connecting.zitadel_access import open_zitadel
from zitadel_notification_operator.cli.connecting.zitadel_options import ZitadelOptions
from zitadel_notification_operator.core.identity import User

MISSING = 2
"""The exit code if a right is missing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the credential can do.

    Attributes:
        url: ZITADEL's address.
        user: The credential's user.
        verdicts: One for each right that was asked for.
    """

    url: str
    user: User
    verdicts: tuple[Verdict, ...]

    @property
    def is_granted(self) -> bool:
        """Whether no right is missing."""
        return all(one.is_granted for one in self.verdicts)

    def as_text(self) -> str:
        """Return lines for people."""
        user = self.user
        lines = [f"User {user.name} ({user.id}) of {self.url}"]
        for verdict in self.verdicts:
            right = verdict.right
            if verdict.is_granted:
                lines.append(f"  ok       {right}: may {right.what}")
            else:
                lines.append(f"  MISSING  {right}: may not {right.what}")
                lines.append(f"           {right.advice}")
        missing = sum(not one.is_granted for one in self.verdicts)
        lines.append(f"{missing} of {len(self.verdicts)} missing.")
        return "\n".join(lines)

    def as_json(self) -> str:
        """Return the JSON that the schema describes."""
        body = {
            "formatVersion": FORMAT_VERSION,
            "url": self.url,
            "user": {"id": self.user.id, "name": self.user.name},
            "isGranted": self.is_granted,
            "rights": [_verdict(one) for one in self.verdicts],
        }
        return json.dumps(body, ensure_ascii=False, indent=2)


async def check_all(
    options: ZitadelOptions, cluster: ClusterOptions, rights: Iterable[Right]
) -> Outcome:
    """Find out whether a credential has these rights; nothing is written.

    Raises:
        OperatorError: It cannot be found out.
    """
    async with open_zitadel(options, cluster) as (client, access):
        user = await patiently(client.user)
        verdicts = [await check(client, right) for right in rights]
        return Outcome(access.endpoint.url, user, tuple(verdicts))


def _verdict(verdict: Verdict) -> dict[str, object]:
    right = verdict.right
    give = {"role": right.role, "in": right.where}
    return {
        "for": str(right.purpose),
        "organizationId": right.organization_id or None,
        "isGranted": verdict.is_granted,
        "what": right.what,
        "give": None if verdict.is_granted else give,
    }
