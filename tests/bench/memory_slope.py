"""How the memory of a life of the operator grew: the slope, and the verdict about it.

A life is the time from a start of the operator to its end. Its first quarter is left
out, because memory grows then although nothing leaks: the LIST of all policies is read
and parsed, connections and TLS sessions are made, code is imported when it is first
needed, and each policy is touched for the first time, after which its own texts replace
those that it shared with others. What grows later grows with the work that was done.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WARM_UP = 0.25
"""The part of a life that is left out of the fit."""
LONG = 600.0
"""The seconds that a life must have lasted for a verdict. In the first two minutes
memory grows by some ten MiB, and after a quarter of a shorter life it may still do so.
"""
FEWEST = 10
"""The least number of samples that say something about a slope."""
MOST_BYTES = 200.0
"""The steepest slope in bytes a call. A record that is kept for each call (a dict with
a text, say) takes more."""
NOISE_MIB = 4.0
"""The growth up to which the slope decides nothing: what is in progress takes as much,
and in a short run this divided by few calls is a steep slope."""
MOST_MIB = 12.0
"""The most growth over the fitted span, whatever the number of calls: something may
also leak with time, and not with calls."""

_MIB = 1024.0 * 1024.0
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The memory of the operator at one moment.

    Attributes:
        at: When it was, in seconds.
        calls: The number of calls to ZITADEL until then.
        mib: The bytes that it has allocated (`within/sitecustomize.py`), in MiB.
    """

    at: float
    calls: int
    mib: float


@dataclass(frozen=True, slots=True)
class Slope:
    """How memory grew in one life, without its first quarter.

    Attributes:
        bytes_per_call: The slope over the number of calls to ZITADEL, in bytes a call.
        mib_per_hour: The slope over time.
        growth: By how much the line over time rises from the first sample that counts
            to the last, in MiB.
        calls: The number of calls in this time.
        seconds: The length of this time.
        whole: The length of the whole life in seconds.
    """

    bytes_per_call: float
    mib_per_hour: float
    growth: float
    calls: int
    seconds: float
    whole: float


def slope_of(life: Sequence[Sample]) -> Slope | None:
    """Return how memory grew in a life, or None if there are too few samples."""
    if not life:
        return None
    begin, end = life[0].at, life[-1].at
    kept = [s for s in life if s.at >= begin + WARM_UP * (end - begin)]
    if len(kept) < FEWEST:
        return None
    memory = [s.mib for s in kept]
    per_second = least_squares([s.at for s in kept], memory)
    per_call = least_squares([float(s.calls) for s in kept], memory)
    seconds = kept[-1].at - kept[0].at
    return Slope(
        bytes_per_call=per_call * _MIB,
        mib_per_hour=per_second * _HOUR,
        growth=per_second * seconds,
        calls=kept[-1].calls - kept[0].calls,
        seconds=seconds,
        whole=end - begin,
    )


def least_squares(across: Sequence[float], up: Sequence[float]) -> float:
    """Return the slope of the line with the least squares; 0 if it would be upright."""
    middle, height = sum(across) / len(across), sum(up) / len(up)
    spread = sum((x - middle) ** 2 for x in across)
    if spread == 0.0:
        return 0.0
    both = sum((x - middle) * (y - height) for x, y in zip(across, up, strict=True))
    return both / spread


def what_leaks(number: int, slope: Slope) -> list[str]:
    """Return a sentence if the memory of a life is not flat; a short one says nothing.

    Args:
        number: The number of the life, counted from 1.
        slope: How its memory grew.
    """
    if slope.whole < LONG:
        return []
    grew = (
        f"The memory of life {number} grew by {slope.growth:.1f} MiB in "
        f"{slope.seconds:.0f} s and {slope.calls} calls ({slope.bytes_per_call:.0f} "
        "bytes a call)"
    )
    if slope.growth > MOST_MIB:
        return [f"{grew}; {MOST_MIB:.0f} MiB are the most."]
    if slope.growth > NOISE_MIB and slope.bytes_per_call > MOST_BYTES:
        return [f"{grew}; {MOST_BYTES:.0f} bytes a call are the most."]
    return []
