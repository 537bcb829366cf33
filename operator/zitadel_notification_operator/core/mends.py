"""What mends each condition reason: who has to act, and how, in a sentence for people.

`docs/operations/troubleshooting.md` begins the paragraph "Who" of each reason with the
same sentence, and tells more; a test compares the two.
"""

from collections.abc import Mapping

from .reasons import Reason

MENDS: Mapping[Reason, str] = {
    Reason.SUCCEEDED: "Nobody has to act.",
    Reason.SUSPENDED: (
        "Whoever suspended it resumes it: znp resume, or spec.suspend: false."
    ),
    Reason.DELETED: (
        "Whoever set the other finalizer removes it; the message says what was "
        "done in ZITADEL."
    ),
    Reason.IN_SYNC: "Nobody has to act.",
    Reason.DRIFTED: (
        "The policy's owner sets managementPolicy: Manage, or changes ZITADEL or "
        "the spec; the message says what would be done."
    ),
    Reason.CONTESTED: "Whoever runs the other writer stops it.",
    Reason.NOT_OBSERVED: "See the reason of Ready, or of the ZitadelInstance.",
    Reason.PROGRESS_DEADLINE_EXCEEDED: "See the reason of Ready.",
    Reason.INSTANCE_NOT_FOUND: (
        "A cluster administrator creates the ZitadelInstance, or adds the "
        "namespace to its spec.grants."
    ),
    Reason.INSTANCE_NOT_READY: (
        "Whoever can fix the reason of the instance does so; the policy itself "
        "needs no change."
    ),
    Reason.NOT_GRANTED: (
        "A cluster administrator adds the scope, or the organization, to spec.grants."
    ),
    Reason.CONFLICT: (
        "The owners of the two objects agree on which one stays, and delete the "
        "other, or set its managementPolicy to Observe."
    ),
    Reason.OVERRIDDEN: "Nobody has to act, if the exception is meant.",
    Reason.POLICIES_NOT_READY: (
        "Whoever the reason of the failing policy names; status.failures has the "
        "first ones."
    ),
    Reason.NOTHING_MATCHES: (
        "The author of the set corrects spec.organizations, if it should match "
        "something."
    ),
    Reason.DIRECTORY_NOT_READABLE: (
        "Whoever manages the credential lets it read organizations, if the "
        "message speaks of a permission."
    ),
    Reason.CREATE_REFUSED: (
        "Whoever manages the namespace removes the obstacle that the message names."
    ),
    Reason.NAME_TAKEN: (
        "The owners of the set and of that object delete one of them, or give it "
        "another name."
    ),
    Reason.TOO_MANY_ORGANIZATIONS: (
        "The author of the set raises spec.limits.organizations, or selects fewer."
    ),
    Reason.APPROVAL_REQUIRED: (
        "The author of the set looks at the selection, and corrects it, or "
        "approves the removals: the annotation "
        "zitadel-notification.dev/approve-removal takes the digest in "
        "status.removal."
    ),
    Reason.ORGANIZATION_NOT_FOUND: (
        "The policy's owner checks id, name or domain, whether the domain is "
        "verified, and whether the credential may see the organization."
    ),
    Reason.CREDENTIALS_MISSING: (
        "A cluster administrator creates the Secret, or its key, in the "
        "operator's own namespace, or gives the operator's role get on it. The "
        "message says which of the two is missing."
    ),
    Reason.CREDENTIALS_INVALID: (
        "A cluster administrator stores a valid credential in the Secret."
    ),
    Reason.CREDENTIALS_REJECTED: (
        "A ZITADEL administrator creates a new credential for an active service user."
    ),
    Reason.INSUFFICIENT_PERMISSIONS: (
        "A ZITADEL administrator gives the service user the role that the message"
        " names."
    ),
    Reason.CA_BUNDLE_MISSING: (
        "A cluster administrator creates it, or its key, in the operator's own "
        "namespace."
    ),
    Reason.CA_BUNDLE_INVALID: (
        "A cluster administrator stores the CA's certificates in PEM format, each"
        " from BEGIN CERTIFICATE to END CERTIFICATE."
    ),
    Reason.CERTIFICATE_NOT_TRUSTED: (
        "A cluster administrator acts on what the message says: puts the "
        "certificate of a private CA into spec.caBundle, or ZITADEL's own name "
        "into spec.externalDomain, if spec.url uses another one, or renews the "
        "certificate."
    ),
    Reason.ADDRESS_NOT_ALLOWED: (
        "A cluster administrator corrects spec.url or the DNS records of the name."
    ),
    Reason.HOST_NOT_RECOGNIZED: (
        "A cluster administrator sets spec.externalDomain to the domain that "
        "ZITADEL is configured with."
    ),
    Reason.INSTANCE_CHANGED: (
        "A cluster administrator accepts the new ZITADEL if the change is "
        "intended, and corrects spec.url otherwise."
    ),
    Reason.CLASS_CONFLICT: (
        "A cluster administrator gives both ZitadelInstances the same spec.class, or "
        "deletes one of them; the message names the older one."
    ),
    Reason.UNREACHABLE: (
        "Whoever runs the network, DNS or ZITADEL restores the connection; the "
        "message names the host and the kind of failure."
    ),
    Reason.RATE_LIMITED: (
        "Nobody has to act. If it happens often, lower spec.rateLimit."
    ),
    Reason.SERVER_ERROR: "Whoever runs ZITADEL looks at its health and its log.",
    Reason.UNEXPECTED_ANSWER: (
        "A cluster administrator checks spec.url: a proxy or another server "
        "answers there. The message quotes some of its words."
    ),
    Reason.REQUEST_REFUSED: (
        "A ZITADEL administrator looks at ZITADEL's actions and logs; the message"
        " quotes ZITADEL's response."
    ),
    Reason.API_UNSUPPORTED: (
        "A ZITADEL administrator compares ZITADEL's version with those that were "
        "tried; whoever runs a proxy in front of ZITADEL lets the path in the "
        "message through."
    ),
    Reason.ZITADEL_INCONSISTENT: (
        "Nobody, while Reconciling is True. Otherwise a ZITADEL administrator "
        "restarts ZITADEL and, if that does not help, rebuilds the read side as a"
        " whole."
    ),
    Reason.SPEC_NOT_UNDERSTOOD: (
        "The object's owner edits the field, or whoever installs the operator "
        "upgrades it to the version of the CRDs."
    ),
    Reason.CLUSTER_UNAVAILABLE: (
        "Whoever runs the API server restores it, or somebody gives the "
        "operator's role the verb that the log names."
    ),
}
"""A sentence for each reason, in the order of the reasons."""

UNKNOWN = (
    "This version of the command does not know the reason: look it up in "
    "docs/operations/troubleshooting.md of the operator's version."
)
"""What is said of a reason that a newer operator has."""

UNSEEN = (
    "No operator has seen the object: look at its pods and their logs, and whether it "
    "watches this namespace (docs/operations/troubleshooting.md, before there is a "
    "condition)."
)
"""What is said of an object without conditions."""


def mend_of(reason: str) -> str:
    """Return what mends a reason, which may be that of a newer operator."""
    try:
        return MENDS[Reason(reason)]
    except ValueError:
        return UNKNOWN
