"""How long to wait before a retry, and how to spread what would come at once.

Chance is passed in as a number of [0, 1), so that these stay pure.
"""

FIRST = 1.0
LONGEST = 60.0
SLOW = 300.0
"""Seconds between tries when somebody must act first (design, section 3)."""

_DOUBLINGS = 6


def retry_delay(attempt: int, chance: float, asked: float | None = None) -> float:
    """Return the seconds to wait before the next try.

    Args:
        attempt: How many tries have failed in a row, from 1.
        chance: A number of [0, 1); the wait is spread by up to a fifth each way.
        asked: Seconds the other side asked for (Retry-After); a lower bound.

    Returns:
        Doubling from one second to a minute, with jitter, never less than asked.
    """
    doublings = min(max(attempt - 1, 0), _DOUBLINGS)
    wait = min(FIRST * 2**doublings, LONGEST)
    return max(spread(wait, chance, 0.2), asked or 0.0)


def spread(seconds: float, chance: float, by: float = 0.1) -> float:
    """Return the seconds, shifted at random by up to the fraction `by` each way."""
    return seconds * (1 - by + 2 * by * chance)
