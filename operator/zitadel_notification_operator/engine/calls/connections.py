"""Which instances may be used now, with which client, and if not, since when not.

Passes over instances write here, and passes over policies read. A policy's pass never
decides by itself that an instance is down: it reports a suspicion and waits for the
instance's verdict. So an unreachable ZITADEL costs one call for each try, not one for
each policy.
"""

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.queue.keys import instance_key
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue

from .instance_state import Connection, InstanceState

AWAY = frozenset(
    {
        Reason.UNREACHABLE,
        Reason.CERTIFICATE_NOT_TRUSTED,
        Reason.SERVER_ERROR,
        Reason.RATE_LIMITED,
        Reason.UNEXPECTED_ANSWER,
    }
)
"""Reasons of an instance's failure that leave its quiet policies, which are Ready and
unchanged, as they are (ADR 0006)."""

UNUSABLE_ACCESS = frozenset(
    {
        Reason.CREDENTIALS_MISSING,
        Reason.CREDENTIALS_INVALID,
        Reason.CA_BUNDLE_MISSING,
        Reason.CA_BUNDLE_INVALID,
    }
)
"""Failures of the Secret or of the CA bundle, while the last good credential is still
in memory."""

HIDDEN_FROM_TENANTS = UNUSABLE_ACCESS | {
    Reason.CLASS_CONFLICT,
    Reason.SPEC_NOT_UNDERSTOOD,
}
"""Failures whose message names things that do not concern tenants. The operator sees
them in Kubernetes itself, so that they are certain at once."""


class NotCheckedYet(Exception):
    """There is no verdict on the instance yet, or none on its present failure."""


class Connections:
    """What is known of all instances, by name.

    Args:
        queue: Receives the instances that have to be probed.
    """

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self._states: dict[str, InstanceState] = {}

    def state(self, instance: str) -> InstanceState:
        """Return what is known of an instance; an empty record if it is new."""
        known = self._states.get(instance)
        if known is None:  # not by setdefault, which would make a new one each time
            known = self._states[instance] = InstanceState()
        return known

    def drop(self, instance: str) -> None:
        """Forget an instance that is gone."""
        self._states.pop(instance, None)

    def keep(self, instances: frozenset[str]) -> None:
        """Forget all instances but these: no object uses the other names."""
        self._states = {n: state for n, state in self._states.items() if n in instances}

    def recheck(self, instance: str) -> None:
        """Queue a probe of an instance, because a policy's call found a failure."""
        state = self.state(instance)
        if not state.suspected:
            state.suspected = True
            self._queue.add(instance_key(instance), Priority.CHANGE)

    def probe_as_requested(self, policy: PolicyObject) -> None:
        """Queue a pass over a failing instance if a policy's token asks for one."""
        asked = policy.requested_at
        if asked in {None, policy.status.last_handled_reconcile_at}:
            return
        if policy.suspended and not policy.deleting:
            return  # the token takes effect when the policy is resumed
        if self.state(policy.instance).failure is not None:
            self._queue.add(instance_key(policy.instance), Priority.CHANGE)

    def wait_for_verdict(self, instance: str, key: PolicyKey) -> None:
        """Record that a policy cannot continue before the instance has a verdict."""
        self.state(instance).waiting.add(key)

    def usable(self, instance: str) -> Connection:
        """Return the connection that a policy may use.

        Raises:
            NotCheckedYet: There is no verdict yet, or none on the present failure.
            TransientError: `InstanceNotReady`, with the instance's own reason.
            TerminalError: `CredentialsRejected`, which policies report as their own.
        """
        state = self.state(instance)
        if not state.checked or state.undecided:
            raise NotCheckedYet
        if state.failure is not None:
            raise as_seen_by_policies(state.failure)
        if state.proven is None:
            raise NotCheckedYet
        return state.proven

    def for_cleanup(self, instance: str) -> Connection:
        """Return the connection that a deletion may use.

        A credential that has vanished, or was replaced by a bad one, does not stop a
        deletion, because the last good one is still in memory
        (docs/concepts/deletion.md).

        Raises:
            NotCheckedYet: There is no verdict yet.
            OperatorError: As for `usable`.
        """
        state = self.state(instance)
        if state.proven is None or state.failure is None:
            return self.usable(instance)
        good, tried = state.probe.good, state.probe.tried
        another = good and tried and good.credential != tried.credential
        reason = state.failure.reason
        refused = reason is Reason.CREDENTIALS_REJECTED and another
        if reason in UNUSABLE_ACCESS or refused:
            return state.proven
        return self.usable(instance)


def as_seen_by_policies(failure: OperatorError) -> OperatorError:
    """Return the error that an instance's policies report for its failure."""
    if failure.reason is Reason.CREDENTIALS_REJECTED:
        return TerminalError(failure.reason, failure.message)
    if failure.reason in HIDDEN_FROM_TENANTS:
        return TransientError(
            Reason.INSTANCE_NOT_READY,
            f"The ZitadelInstance is not Ready: {failure.reason}; its own conditions "
            "tell a cluster administrator more",
        )
    return TransientError(
        Reason.INSTANCE_NOT_READY,
        f"The ZitadelInstance is not Ready: {failure.reason}: {failure.stable}",
        excerpt=failure.message.removeprefix(failure.stable),
    )
