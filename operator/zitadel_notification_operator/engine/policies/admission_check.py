"""Whether a pass over a policy may begin, and whether it may still go on.

The spec, a grant or the owner of the target may change while a pass waits. Then what
the pass was about to do is no longer wanted, and it begins anew. So the target's client
calls `require_claim` right before each call to ZITADEL (`Targets.writer`).
"""

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.report import is_ready_and_current
from zitadel_notification_operator.engine.calls.connections import (
    Connections,
    NotCheckedYet,
)
from zitadel_notification_operator.engine.calls.instance_state import Connection
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.queue.outcome import StalePass


class AdmissionCheck:
    """Admits policies to their instances.

    Args:
        inventory: Holds the newest records, and knows what instances grant.
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

    def require(self, policy: PolicyObject) -> None:
        """Check that a policy is granted what it sets.

        Raises:
            NotCheckedYet: That is not known yet.
            OperatorError: Why it is not.
        """
        match self._inventory.admission(policy):
            case Admission.GRANTED:
                self.require_lookup(policy)
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
                # If the instance fails, this reports it; else its next verdict
                # decides.
                self._connections.usable(policy.instance)
                self.require_lookup(policy)
                raise NotCheckedYet
        instance = self._inventory.instances[policy.instance]
        if instance.deleting and policy.original is None:
            raise TransientError(
                Reason.INSTANCE_NOT_READY,
                f"ZitadelInstance {policy.instance!r} is being deleted",
            )

    def require_decision(self, policy: PolicyObject) -> None:
        """Check that it is known whether a policy is granted what it would undo.

        Raises:
            NotCheckedYet: It is not; the instance's next verdict decides.
            OperatorError: The instance cannot be used now; the deletion waits.
        """
        if not (policy.undoes and policy.has_record):
            return  # it changes nothing, whatever the decision is
        if self._inventory.admission(policy) is Admission.UNDECIDED:
            self._connections.for_cleanup(policy.instance)
            self.require_lookup(policy)
            raise NotCheckedYet

    def require_lookup(self, policy: PolicyObject) -> None:
        """Check that a policy's grant does not depend on a name that failed to resolve.

        Raises:
            NotCheckedYet: It does, the policy is quiet, and the failure may be a single
                one.
            TransientError: `InstanceNotReady`, with the name and the error.
        """
        unread = self._connections.state(policy.instance).probe.unread
        if not unread or policy.scope is Scope.INSTANCE:
            return
        inventory = self._inventory
        granted = inventory.granted(policy) or frozenset()
        known = inventory.organization_of(policy)
        if known is not None:
            if Reference(By.ID, known) in granted:
                return
            sure = granted - unread.keys()
            if any(inventory.meant(policy.instance, name) == known for name in sure):
                return
        failing = sorted(granted & unread.keys(), key=str)
        if not failing:
            return
        first = unread[failing[0]]
        if is_ready_and_current(policy) and not first.streak.is_verdict:
            raise NotCheckedYet
        failure = first.failure
        raise TransientError(
            Reason.INSTANCE_NOT_READY,
            f"ZitadelInstance {policy.instance!r} grants this namespace {failing[0]}, "
            f"which cannot be looked up now: {failure.reason}: {failure.stable}",
            excerpt=failure.message.removeprefix(failure.stable),
        )

    def as_tenants_see_it(
        self, policy: PolicyObject, failure: OperatorError
    ) -> OperatorError:
        """Return the error to report to the policy's author.

        For a namespace that may set certain organizations only, one that does not exist
        and one that is not granted read the same, so that nobody can probe for names.
        """
        unknown = failure.reason is Reason.ORGANIZATION_NOT_FOUND
        restricted = policy.scope is Scope.ORGANIZATION and (
            self._inventory.granted(policy) is not None
        )
        return _not_granted(policy) if unknown and restricted else failure

    def newest(self, policy: PolicyObject) -> PolicyObject:
        """Return the newest record, if a pass may go on with it.

        Raises:
            StalePass: The spec has changed, the policy is deleted by now, or its grant
                is gone.
        """
        newest = self._inventory.require_newest(policy)
        changed = newest.generation != policy.generation
        if changed or newest.deleting is not policy.deleting:
            raise StalePass
        if newest.not_understood is not None and not newest.deleting:
            raise StalePass
        if self._inventory.admission(newest) is not Admission.GRANTED:
            raise StalePass
        return newest

    def require_claim(self, policy: PolicyObject, target: Target) -> PolicyObject:
        """Return the newest record, if a pass may make a call for it now.

        A deletion may undo settings only while nobody else owns the target. A pass that
        only observes needs to own nothing.

        Raises:
            StalePass: The object has changed, its grant is gone, another policy owns
                the target by now, or there is a new failure of the instance without a
                verdict.
        """
        newest = self.newest(policy)
        if self._connections.state(newest.instance).undecided:
            raise StalePass
        owner = None if newest.deleting else newest.key
        writes = (policy.manages and newest.manages) or newest.deleting
        if writes and self._inventory.owner(target) != owner:
            raise StalePass
        return newest


def _not_granted(policy: PolicyObject) -> TerminalError:
    return TerminalError(
        Reason.NOT_GRANTED,
        f"ZitadelInstance {policy.instance!r} does not grant this namespace "
        f"{policy.organization}, or there is none; ask a cluster administrator to "
        "name it in the organizations of spec.grants",
    )
