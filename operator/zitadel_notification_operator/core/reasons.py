"""The one list of condition reasons. Reasons are API: none is removed or renamed.

Each has its meaning beside it. People and tools match on the names, messages may
change. `docs/operations/troubleshooting.md` has one heading a reason; a test compares.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition is as it is (conventions of `metav1.Condition.reason`)."""

    SUCCEEDED = "Succeeded"
    """The pass reached its end: ZITADEL holds, or was observed, as declared."""

    SUSPENDED = "Suspended"
    """`spec.suspend` is true; ZITADEL is not called until it is false."""

    DELETED = "Deleted"
    """All that the deletion owes is done; another finalizer keeps the object."""

    IN_SYNC = "InSync"
    """ZITADEL holds what the spec asks for."""

    DRIFTED = "Drifted"
    """ZITADEL holds something else, and `managementPolicy: Observe` forbids to act."""

    CONTESTED = "Contested"
    """Somebody keeps changing it back; it is put right at a growing distance."""

    NOT_OBSERVED = "NotObserved"
    """What ZITADEL holds at this time is not known."""

    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    """A passing trouble has lasted ten minutes; Ready keeps the cause."""

    INSTANCE_NOT_FOUND = "InstanceNotFound"
    """No such ZitadelInstance, or none that grants this namespace: same words."""

    INSTANCE_NOT_READY = "InstanceNotReady"
    """The ZitadelInstance is not Ready; the message carries its reason."""

    NOT_GRANTED = "NotGranted"
    """The ZitadelInstance does not grant this namespace the scope it asks for, or no
    such organization; one that does not exist reads the same."""

    CONFLICT = "Conflict"
    """An older NotificationPolicy owns the same target."""

    ORGANIZATION_NOT_FOUND = "OrganizationNotFound"
    """ZITADEL does not know the organization, or it has been removed."""

    CREDENTIALS_MISSING = "CredentialsMissing"
    """The Secret or its key is not there."""

    CREDENTIALS_INVALID = "CredentialsInvalid"
    """The Secret holds nothing that can be the credential, or one that has ended."""

    CREDENTIALS_REJECTED = "CredentialsRejected"
    """ZITADEL refused the credential: unknown, expired, revoked or deactivated."""

    INSUFFICIENT_PERMISSIONS = "InsufficientPermissions"
    """The credential lacks a role for what the spec asks."""

    CA_BUNDLE_MISSING = "CABundleMissing"
    """The ConfigMap or Secret of `spec.caBundle`, or its key, is not there."""

    CA_BUNDLE_INVALID = "CABundleInvalid"
    """What `spec.caBundle` names holds no certificate that can be read."""

    CERTIFICATE_NOT_TRUSTED = "CertificateNotTrusted"
    """ZITADEL's certificate has ended, is for another name, or of unknown roots."""

    ADDRESS_NOT_ALLOWED = "AddressNotAllowed"
    """`spec.url` leads to a loopback, link-local or metadata address."""

    HOST_NOT_RECOGNIZED = "HostNotRecognized"
    """A ZITADEL answers at the url but serves no instance for this host."""

    INSTANCE_CHANGED = "InstanceChanged"
    """The url leads to another ZITADEL than before; nothing is touched."""

    UNREACHABLE = "Unreachable"
    """No connection, or no answer in time."""

    RATE_LIMITED = "RateLimited"
    """ZITADEL, or a proxy before it, asks for fewer calls."""

    SERVER_ERROR = "ServerError"
    """ZITADEL, or a proxy before it, answered that it cannot serve now."""

    UNEXPECTED_ANSWER = "UnexpectedAnswer"
    """The answer was not one of ZITADEL's; it is never taken for a value."""

    REQUEST_REFUSED = "RequestRefused"
    """ZITADEL understood the call and refused it, for example by an action."""

    CLUSTER_UNAVAILABLE = "ClusterUnavailable"
    """Kubernetes did not take a call (in logs only: no status can tell it)."""
