"""LISTs: objects that cannot be read again, and a Kubernetes from a backup."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from support.engines import INSTANCE, Harness, PolicyChanges, policy, with_spec
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.objects import ObjectList, OwnObject
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.engine.leader.resync import LIST_INTERVAL, SOON


class UnreadableObjects(Harness):
    """A harness in which some objects cannot be read, and are missing from LISTs."""

    def __init__(self) -> None:
        super().__init__()
        self.stubborn: set[str] = set()
        read, read_instance = self.cluster.read_policy, self.cluster.read_instance
        listed, instances = self.cluster.list_policies, self.cluster.list_instances
        self.tries = 0

        def refuse(name: str) -> None:
            if name in self.stubborn:
                self.tries += 1
                raise ClusterError("no answer")

        async def read_one(namespace: str, name: str) -> PolicyObject | None:
            refuse(name)
            return await read(namespace, name)

        async def read_an_instance(name: str) -> InstanceObject | None:
            refuse(name)
            return await read_instance(name)

        async def list_most(known: Iterable[OwnObject]) -> ObjectList:
            found = await listed(known)
            rest = [p for p in found.objects if p.name not in self.stubborn]
            return found._replace(objects=rest)

        async def list_most_instances() -> ObjectList:
            found = await instances()
            rest = [i for i in found.objects if i.name not in self.stubborn]
            return found._replace(objects=rest)

        instead_of(self.cluster.read_policy).call(read_one)
        instead_of(self.cluster.list_policies).call(list_most)
        instead_of(self.cluster.read_instance).call(read_an_instance)
        instead_of(self.cluster.list_instances).call(list_most_instances)


def test_one_that_cannot_be_read_again_stops_no_other() -> None:
    """The take-over goes on, others' deletions are found, and it is retried soon."""

    async def story() -> None:
        harness = UnreadableObjects()
        harness.cluster.put_instance(
            replace(INSTANCE, key=ObjectKey("", "aged"), uid="aged")
        )
        for name in ("a", "b", "c"):
            harness.cluster.put(policy(name, name))
        engine = await harness.start()
        await harness.live(5)
        harness.stubborn = {"a", "aged"}
        for name in ("b", "c"):
            del harness.cluster.policies[PolicyKey("own", name)]
        await harness.live(1.2 * LIST_INTERVAL)
        assert harness.parts is not None
        known = {key.name for key in harness.parts.inventory.policies}
        assert known == {"a"}
        assert set(harness.parts.inventory.instances) == {"default", "aged"}
        tries = harness.tries
        await harness.live(2 * SOON)
        assert harness.tries > tries
        harness.stubborn = set()
        del harness.cluster.policies[PolicyKey("own", "a")]
        await harness.live(2 * SOON)
        assert harness.parts.inventory.policies == {}
        assert not engine.failed.is_set()
        await harness.stop()

    run(story())


def test_a_take_over_waits_for_no_single_object() -> None:
    """`lead` reads all again; an object that cannot be read does not delay it."""

    async def story() -> None:
        harness = UnreadableObjects()
        harness.cluster.put(policy("a", "a"))
        harness.cluster.put(policy("b", "b"))
        engine = await harness.start()
        await harness.live(5)
        harness.stubborn = {"a"}
        await asyncio.wait_for(engine.lead(), 5)
        harness.seen(replace(harness.policy("b"), settings=mails(True), generation=2))
        await harness.live(2)
        assert harness.zitadel.own["b"] is True
        await harness.stop()

    run(story())


class Restored(Harness):
    """A harness whose Kubernetes can be restored to an earlier state."""

    def back_up(self) -> tuple[Any, ...]:
        """Return the state of Kubernetes."""
        cluster = self.cluster
        return dict(cluster.policies), dict(cluster.instances), cluster.version

    def restore(self, kept: tuple[Any, ...]) -> None:
        """Restore the state without watch events."""
        policies, instances, version = kept
        self.cluster.policies = dict(policies)
        self.cluster.instances = dict(instances)
        self.cluster.version = version


