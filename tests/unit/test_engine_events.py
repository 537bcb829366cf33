"""Events are sent once, after the write that they are about."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from support.engines import Harness, policy
from support.fakes import FakeCluster
from support.replacing import instead_of
from support.settings import mails
from support.steps import Steps
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import (
    ClusterError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.instance_object import (
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy import WriteResult
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.engine.ports import Notice

OUTAGE = 500.0
"""Seconds without a status; a LIST every ten minutes would show what is stored."""


class RefusingCluster(FakeCluster):
    """A Kubernetes that refuses statuses while `refuses` is set.

    Attributes:
        refuses: `before`: nothing is stored. `after`: the status is stored, but the
            response is lost.
        refuses_strip: The same for removals of annotation and finalizer.
    """

    refuses: str | None = None
    refuses_strip: str | None = None

    async def apply_policy_status(
        self, policy: PolicyObject, status: PolicyStatus
    ) -> PolicyObject:
        if self.refuses == "before":
            raise ClusterError("no answer")
        stored = await super().apply_policy_status(policy, status)
        if self.refuses == "after":
            raise ClusterError("the answer was lost")
        return stored

    async def apply_instance_status(
        self, instance: InstanceObject, status: InstanceStatus
    ) -> InstanceObject:
        if self.refuses == "before":
            raise ClusterError("no answer")
        stored = await super().apply_instance_status(instance, status)
        if self.refuses == "after":
            raise ClusterError("the answer was lost")
        return stored

    async def strip_policy(
        self, policy: PolicyObject, *, finalizer: bool, original: bool
    ) -> PolicyObject | None:
        if self.refuses_strip == "before":
            raise ClusterError("no answer")
        return await super().strip_policy(
            policy, finalizer=finalizer, original=original
        )


class Refusing(Harness):
    """A harness whose Kubernetes can refuse statuses."""

    def __init__(self) -> None:
        super().__init__()
        known, self.steps = self.cluster, Steps()
        self.cluster: RefusingCluster = RefusingCluster(self.steps)
        self.zitadel.steps = self.steps
        self.cluster.secrets = known.secrets
        for instance in known.instances.values():
            self.cluster.put_instance(instance)

    def event_reasons(self, name: str) -> Counter[str]:
        """Return how often each reason was recorded for an object."""
        notices = self.recorder.notices
        return Counter(reason for about, reason in notices if about == name)


def a_token(harness: Refusing) -> None:
    """Somebody requests a pass over the policy."""
    harness.seen(replace(harness.policy("p"), requested_at="t1"))


def a_token_of_the_instance(harness: Refusing) -> None:
    """Somebody requests a check of the instance."""
    known = harness.cluster.instances["default"]
    harness.instance_seen(replace(known, requested_at="t1"))


def no_permission(harness: Refusing) -> None:
    """The credential may not write, and the spec has changed."""

    async def refuse(*_: object, **__: object) -> WriteResult:
        raise TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "x")

    instead_of(harness.zitadel.write).call(refuse)
    harness.seen(replace(harness.policy("p"), generation=2, settings=mails(True)))


def an_outage(harness: Refusing) -> None:
    """ZITADEL fails, so the instance is not Ready."""
    harness.zitadel.failure = TransientError(Reason.SERVER_ERROR, "x")
    a_token_of_the_instance(harness)


@pytest.mark.parametrize("refusal", ["before", "after"])
@pytest.mark.parametrize(
    ("happens", "about", "reason"),
    [
        (a_token, "p", "ReconcileRequested"),
        (a_token_of_the_instance, "default", "ReconcileRequested"),
        (no_permission, "p", "InsufficientPermissions"),
        (an_outage, "default", "ServerError"),
    ],
)
def test_once_after_minutes_without_a_status(
    happens: Callable[[Refusing], None], about: str, reason: str, refusal: str
) -> None:
    """It is sent once, not sixteen times while Kubernetes refuses, and not never."""

    async def story() -> None:
        harness = Refusing()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.cluster.refuses = refusal
        happens(harness)
        await harness.live(OUTAGE)
        assert harness.event_reasons(about)[reason] == 0
        harness.cluster.refuses = None
        await harness.live(100)
        assert harness.event_reasons(about)[reason] == 1
        await harness.stop()

    run(story())


@pytest.mark.parametrize("refusal", ["before", "after"])
def test_a_recovery_is_reported_once(refusal: str) -> None:
    """This holds for the policy and for its instance."""

    async def story() -> None:
        harness = Refusing()
        harness.cluster.put(policy("p"))
        harness.zitadel.failure = TransientError(Reason.SERVER_ERROR, "x")
        await harness.start()
        await harness.live(100)
        harness.cluster.refuses = refusal
        harness.zitadel.failure = None
        await harness.live(OUTAGE)
        harness.cluster.refuses = None
        await harness.live(100)
        assert harness.event_reasons("p")["Recovered"] == 1
        assert harness.event_reasons("default")["Recovered"] == 1
        await harness.stop()

    run(story())


def test_what_was_written_to_zitadel_is_reported_once() -> None:
    """A pass that is repeated for its status has nothing to write or report."""

    async def story() -> None:
        harness = Refusing()
        await harness.start()
        await harness.live(1)
        harness.cluster.refuses = "before"
        harness.seen(policy("p"))
        await harness.live(OUTAGE)
        harness.cluster.refuses = None
        await harness.live(100)
        assert harness.event_reasons("p") == Counter({"Created": 1})
        await harness.stop()

    run(story())


@pytest.mark.parametrize("refusal", ["before", "after"])
def test_a_policy_that_follows_its_name_reports_once(refusal: str) -> None:
    """The pinned organization was removed, and another one has its name."""

    async def story() -> None:
        harness = Refusing()
        harness.zitadel.names = {"o": "Alpha"}
        named = replace(policy("p"), organization=Reference(By.NAME, "Alpha"))
        harness.cluster.put(named)
        await harness.start()
        await harness.live(5)
        harness.zitadel.remove("o")
        harness.zitadel.names["o2"] = "Alpha"
        harness.cluster.refuses = refusal
        harness.seen(replace(harness.policy("p"), generation=2, settings=mails(True)))
        await harness.live(OUTAGE)
        harness.cluster.refuses = None
        await harness.live(400)
        assert harness.event_reasons("p")["OrganizationReplaced"] == 1
        assert harness.policy("p").status.organization_id == "o2"
        await harness.stop()

    run(story())


@pytest.mark.parametrize("others", [(), ("example.com/keep",)])
def test_a_deletion_reports_once_what_it_did(others: tuple[str, ...]) -> None:
    """The Event comes before the finalizer is removed, however often that fails."""

    async def story() -> None:
        harness = Refusing()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        recorded: list[tuple[bool, str, str]] = []

        def record(about: OwnObject, notice: Notice) -> None:
            assert isinstance(about, PolicyObject)
            recorded.append((harness.policy("p").held, notice.reason, notice.note))

        instead_of(harness.recorder.record).call(record)
        harness.cluster.refuses_strip = "before"
        stored = harness.policy("p")
        harness.seen(
            replace(stored, deleting=True, finalizers=(*stored.finalizers, *others))
        )
        await harness.live(OUTAGE)
        harness.cluster.refuses_strip, harness.cluster.refuses = None, "before"
        await harness.live(100)
        harness.cluster.refuses = None
        await harness.live(100)
        sentence = "the organization inherits the instance's setting again"
        assert recorded == [(True, "Deleted", f"T{sentence[1:]}")]
        if others:
            assert sentence in harness.ready("p").message
        assert (PolicyKey("own", "p") in harness.cluster.policies) is bool(others)
        await harness.stop()

    run(story())
