"""What one pass over a policy works on, once that is known."""

from dataclasses import dataclass

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.engine.calls.connections import Connection
from zitadel_notification_operator.engine.policies.target_writer import TargetWriter


@dataclass(frozen=True, slots=True)
class Work:
    """What one pass works on.

    Attributes:
        connection: The connection to the instance's ZITADEL.
        writer: Reads and writes the target; its client refuses each call once the
            policy may not go on.
        target: The target.
        organization: The organization, or None for the instance's policy.
        asked: The reconcile-requested-at token that the pass began with. A token that
            arrives later belongs to the next pass, because this one may have observed
            before it.
        told: The last event about the policy that no pass has handled yet, or None.
    """

    connection: Connection
    writer: TargetWriter
    target: Target
    organization: Organization | None
    asked: str | None
    told: ZitadelEvent | None = None
