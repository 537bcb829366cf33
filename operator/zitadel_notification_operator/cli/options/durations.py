"""The type of options that take a duration as Kubernetes writes it, such as 5m."""

from typing import Any

import click

from zitadel_notification_operator.core.durations import parse_duration


class Duration(click.ParamType[float]):
    """A duration, converted to seconds.

    Args:
        shortest: The shortest allowed, in seconds.
        longest: The longest allowed, in seconds.
        limits: The same for people, such as "from 5s to 1h".
    """

    name = "duration"

    def __init__(self, shortest: float, longest: float, limits: str) -> None:
        self._shortest = shortest
        self._longest = longest
        self._limits = limits

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds, or fail with a message about what is wrong."""
        try:
            seconds = parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not self._shortest <= seconds <= self._longest:
            self.fail(f"{value!r} is not {self._limits}", param, ctx)
        return seconds
