"""The objects of a CRD that is being deleted go, and no setting is undone."""

from dataclasses import replace
from typing import Any

import pytest

from support.engines import Harness, policy
from support.replacing import instead_of
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.errors import (
    ClusterError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.kinds import INSTANCE, POLICY, Kind
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy import DeletionPolicy, ManagementPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.ports import Notice
from zitadel_notification_operator.engine.queue.keys import instance_key

MANY = 200
OTHER = "example.com/keep"


class CrdBench(Harness):
    """A harness that records the notes of Events."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str, str]] = []
        instead_of(self.recorder.record).call(self._record)
        instead_of(self.cluster.crd_is_ending).call(self._asked)
        self.broken = False
        self.reads = 0

    async def _asked(self, kind: Kind) -> bool:
        self.reads += 1
        if self.broken:
            raise ClusterError(f"no answer, for the {self.reads}th time")
        return kind in self.cluster.crds_ending

    def _record(self, about: OwnObject, notice: Notice) -> None:
        self.events.append((about.name, notice.reason, notice.note))

    def delete(self, name: str, *finalizers: str) -> None:
        """Delete a policy as kubectl does."""
        known = self.policy(name)
        self.seen(
            replace(
                known,
                deleting=True,
                generation=known.generation + 1,
                finalizers=(*known.finalizers, *finalizers),
            )
        )

    def delete_crd(self, kind: Kind = POLICY) -> None:
        """Mark the CRD and then all its objects as deleted, as Kubernetes does."""
        self.cluster.crds_ending.add(kind)
        if kind is POLICY:
            for key in list(self.cluster.policies):
                self.delete(key.name)
        else:
            for known in list(self.cluster.instances.values()):
                self.instance_seen(replace(known, deleting=True, generation=2))


@pytest.mark.parametrize("ending", [True, False])
def test_many_deletions_cost_a_few_readings(*, ending: bool) -> None:
    """One GET serves all deletions; while the CRD goes, no setting is undone."""

    async def story() -> None:
        harness = CrdBench()
        for number in range(MANY):
            harness.cluster.put(policy(f"p{number}", f"o{number}"))
        await harness.start()
        await harness.live(100)
        before = len(harness.zitadel.writes())
        assert before == MANY
        if ending:
            harness.delete_crd()
        else:
            for number in range(MANY):
                harness.delete(f"p{number}")
        await harness.live(100)
        assert harness.cluster.policies == {}
        assert len(harness.zitadel.writes()) - before == (0 if ending else MANY)
        assert len(harness.zitadel.own) == (MANY if ending else 0)
        assert harness.reads <= 3
        notes = [note for _, reason, note in harness.events if reason == "Deleted"]
        assert len(notes) == MANY
        assert all(("CRD" in note) is ending for note in notes)
        await harness.stop()

    run(story())


@pytest.mark.parametrize("ending", [DeletionPolicy.RESTORE, DeletionPolicy.RESET])
def test_another_finalizer_keeps_it_and_the_status_says_why(
    ending: DeletionPolicy,
) -> None:
    """The operator's finalizer is removed all the same."""

    async def story() -> None:
        harness = CrdBench()
        harness.cluster.put(replace(policy("p"), deletion=ending, finalizers=(OTHER,)))
        await harness.start()
        await harness.live(5)
        harness.delete_crd()
        await harness.live(5)
        assert harness.policy("p").finalizers == (OTHER,)
        assert harness.ready("p").reason == Reason.DELETED
        assert "CRD" in harness.ready("p").message
        assert harness.zitadel.own == {"o": False}
        await harness.stop()

    run(story())


def test_a_reading_from_before_the_deletion_does_not_count() -> None:
    """The CRD existed at an earlier deletion, and was deleted since."""

    async def story() -> None:
        harness = CrdBench()
        harness.cluster.put(policy("p", "o"))
        harness.cluster.put(policy("q", "o2"))
        await harness.start()
        await harness.live(5)
        harness.delete("p")
        await harness.live(0.5)
        assert harness.zitadel.own == {"o2": False}
        harness.delete_crd()
        await harness.live(0.5)
        assert harness.cluster.policies == {}
        assert harness.zitadel.own == {"o2": False}
        await harness.stop()

    run(story())


@pytest.mark.parametrize("failure", [TransientError, TerminalError])
def test_a_deletion_that_waits_goes_at_once(failure: type[Any]) -> None:
    """It has waited for ZITADEL for minutes when its CRD is deleted."""

    async def story() -> None:
        harness = CrdBench()
        harness.cluster.put(policy("p", "o"))
        harness.cluster.put(policy("q", "o2"))
        await harness.start()
        await harness.live(5)
        harness.zitadel.failure = failure(Reason.INSUFFICIENT_PERMISSIONS, "x")
        harness.delete("p")
        await harness.live(400)
        assert "set spec.deletionPolicy to Retain" in harness.ready("p").message
        harness.delete_crd()
        await harness.live(1)
        assert harness.cluster.policies == {}
        await harness.stop()

    run(story())


def test_while_nobody_knows_the_deletion_waits_and_says_why() -> None:
    """All tries have one message; nothing is undone on a guess."""

    async def story() -> None:
        harness = CrdBench()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.broken = True
        harness.delete("p")
        await harness.live(5)
        ready = harness.ready("p")
        assert ready.reason == Reason.CLUSTER_UNAVAILABLE
        assert "CRD" in ready.message
        assert ready.message.endswith("set spec.deletionPolicy to Retain")
        await harness.live(300)
        assert harness.ready("p") == ready
        assert find(harness.policy("p").status.conditions, "Reconciling") is not None
        assert harness.zitadel.own == {"o": False}
        assert find(harness.cluster.instances["default"].status.conditions, "Ready")
        harness.broken = False
        await harness.live(75)
        assert harness.cluster.policies == {}
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())


