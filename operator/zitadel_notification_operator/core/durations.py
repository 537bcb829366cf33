"""Durations as Kubernetes users write them, in Go's form: `90s`, `1h30m`, `500ms`."""

import re

_PART = re.compile(r"([0-9]+)(h|ms|m|s)")
_WHOLE = re.compile(r"([0-9]+(h|ms|m|s))+")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_duration(text: str) -> float:
    """Return the seconds that a Go-style duration stands for.

    Args:
        text: One or more numbers, each with the unit h, m, s or ms.

    Raises:
        ValueError: The text is not a duration. The message shows valid examples.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 30s, 10m or 1h30m")
    return sum(int(n) * _SECONDS[unit] for n, unit in _PART.findall(text))
