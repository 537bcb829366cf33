"""Finds out which of the operator's kinds are served, and when that changes.

kopf looks for kinds only once, and its watch of a kind ends for good when the CRD is
gone. So the operator serves anew whenever a CRD comes or goes.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from zitadel_notification_operator.cluster.reader import ClusterReader
from zitadel_notification_operator.core.backoff import bounded_delay
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.kinds import KINDS, SET, Kind

ALL_KINDS = frozenset(KINDS)

MAIN_KINDS = ALL_KINDS - {SET}
"""The kinds without which nobody is served. The CRD of sets may be missing, as after an
upgrade of the operator alone."""

CRD_INTERVAL = 2.0
"""Seconds between two checks for CRDs that are not served yet."""

CRD_LOOKS = 5
"""How many checks in a row must find a main CRD absent before the other kinds are
served without it: whoever installs or restores the CRDs does so one after the other."""

STEADY_INTERVAL = 30.0
"""Seconds between two checks for CRDs while the main kinds are served and watched."""

NOT_FOUND = 404

_log = logging.getLogger(__name__)


async def wait_for_kinds(reader: ClusterReader) -> frozenset[Kind]:
    """Wait until all kinds are served, or only some because the others have no CRD.

    Objects of the one kind must not wait for a CRD that may never come back: otherwise
    their deletions, and that of their own CRD, would never finish.
    """
    logged, alone, settled, failures = False, 0, 0, 0
    while True:
        try:
            kinds = await reader.kinds_served()
            absent = bool(kinds) and await reader.are_absent(ALL_KINDS - kinds)
        except ClusterError as error:
            failures += 1
            level = logging.WARNING if error.claim_logging() else logging.DEBUG
            _log.log(level, "Waiting: %s", error.message)
            pause = bounded_delay(failures, chance=0.5, asked=error.retry_after)
        else:
            alone = alone + 1 if absent else 0
            # Sets are not waited for, even if nobody may see whether their CRD exists.
            settled = settled + 1 if kinds >= MAIN_KINDS else 0
            without_sets = settled and (absent or settled == CRD_LOOKS)
            if kinds == ALL_KINDS or without_sets or alone == CRD_LOOKS:
                return kinds
            # A user is probably about to apply the CRDs and waits for the operator.
            failures, pause = 0, CRD_INTERVAL
            if not logged:
                _log.warning("Waiting for the CRDs: apply deploy/crds first")
                logged = True
        await asyncio.sleep(pause)


async def wait_for_change(reader: ClusterReader, started: Callable[[], bool]) -> None:
    """Return when the served kinds are no longer those of the reader.

    A watch notices by itself that its CRD is gone. But kopf creates no watch at all for
    a kind that disappears between the first LIST and kopf's own discovery.

    Args:
        reader: Knows the kinds that are watched.
        started: Returns whether the first LIST is done.
    """
    lost = 0
    while True:
        settled = reader.kinds >= MAIN_KINDS and started() and not lost
        await asyncio.sleep(STEADY_INTERVAL if settled else CRD_INTERVAL)
        try:
            served = await reader.kinds_served()
        except ClusterError:
            continue
        lost = 0 if served >= reader.kinds else lost + 1
        # A single response without a kind may come from a starting API server.
        if served - reader.kinds or lost == CRD_LOOKS:
            _log.info("CRDs have come or gone: beginning anew")
            return


async def is_kind_gone(reader: ClusterReader, error: Exception) -> bool:
    """Return whether a watch has ended because its kind is no longer served."""
    if getattr(error, "status", None) == NOT_FOUND:
        return True
    for _ in range(CRD_LOOKS):
        with contextlib.suppress(ClusterError):
            if await reader.kinds_served() != reader.kinds:
                return True
        await asyncio.sleep(CRD_INTERVAL)
    return False
