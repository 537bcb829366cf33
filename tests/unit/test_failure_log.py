"""The log of failing calls to Kubernetes: one line for each outage."""

import time

import pytest

from zitadel_notification_operator.cluster.failure_log import EVERYWHERE, FailureLog
from zitadel_notification_operator.core.errors import ClusterError


class Cluster:
    """Calls at chosen times.

    Attributes:
        now: The seconds of a clock that only the test turns.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self._failure_log = FailureLog()
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def fail(self) -> bool:
        """Make a call that fails; return whether that is logged."""
        error = ClusterError("made up")
        self._failure_log.failed(error, "no connection", EVERYWHERE)
        return error.claim_logging()

    def succeed(self) -> None:
        """Make a call that succeeds."""
        self._failure_log.went_well("GET /x")


def test_a_lasting_outage_after_a_short_one_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the log would only say that the short one has ended."""
    cluster = Cluster(monkeypatch)
    assert cluster.fail()
    cluster.succeed()
    logged = 0
    for _ in range(20):
        cluster.now += 10
        logged += cluster.fail()
    assert logged == 1


def test_a_cause_that_comes_and_goes_is_reported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This happens with one bad server behind a load balancer."""
    cluster = Cluster(monkeypatch)
    logged = 0
    for _ in range(20):
        logged += cluster.fail()
        cluster.now += 10
        cluster.succeed()
        cluster.now += 10
    assert logged == 1
