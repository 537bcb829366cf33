"""What a run at rest must not do on any machine, however fast or slow it is."""

from collections.abc import Mapping

from bench.report import STEADY_ROWS

MEANINGS = {figure: meaning for figure, meaning, aim, _ in STEADY_ROWS if aim == "0"}
"""The counts whose aim is 0; times depend on the machine, and decide nothing."""


def broken(figures: Mapping[str, float]) -> list[str]:
    """Return a sentence for each count that is not 0, or was not measured."""
    found = []
    for figure, meaning in MEANINGS.items():
        count = figures.get(figure)
        if count is None:
            found.append(f"{meaning} ({figure}): was not measured")
        elif count:
            found.append(f"{meaning} ({figure}): {count:g} instead of 0")
    return found