def test_a_restored_etcd_is_taken_as_the_truth() -> None:
    """Changed, deleted and new objects are those of the backup."""

    async def story() -> None:
        harness = Restored()
        harness.cluster.put(policy("changed", "a"))
        harness.cluster.put(policy("deleted", "b"))
        await harness.start()
        await harness.live(5)
        kept = harness.back_up()
        for generation in range(2, 9):
            edit: PolicyChanges = {"settings": mails(True), "generation": generation}
            harness.seen(replace(harness.policy("changed"), **edit))
        harness.seen(replace(harness.policy("deleted"), deleting=True))
        harness.seen(policy("new", "c"))
        await harness.live(5)
        assert harness.zitadel.own == {"a": True, "c": False}
        harness.restore(kept)
        await harness.live(1.2 * LIST_INTERVAL)
        assert harness.zitadel.own["a"] is False
        assert harness.zitadel.own["b"] is False  # its uid was known as deleted
        assert harness.parts is not None
        known = harness.parts.inventory.policies
        assert {key.name for key in known} == {"changed", "deleted"}
        for name in ("changed", "deleted"):
            assert harness.ready(name).status == "True"
            assert known[PolicyKey("own", name)].uid == f"uid-{name}"
        # The next watch event counts, because of its new version.
        harness.seen(
            replace(harness.policy("changed"), settings=mails(True), generation=2)
        )
        await harness.live(2)
        assert harness.zitadel.own["a"] is True
        await harness.stop()

    run(story())


def test_a_watch_that_is_deaf_after_a_restore_is_made_up_for() -> None:
    """Until Kubernetes has reached its former version, LISTs are frequent."""

    async def story() -> None:
        harness = Restored()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        kept = harness.back_up()
        for generation in range(2, 40):
            harness.seen(replace(harness.policy("p"), generation=generation))
        await harness.live(5)
        harness.restore(kept)
        await harness.live(1.2 * LIST_INTERVAL)
        harness.cluster.put(
            replace(harness.policy("p"), settings=mails(True), generation=2)
        )
        await harness.live(1.2 * SOON)
        assert harness.zitadel.own == {"o": True}
        await harness.stop()

    run(story())


def test_an_answer_that_is_older_than_what_was_known_is_noticed_at_once() -> None:
    """A status that is stored at an older version makes all objects be checked."""

    async def story() -> None:
        harness = Restored()
        harness.cluster.put(policy("p"))
        harness.cluster.put(policy("q", "q"))
        await harness.start()
        await harness.live(5)
        kept = harness.back_up()
        for generation in range(2, 9):
            edit: PolicyChanges = {"settings": mails(True), "generation": generation}
            harness.seen(replace(harness.policy("p"), **edit))
            harness.seen(replace(harness.policy("q"), **edit))
        await harness.live(5)
        harness.restore(kept)
        calls = len(harness.steps.log)
        assert harness.engine is not None
        # A watch event brings a token, so the pass writes a status.
        assert harness.parts is not None
        known = harness.parts.inventory.policies[PolicyKey("own", "q")]
        harness.engine.watch_events.seen(replace(known, requested_at="now"))
        await harness.live(10)
        assert harness.zitadel.own == {"o": False, "q": False}
        assert len(harness.steps.log) - calls < 40
        await harness.stop()

    run(story())


def test_a_doubt_is_settled_at_once() -> None:
    """The lease reveals the restore, even if no object is older."""

    async def story() -> None:
        harness = Restored()
        harness.cluster.put(policy("p"))
        engine = await harness.start()
        await harness.live(5)
        kept = harness.back_up()
        harness.seen(replace(harness.policy("p"), deleting=True))
        await harness.live(5)
        assert harness.zitadel.own == {}
        harness.restore(kept)
        harness.cluster.version += 1000
        engine.doubt()
        await harness.live(5)
        assert harness.zitadel.own == {"o": False}
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(story())


def test_a_list_of_the_same_age_begins_nothing_anew() -> None:
    """No policy gets a pass because of LISTs alone."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(with_spec(INSTANCE, poll_interval=10**6))
        for number in range(5):
            harness.cluster.put(policy(f"p{number}", f"o{number}"))
        await harness.start()
        await harness.live(5)
        calls = len(harness.steps.log)
        await harness.live(4 * LIST_INTERVAL)
        made = {step[0] for step in harness.steps.log[calls:]}
        assert made <= {"identify", "authenticate"}
        await harness.stop()

    run(story())
