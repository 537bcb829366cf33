"""A ZitadelInstance, reduced to what the operator needs."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from .credentials import CaRef, CredentialRef
from .grants import Grant
from .identity import Capabilities, User
from .kinds import INSTANCE, Kind
from .objects import OwnObject, OwnStatus
from .serving import Assignment, ServedBy


class DriftMethod(StrEnum):
    """How changes in ZITADEL are detected (`spec.driftDetection.method`)."""

    AUTO = "Auto"
    EVENTS = "Events"
    POLL = "Poll"
    DISABLED = "Disabled"


NOT_PERMITTED = "EventsNotPermitted"
"""The reason's word if the credential may not read events at all."""


@dataclass(frozen=True, slots=True)
class DriftDetection:
    """`status.driftDetection`: how drift is detected now (docs/concepts/drift.md).

    Attributes:
        method: Events, Poll or Disabled; never Auto.
        reason: Why this differs from what the spec asks for: a CamelCase word, a colon,
            and a sentence for people. Empty if it does not differ.
    """

    method: DriftMethod
    reason: str = ""

    @property
    def word(self) -> str:
        """The CamelCase word of the reason; empty if there is no reason."""
        return self.reason.partition(":")[0]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`spec.rateLimit`: how many calls a ZITADEL may receive.

    Attributes:
        requests_per_second: Calls per second in the long run.
        burst: Calls that may be made at once after a pause.
        max_concurrent: Concurrent calls of this instance object.
        max_concurrent_writes: Concurrent writes of policies by all instance objects
            that reach the same ZITADEL. The smallest of their values applies
            (docs/concepts/two-sides.md).
    """

    requests_per_second: int = 50
    burst: int = 100
    max_concurrent: int = 8
    max_concurrent_writes: int = 1


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a ZITADEL is reached: everything in the spec that affects connections."""

    url: str
    external_domain: str | None = None
    rate_limit: RateLimit = field(default_factory=RateLimit)


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """`spec.driftDetection`.

    Attributes:
        method: How drift shall be detected.
        events_interval: Seconds between two searches of ZITADEL's event log.
        poll_interval: Seconds within which each policy is read.
    """

    method: DriftMethod = DriftMethod.AUTO
    events_interval: float = 60.0
    poll_interval: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSpec:
    """`spec` of a ZitadelInstance.

    Attributes:
        ca: Where additional trusted roots are stored (`caBundle`); None for the
            system's roots only.
        credential: Where the credential is stored (`credentials`).
        drift: `driftDetection`.
        operator_class: `class`: which operator serves the instance.
    """

    url: str
    external_domain: str | None = None
    ca: CaRef | None = None
    credential: CredentialRef
    rate_limit: RateLimit = field(default_factory=RateLimit)
    drift: DriftSettings = field(default_factory=DriftSettings)
    grants: tuple[Grant, ...] = ()
    operator_class: str = ""

    @property
    def endpoint(self) -> Endpoint:
        """How the ZITADEL is reached."""
        return Endpoint(self.url, self.external_domain, self.rate_limit)


@dataclass(frozen=True, slots=True)
class InstanceStatus(OwnStatus):
    """`status` of a ZitadelInstance."""

    instance_id: str | None = None
    version: str | None = None
    user: User | None = None
    capabilities: Capabilities | None = None
    credential_expires_at: str | None = None
    policies: int | None = None
    drift_cursor: str | None = None
    drift_detection: DriftDetection | None = None
    served_by: ServedBy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceObject(InstanceSpec, OwnObject):
    """A ZitadelInstance.

    Attributes:
        accepted_id: The value of the accept-instance-id annotation; None if it is
            absent.
        take_over: The value of the take-over annotation; None if it is absent.
    """

    kind: ClassVar[Kind] = INSTANCE

    accepted_id: str | None = None
    take_over: str | None = None
    status: InstanceStatus = field(default_factory=InstanceStatus)

    @property
    def assignment(self) -> Assignment:
        """Who shall serve the instance, and who does."""
        operator_class = self.operator_class if self.can_read("class") else None
        return Assignment(operator_class, self.status.served_by, self.take_over)

    def is_degraded(self, detection: DriftDetection) -> bool:
        """Return whether drift is detected in another way than the spec asks for.

        Polling because the credential may not read events is not such a case if the
        method is Auto, which asks for events only if they may be read.
        """
        by_itself = self.drift.method is DriftMethod.AUTO
        as_asked = by_itself and detection.word == NOT_PERMITTED
        return bool(detection.reason) and not as_asked
