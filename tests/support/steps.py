"""Calls of a process to the outside, at each of which a test may kill it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

Answer = TypeVar("Answer")


class Killed(BaseException):
    """Stands for `kill -9`: the process does nothing after it."""


@dataclass
class Steps:
    """Counts the calls to the outside, and kills the process at one of them."""

    log: list[tuple[str, ...]] = field(default_factory=list)
    kill_at: int = -1
    after: bool = False

    def step(self, effect: Callable[[], Answer], *what: str) -> Answer:
        """Make one call to the outside."""
        number = len(self.log)
        self.log.append(what)
        if number == self.kill_at and not self.after:
            raise Killed
        result = effect()
        if number == self.kill_at:
            raise Killed
        return result
