"""The complete list of condition reasons, each with its meaning.

Reasons are part of the API: people and tools match on their names, so none is removed
or renamed. Messages may change. `docs/operations/troubleshooting.md` has one section
for each reason, and a test compares its first paragraph with the meaning here.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition has its status (conventions of `metav1.Condition.reason`)."""

    SUCCEEDED = "Succeeded"
    """The pass was completed: ZITADEL holds what was declared, or was observed."""

    SUSPENDED = "Suspended"
    """`spec.suspend` is true. ZITADEL is not called until it is false."""

    DELETED = "Deleted"
    """The deletion has done its work in ZITADEL. Another finalizer keeps the object."""

    IN_SYNC = "InSync"
    """ZITADEL holds what the spec asks for."""

    DRIFTED = "Drifted"
    """ZITADEL holds something else, and `managementPolicy: Observe` forbids writing."""

    CONTESTED = "Contested"
    """Somebody keeps reverting the policy, so it is corrected less and less often."""

    NOT_OBSERVED = "NotObserved"
    """It is unknown what ZITADEL holds at present."""

    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    """An error that may pass has lasted ten minutes. Ready names the cause."""

    INSTANCE_NOT_FOUND = "InstanceNotFound"
    """There is no such ZitadelInstance, or none that grants this namespace access.

    The message is the same for both.
    """

    INSTANCE_NOT_READY = "InstanceNotReady"
    """The ZitadelInstance is not Ready. The message contains its reason."""

    NOT_GRANTED = "NotGranted"
    """The ZitadelInstance does not grant this namespace the scope or organization.

    An organization that does not exist has the same message.
    """

    CONFLICT = "Conflict"
    """Another NotificationPolicy owns the same target."""

    OVERRIDDEN = "Overridden"
    """A NotificationPolicy that no set made overrules this one of a set."""

    POLICIES_NOT_READY = "PoliciesNotReady"
    """Some policies of a NotificationPolicySet are not Ready."""

    NOTHING_MATCHES = "NothingMatches"
    """A NotificationPolicySet selects no organization."""

    DIRECTORY_NOT_READABLE = "DirectoryNotReadable"
    """ZITADEL does not show which organizations there are."""

    CREATE_REFUSED = "CreateRefused"
    """Kubernetes refused to create or change a policy of a NotificationPolicySet."""

    NAME_TAKEN = "NameTaken"
    """An object that no set made has the name that a policy of a set would have."""

    TOO_MANY_ORGANIZATIONS = "TooManyOrganizations"
    """More organizations match than `spec.limits.organizations`. No policy is added."""

    APPROVAL_REQUIRED = "ApprovalRequired"
    """More policies would be removed than `spec.limits.removals`. None is removed."""

    ORGANIZATION_NOT_FOUND = "OrganizationNotFound"
    """ZITADEL does not know the organization, or it was removed."""

    CREDENTIALS_MISSING = "CredentialsMissing"
    """The Secret or its key does not exist."""

    CREDENTIALS_INVALID = "CredentialsInvalid"
    """The Secret holds nothing that can be the credential, or an expired one."""

    CREDENTIALS_REJECTED = "CredentialsRejected"
    """ZITADEL refused the credential: unknown, expired, revoked or deactivated."""

    INSUFFICIENT_PERMISSIONS = "InsufficientPermissions"
    """The credential lacks a role for what the spec asks for."""

    CA_BUNDLE_MISSING = "CABundleMissing"
    """The ConfigMap or Secret of `spec.caBundle`, or its key, does not exist."""

    CA_BUNDLE_INVALID = "CABundleInvalid"
    """The value that `spec.caBundle` names contains no readable certificate."""

    CERTIFICATE_NOT_TRUSTED = "CertificateNotTrusted"
    """The certificate is not valid now, is for another name, or has unknown roots."""

    ADDRESS_NOT_ALLOWED = "AddressNotAllowed"
    """`spec.url` leads to a loopback, link-local or metadata address."""

    HOST_NOT_RECOGNIZED = "HostNotRecognized"
    """A ZITADEL answers at the url, but serves no instance for this host."""

    INSTANCE_CHANGED = "InstanceChanged"
    """The url leads to another ZITADEL than before. Nothing is changed there."""

    CLASS_CONFLICT = "ClassConflict"
    """An older ZitadelInstance of another operator reaches the same ZITADEL."""

    UNREACHABLE = "Unreachable"
    """There is no connection, or no answer in time."""

    RATE_LIMITED = "RateLimited"
    """ZITADEL, or a proxy before it, asks for fewer calls."""

    SERVER_ERROR = "ServerError"
    """ZITADEL, or a proxy before it, answered that it cannot serve now."""

    UNEXPECTED_ANSWER = "UnexpectedAnswer"
    """The answer did not come from ZITADEL's API. It is never used as a value."""

    REQUEST_REFUSED = "RequestRefused"
    """ZITADEL understood the call and refused it, for example by an action."""

    API_UNSUPPORTED = "ApiUnsupported"
    """ZITADEL answers, but does not have the calls for notification policies.

    This never counts as "no policy", and never completes a deletion.
    """

    ZITADEL_INCONSISTENT = "ZitadelInconsistent"
    """ZITADEL's reads contradict its event log, and this could not be repaired, or not
    yet. See `docs/concepts/two-sides.md`.
    """

    SPEC_NOT_UNDERSTOOD = "SpecNotUnderstood"
    """This version of the operator cannot understand the object. Nothing is changed."""

    CLUSTER_UNAVAILABLE = "ClusterUnavailable"
    """Kubernetes did not accept a call.

    Logs report this, and a deletion may wait for it.
    """
