"""Which operator serves an instance, and how the instance goes from one to another.

An operator serves the instances of its class. `status.servedBy` says which one serves
now, so that two of them never write to the same ZITADEL
(docs/how-to/several-operators.md).
"""

from dataclasses import dataclass
from enum import StrEnum

HAND_OVER = 30.0
"""Seconds after which an operator takes an instance over that another one has not
handed over. By then a write that the other has begun is over, because it reads all
instances at most a few seconds before each write (`engine.calls.confirmed_turns`)."""


@dataclass(frozen=True, slots=True)
class ServedBy:
    """`status.servedBy`: an installation of the operator.

    Attributes:
        namespace: The namespace of the operator itself.
        operator_class: The class of the instances that it serves.
        hand_over_to: The namespace of the installation that has asked for the instance,
            until it is handed over.
    """

    namespace: str
    operator_class: str = ""
    hand_over_to: str | None = None

    @property
    def operator(self) -> "ServedBy":
        """The installation alone, to compare it with others."""
        return ServedBy(self.namespace, self.operator_class)

    def __str__(self) -> str:
        """Return how messages name it."""
        of_class = f" of class {self.operator_class!r}" if self.operator_class else ""
        return f"the operator in namespace {self.namespace!r}{of_class}"


class Service(StrEnum):
    """What an operator does about an instance."""

    SERVE = "Serve"
    """It serves the instance."""

    TAKE = "Take"
    """It may begin to serve it, once the status says so."""

    ASK = "Ask"
    """It asks the installation that serves the instance to hand it over."""

    WAIT = "Wait"
    """It waits until the operator before it has handed the instance over."""

    HAND_OVER = "HandOver"
    """It ends its work on the instance, and then stores that it serves it no more."""

    ELSEWHERE = "Elsewhere"
    """The instance is of another class, so another operator serves it."""

    REFUSED = "Refused"
    """The instance is of its class, but another installation of this class serves it.
    """


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an instance says about who shall serve it, and who does.

    Attributes:
        operator_class: `spec.class`; None if it cannot be read.
        served_by: `status.servedBy`.
        take_over: The namespace in the take-over annotation; None without one.
    """

    operator_class: str | None
    served_by: ServedBy | None = None
    take_over: str | None = None


def service_of(own: ServedBy, facts: Assignment, waited: float) -> Service:
    """Decide what an operator does about an instance.

    Args:
        own: The operator that decides.
        facts: What the instance says.
        waited: Seconds since the operator has first seen these facts.
    """
    served_by, of_class = facts.served_by, facts.operator_class
    is_ours = served_by is not None and served_by.operator == own
    if of_class is None:
        # Whoever serves it goes on: an unreadable class is that of nobody else.
        return Service.SERVE if is_ours else Service.ELSEWHERE
    if of_class != own.operator_class:
        return Service.HAND_OVER if is_ours else Service.ELSEWHERE
    if served_by is None:
        return Service.TAKE
    return _service_of_class(own, served_by, facts, waited)


def _service_of_class(
    own: ServedBy, served_by: ServedBy, facts: Assignment, waited: float
) -> Service:
    """Decide about an instance of the operator's own class that somebody serves."""
    if served_by.operator == own:
        is_asked = served_by.hand_over_to not in {None, own.namespace}
        return Service.HAND_OVER if is_asked else Service.SERVE
    if served_by.operator_class == own.operator_class:
        if facts.take_over != own.namespace:
            return Service.REFUSED
        if served_by.hand_over_to != own.namespace:
            return Service.ASK
    return Service.TAKE if waited >= HAND_OVER else Service.WAIT


def next_server(own: ServedBy, facts: Assignment) -> ServedBy | None:
    """Return what an operator stores as `servedBy` when it hands an instance over.

    After a change of the class it is nobody, and the first operator of the new class
    takes it. Another installation of the class has asked for it by its namespace. The
    annotation alone moves nothing: it may be an old one, and nobody be there.
    """
    by = facts.served_by
    if facts.operator_class != own.operator_class or by is None:
        return None
    return ServedBy(by.hand_over_to or own.namespace, own.operator_class)
