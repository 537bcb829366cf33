"""Contests by policy: corrections that wait because others keep undoing them."""


from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.contest import Contest
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.report import is_quiet
from zitadel_notification_operator.engine.queue.clock import loop_time


class Contests:
    """The contests of all policies, in memory only: a restart begins without any."""

    def __init__(self) -> None:
        self._contests: dict[PolicyKey, Contest] = {}

    def wait(self, policy: PolicyObject) -> float:
        """Return the seconds that a correction has to wait; 0 if it may be made now.

        Only a write that undoes a change behind a quiet policy is a correction. A new
        spec, or a person's request, is acted on at once.
        """
        contest = self._of(policy)
        return contest.wait(loop_time()) if contest and is_quiet(policy) else 0.0

    def corrected(self, policy: PolicyObject) -> bool:
        """Count a correction; return whether it makes the policy contested."""
        before = self._of(policy) or Contest(policy.generation)
        after = before.corrected(loop_time())
        self._contests[policy.key] = after
        return after.is_contested and not before.is_contested

    def left(self, policy: PolicyObject) -> float:
        """Return the seconds until a contest ends or its next correction is due.

        Returns:
            0 if the policy is not contested.
        """
        contest = self._of(policy)
        if contest is None or not contest.is_contested:
            return 0.0
        return contest.wait(loop_time()) or contest.left(loop_time())

    def forget(self, key: PolicyKey) -> None:
        """Drop what is known about a policy that is gone."""
        self._contests.pop(key, None)

    def _of(self, policy: PolicyObject) -> Contest | None:
        contest = self._contests.get(policy.key)
        if contest is None:
            return None
        if contest.generation != policy.generation or not contest.left(loop_time()):
            del self._contests[policy.key]
            return None
        return contest
