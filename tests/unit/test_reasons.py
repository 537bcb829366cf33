"""Whose failure each reason is: nobody may add one without saying so."""

from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.policies import policy_report

OF_THE_POLICY = {
    Reason.CONFLICT,
    Reason.INSTANCE_NOT_FOUND,
    Reason.NOT_GRANTED,
    Reason.ORGANIZATION_NOT_FOUND,
}
"""Failures of one policy: an outage of its instance neither causes nor explains them,
so they are reported during one, too."""

OF_ITS_INSTANCE = {
    Reason.ADDRESS_NOT_ALLOWED,
    Reason.API_UNSUPPORTED,
    Reason.CA_BUNDLE_INVALID,
    Reason.CA_BUNDLE_MISSING,
    Reason.CERTIFICATE_NOT_TRUSTED,
    Reason.CLASS_CONFLICT,
    Reason.CREDENTIALS_INVALID,
    Reason.CREDENTIALS_MISSING,
    Reason.CREDENTIALS_REJECTED,
    Reason.HOST_NOT_RECOGNIZED,
    Reason.INSTANCE_CHANGED,
    Reason.INSTANCE_NOT_READY,
    Reason.INSUFFICIENT_PERMISSIONS,
    Reason.RATE_LIMITED,
    Reason.REQUEST_REFUSED,
    Reason.SERVER_ERROR,
    Reason.SPEC_NOT_UNDERSTOOD,
    Reason.UNEXPECTED_ANSWER,
    Reason.UNREACHABLE,
    Reason.ZITADEL_INCONSISTENT,
}
"""Failures that may be those of the instance, so that its verdict comes first."""

OF_A_SET = {
    Reason.APPROVAL_REQUIRED,
    Reason.CREATE_REFUSED,
    Reason.DIRECTORY_NOT_READABLE,
    Reason.NAME_TAKEN,
    Reason.NOTHING_MATCHES,
    Reason.POLICIES_NOT_READY,
    Reason.TOO_MANY_ORGANIZATIONS,
}

NO_FAILURES = {
    Reason.CLUSTER_UNAVAILABLE,
    Reason.CONTESTED,
    Reason.DELETED,
    Reason.DRIFTED,
    Reason.IN_SYNC,
    Reason.NOT_OBSERVED,
    Reason.OVERRIDDEN,
    Reason.PROGRESS_DEADLINE_EXCEEDED,
    Reason.SUCCEEDED,
    Reason.SUSPENDED,
}
"""Reasons that stop no pass over a policy, or whose failure is never reported."""


def test_each_reason_has_its_place() -> None:
    """A new one belongs into exactly one of these, after some thought."""
    places = [OF_THE_POLICY, OF_ITS_INSTANCE, OF_A_SET, NO_FAILURES]
    assert sorted(reason for place in places for reason in place) == sorted(Reason)


def test_the_report_knows_the_failures_of_a_policy() -> None:
    """Otherwise an outage of the instance would keep them from being reported."""
    assert policy_report.OF_THE_POLICY == OF_THE_POLICY
