"""Waits for what the operator does, by asking Kubernetes again and again."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from zitadel_notification_operator.core.durations import parse_duration
from zitadel_notification_operator.core.errors import ClusterError

from .declaring import option

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
GROWTH = 1.5
SHARE = 3.0
"""A pause lasts at least this many times as long as the answer before it, so that
waiting for many objects does not keep the API server busy."""

T = TypeVar("T")


class Duration(click.ParamType[float]):
    """A duration as Kubernetes writes it, converted to seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds, or fail with a message about what is wrong."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


timeout_option = option(
    "--timeout",
    type=Duration(),
    default="1m",
    help="How long to wait at most, such as 30s or 5m.",
)
"""The option that limits how long a command waits."""


async def poll(
    read: Callable[[], Awaitable[T]], is_done: Callable[[T], bool], seconds: float
) -> tuple[T, bool]:
    """Read something until it is as it should be, or the time is over.

    Args:
        read: Reads it.
        is_done: Whether it is as it should be.
        seconds: How long to wait; the first reading is made in any case.

    Returns:
        What was read last, and whether it is as it should be.

    Raises:
        ClusterError: The first reading failed, or a later one for another cause than
            an outage, or the outage has lasted until the end.
    """
    import asyncio

    deadline = time.monotonic() + seconds
    pause, last = FIRST_PAUSE, await read()
    while not is_done(last):
        left = deadline - time.monotonic()
        if left <= 0:
            return last, False
        await asyncio.sleep(min(pause, left))
        begun = time.monotonic()
        try:
            last = await read()
        except ClusterError as error:
            # What is said of a refused login hides the error that tells of an outage.
            passes = error.is_outage or getattr(error.__cause__, "is_outage", False)
            if not passes or begun >= deadline:
                raise
        took = time.monotonic() - begun
        pause = max(min(pause * GROWTH, LONGEST_PAUSE), SHARE * took)
    return last, True


def spoken(seconds: float) -> str:
    """Return a duration for people, such as `30s`, `5m` or `1m30s`."""
    minutes, rest = divmod(seconds, 60)
    parts = [f"{minutes:g}m"] if minutes else []
    return "".join(parts + ([f"{rest:g}s"] if rest or not minutes else []))
