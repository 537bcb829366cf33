"""Deletions that no watch reports, or reports late or for a namesake."""

from dataclasses import replace

from support.engines import INSTANCE, Harness, policy
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.policy import DeletionPolicy, ManagementPolicy
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.queue.keys import instance_key, policy_key


class CountedReads(Harness):
    """A harness that records reads of single policies; the watch may lose deletions."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.refuses = False
        read = self.cluster.read_policy

        async def counted(namespace: str, name: str) -> PolicyObject | None:
            self.reads.append(name)
            if self.refuses:
                raise ClusterError("no answer")
            return await read(namespace, name)

        instead_of(self.cluster.read_policy).call(counted)

    def vanish(self, name: str) -> None:
        """Remove a policy while the watch is interrupted."""
        del self.cluster.policies[PolicyKey("own", name)]


def test_an_owner_whose_end_was_not_reported_stands_in_nobodys_way() -> None:
    """A policy without finalizer may be gone, so it is read before a Conflict."""

    async def story() -> None:
        harness = CountedReads()
        retained = replace(policy("old", second=1), deletion=DeletionPolicy.RETAIN)
        harness.cluster.put(retained)
        await harness.start()
        await harness.live(5)
        harness.vanish("old")
        harness.seen(replace(policy("new", second=9), settings=mails(True)))
        await harness.live(2)
        assert harness.reads == ["old"]
        assert harness.ready("new").status == "True"
        assert harness.zitadel.own == {"o": True}
        reasons = [reason for name, reason in harness.recorder.notices if name == "new"]
        assert Reason.CONFLICT not in reasons
        await harness.stop()

    run(story())


def test_an_owner_that_is_there_is_read_seldom() -> None:
    """It is read once a minute, then every five, however many policies conflict."""

    async def story() -> None:
        harness = CountedReads()
        harness.cluster.put(policy("old", second=1))
        await harness.start()
        await harness.live(5)
        for number in range(20):
            harness.seen(policy(f"p{number}", second=9))
        await harness.live(50)
        assert harness.reads == ["old"]
        before = len(harness.steps.log)
        await harness.live(3000)
        # Their retries are spread over the five minutes.
        assert 10 <= len(harness.reads) <= 50
        written = {
            step[1] for step in harness.steps.log[before:] if step[0] == "status"
        }
        assert written <= {"default"}
        await harness.stop()

    run(story())


def test_an_owner_that_cannot_be_read_owns_still() -> None:
    """While Kubernetes does not respond, the cached version counts."""

    async def story() -> None:
        harness = CountedReads()
        harness.cluster.put(policy("old", second=1))
        await harness.start()
        await harness.live(5)
        harness.refuses = True
        harness.seen(policy("new", second=9))
        await harness.live(5)
        assert harness.ready("new").reason == Reason.CONFLICT
        assert [step[0] for step in harness.zitadel.writes()] == ["Create"]
        await harness.stop()

    run(story())


def test_a_successor_whose_end_was_not_reported_prevents_no_reset() -> None:
    async def story() -> None:
        harness = CountedReads()
        harness.cluster.put(policy("a", second=1))
        await harness.start()
        await harness.live(5)
        harness.seen(policy("b", second=2))
        await harness.live(5)
        assert harness.ready("b").reason == Reason.CONFLICT
        harness.vanish("b")
        harness.seen(replace(harness.policy("a"), deleting=True, generation=2))
        await harness.live(5)
        assert harness.cluster.policies == {}
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())


def test_a_successor_that_has_just_gone_gets_nothing() -> None:
    """It goes before it gets the original, so the deletion undoes the setting."""

    async def story() -> None:
        harness = CountedReads()
        harness.cluster.put(policy("a", second=1))
        await harness.start()
        await harness.live(5)
        harness.seen(replace(policy("b", second=2), suspended=True))
        await harness.live(5)
        read = harness.cluster.read_policy

        async def late(namespace: str, name: str) -> PolicyObject | None:
            found = await read(namespace, name)
            if name == "b" and found is not None:
                harness.vanish("b")
            return found

        instead_of(harness.cluster.read_policy).call(late)
        harness.seen(replace(harness.policy("a"), deleting=True, generation=2))
        await harness.live(5)
        assert harness.cluster.policies == {}
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())


def test_late_news_of_a_policy_that_has_ended_brings_nothing_back() -> None:
    """A watch event in transit, or the response to a write, comes after the end."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        engine = await harness.start()
        await harness.live(5)
        dying = replace(harness.policy("p"), deleting=True, generation=2)
        harness.seen(dying)
        await harness.live(5)
        assert harness.cluster.policies == {}
        before = len(harness.steps.log)
        engine.watch_events.seen(replace(dying, resource_version="9999"))
        await harness.live(60)
        assert harness.parts is not None
        assert harness.parts.inventory.policies == {}
        # The instance's status has one policy less; there is no call for the policy.
        new = set(harness.steps.log[before:])
        assert new <= {("identify",), ("authenticate",), ("status", "default")}
        assert harness.recorder.notices.count(("p", "Deleted")) == 1
        await harness.stop()

    run(story())


def test_an_older_namesake_does_not_replace_a_newer_one() -> None:
    """The new object is read before the last watch event of the old one."""

    async def story() -> None:
        harness = Harness()
        first = harness.cluster.put(policy("p"))
        engine = await harness.start()
        await harness.live(5)
        del harness.cluster.policies[first.key]
        harness.seen(replace(policy("p"), uid="new", settings=mails(True)))
        engine.watch_events.seen(replace(first, resource_version="2"))
        engine.watch_events.seen(
            replace(first, uid="never known", resource_version="1")
        )
        engine.watch_events.gone(policy_key(first.key), first.uid)
        await harness.live(5)
        assert harness.policy("p").uid == "new"
        assert harness.ready("p").status == "True"
        assert harness.zitadel.own == {"o": True}
        await harness.stop()

    run(story())


def test_the_end_of_an_instance_is_not_that_of_its_namesake() -> None:
    """A recreated instance is served when the old one's deletion arrives late."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        engine = await harness.start()
        await harness.live(5)
        harness.instance_seen(replace(INSTANCE, uid="i2"))
        await harness.live(5)
        engine.watch_events.gone(instance_key("default"), "i")
        late = replace(INSTANCE, grants=(), resource_version="9999")
        engine.watch_events.seen(late)
        await harness.live(5)
        assert harness.parts is not None
        assert harness.parts.inventory.instances["default"].uid == "i2"
        stored = harness.policy("p")
        harness.seen(replace(stored, settings=mails(True), generation=2))
        await harness.live(5)
        assert harness.zitadel.own == {"o": True}
        await harness.stop()

    run(story())


def test_what_has_ended_is_not_remembered_for_ever() -> None:
    async def story() -> None:
        harness = Harness()
        engine = await harness.start()
        await harness.live(5)
        for number in range(50):
            observed = replace(
                policy("p"), uid=f"u{number}", management=ManagementPolicy.OBSERVE
            )
            harness.seen(observed)
            engine.watch_events.gone(policy_key(observed.key), observed.uid)
            del harness.cluster.policies[observed.key]
        assert harness.parts is not None
        assert "u49" in harness.parts.inventory.deleted_uids
        await harness.live(2000)
        assert "u49" not in harness.parts.inventory.deleted_uids
        await harness.stop()

    run(story())
