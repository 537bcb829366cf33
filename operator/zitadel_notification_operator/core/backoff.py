"""How long to wait before a retry, and how to spread retries that would coincide.

Randomness is passed in as a number in [0, 1), so that these functions stay pure.
"""

FIRST = 1.0
LONGEST = 60.0
BOUND = 30.0
"""The longest delay in seconds between tries of what the whole operator depends on."""

SLOW = 300.0
"""Seconds between retries when a person must act first
(docs/operations/troubleshooting.md)."""

_DOUBLINGS = 6
_SPREAD = 0.2
"""The fraction by which a delay is shifted at most, in either direction."""


def retry_delay(attempt: int, chance: float, asked: float | None = None) -> float:
    """Return the seconds to wait before the next try.

    The delay doubles with each failure, from one second up to a minute, and is then
    shifted at random by up to a fifth in either direction.

    Args:
        attempt: How many tries have failed in a row, counted from 1.
        chance: A random number in [0, 1).
        asked: Seconds that the other side asked for (Retry-After). The result is never
            below this.
    """
    wait = min(_doubled(attempt), LONGEST)
    return max(spread(wait, chance, _SPREAD), asked or 0.0)


def bounded_delay(attempt: int, chance: float, asked: float | None = None) -> float:
    """Return the seconds to wait before the next try of a call to Kubernetes.

    The limit counts before the random shift, so that even the longest delays differ
    from replica to replica.

    Args:
        attempt: How many tries have failed in a row, counted from 1.
        chance: A random number in [0, 1).
        asked: Seconds that Kubernetes asked for. The result is never below this.
    """
    wait = min(_doubled(attempt), BOUND / (1 + _SPREAD))
    return max(spread(wait, chance, _SPREAD), asked or 0.0)


def _doubled(attempt: int) -> float:
    doublings: int = min(max(attempt - 1, 0), _DOUBLINGS)
    return float(FIRST * 2**doublings)


def spread(seconds: float, chance: float, by: float = 0.1) -> float:
    """Return the seconds, shifted at random by up to the fraction `by` either way."""
    return seconds * (1 - by + 2 * by * chance)