def test_retain_needs_no_answer() -> None:
    """The way out in the message works while Kubernetes does not respond."""

    async def story() -> None:
        harness = CrdBench()
        harness.cluster.put(policy("p"))
        harness.cluster.put(replace(policy("q"), management=ManagementPolicy.OBSERVE))
        await harness.start()
        await harness.live(5)
        harness.broken = True
        harness.delete("p")
        await harness.live(5)
        harness.seen(
            replace(harness.policy("p"), deletion=DeletionPolicy.RETAIN, generation=9)
        )
        await harness.live(1)
        assert list(harness.cluster.policies) == [PolicyKey("own", "q")]
        await harness.stop()

    run(story())


def test_an_instance_does_not_wait_for_its_policies() -> None:
    """It goes with its CRD; the policies stay, with their setting in ZITADEL."""

    async def story() -> None:
        harness = CrdBench()
        harness.cluster.put(policy("p"))
        engine = await harness.start()
        await harness.live(5)
        harness.delete_crd(INSTANCE)
        await harness.live(2)
        assert harness.cluster.instances == {}
        engine.watch_events.gone(instance_key("default"), "i")
        assert [events[:2] for events in harness.events if events[0] == "default"] == [
            ("default", "Deleted")
        ]
        await harness.live(30)
        assert harness.ready("p").reason == Reason.INSTANCE_NOT_FOUND
        harness.delete("p")
        await harness.live(5)
        assert harness.cluster.policies == {}
        assert harness.zitadel.own == {"o": False}
        await harness.stop()

    run(story())


@pytest.mark.parametrize("first", [POLICY, INSTANCE])
def test_both_crds_in_either_order(first: Kind) -> None:
    """No object is left, and every setting in ZITADEL is."""

    async def story() -> None:
        harness = CrdBench()
        for number in range(20):
            harness.cluster.put(policy(f"p{number}", f"o{number}"))
        engine = await harness.start()
        await harness.live(20)
        second = INSTANCE if first is POLICY else POLICY
        for kind in (first, second):
            harness.delete_crd(kind)
            await harness.live(0.3)
            if "default" not in harness.cluster.instances:
                engine.watch_events.gone(instance_key("default"), "i")
        await harness.live(10)
        assert harness.cluster.policies == {}
        assert harness.cluster.instances == {}
        assert len(harness.zitadel.own) == 20
        await harness.stop()

    run(story())


def test_an_instance_whose_crd_stays_waits_as_ever() -> None:
    """It also waits while the CRD cannot be read."""

    async def story() -> None:
        harness = CrdBench()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.broken = True
        known = harness.cluster.instances["default"]
        harness.instance_seen(replace(known, deleting=True, generation=2))
        await harness.live(200)
        harness.broken = False
        await harness.live(200)
        assert harness.cluster.instances["default"].held
        assert [events[1] for events in harness.events if events[0] == "default"] == [
            "InstanceInUse"
        ]
        await harness.stop()

    run(story())
