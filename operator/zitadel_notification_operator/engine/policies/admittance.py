"""Whether a policy may use its instance now, and by which connection."""

from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.connections import (
    Connection,
    Connections,
    NotCheckedYet,
)
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.instances.grant_lookup import require_lookup


class Admittance:
    """Admits policies to their instances.

    Args:
        inventory: Knows what instances grant.
        connections: Know which instances may be used.
    """

    def __init__(self, inventory: Inventory, connections: Connections) -> None:
        self._inventory = inventory
        self._connections = connections

    def admit(self, policy: PolicyObject) -> Connection:
        """Return the connection that a policy may use.

        Raises:
            NotCheckedYet: There is no verdict on the instance yet.
            OperatorError: Why the policy may not use its instance now.
        """
        self.require(policy)
        return self._connections.usable(policy.instance)

    def lacks_organization(self, policy: PolicyObject) -> bool:
        """Return whether the grant refuses the organization that a policy sets."""
        return self._inventory.admission(policy) is Admission.ORGANIZATION_MISSING

    def require(self, policy: PolicyObject) -> None:
        """Check that a policy is granted what it sets.

        Raises:
            NotCheckedYet: That is not known yet.
            OperatorError: Why it is not.
        """
        match self._inventory.admission(policy):
            case Admission.GRANTED:
                self._require_lookup(policy)
            case Admission.NAMESPACE_UNKNOWN:
                raise TransientError(
                    Reason.INSTANCE_NOT_FOUND,
                    f"There is no ZitadelInstance {policy.instance!r} that this "
                    "namespace may use; ask a cluster administrator to create it or "
                    "to grant it in spec.grants",
                )
            case Admission.SCOPE_MISSING:
                raise TerminalError(
                    Reason.NOT_GRANTED,
                    f"ZitadelInstance {policy.instance!r} does not grant scope "
                    f"{policy.scope} to this namespace; ask a cluster administrator "
                    "to name the scope in spec.grants",
                )
            case Admission.ORGANIZATION_MISSING:
                raise _not_granted(policy)
            case Admission.UNDECIDED:
                # If the instance has trouble, this reports it; else its next verdict
                # decides.
                self._connections.usable(policy.instance)
                self._require_lookup(policy)
                raise NotCheckedYet
        instance = self._inventory.instances[policy.instance]
        if instance.deleting and policy.original is None:
            raise TransientError(
                Reason.INSTANCE_NOT_READY,
                f"ZitadelInstance {policy.instance!r} is being deleted",
            )

    def as_told_to_tenant(
        self, policy: PolicyObject, trouble: OperatorError
    ) -> OperatorError:
        """Return the error to report to the policy's author.

        For a namespace that may set certain organizations only, one that does not exist
        and one that is not granted read the same, so that nobody can probe for names.
        """
        unknown = trouble.reason is Reason.ORGANIZATION_NOT_FOUND
        if unknown and self._inventory.is_restricted(policy):
            return _not_granted(policy)
        return trouble

    def _require_lookup(self, policy: PolicyObject) -> None:
        line = self._connections.line(policy.instance)
        require_lookup(self._inventory, line, policy)


def _not_granted(policy: PolicyObject) -> TerminalError:
    return TerminalError(
        Reason.NOT_GRANTED,
        f"ZitadelInstance {policy.instance!r} does not grant this namespace "
        f"{policy.organization}, or there is none; ask a cluster administrator to "
        "name it in the organizations of spec.grants",
    )
