"""How commands wait: until it is so, until the time is over, through an outage."""

from collections.abc import Iterator

import click
import pytest

from zitadel_notification_operator.cli.options import waiting
from zitadel_notification_operator.cli.options.waiting import Duration, poll, spoken
from zitadel_notification_operator.cluster.calls import Forbidden, Refused
from zitadel_notification_operator.core.errors import ClusterError


class Answers:
    """Gives one answer after the other; an error is raised."""

    def __init__(self, *answers: int | ClusterError) -> None:
        self._answers: Iterator[int | ClusterError] = iter(answers)

    async def __call__(self) -> int:
        """Return the next answer."""
        answer = next(self._answers)
        if isinstance(answer, ClusterError):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 0.001)


def outage() -> ClusterError:
    """Return what an API server answers that is starting."""
    return Refused("Kubernetes refused it: 503", "503")


async def test_until_it_is_so() -> None:
    """The last answer comes back; without need nothing is asked twice."""
    assert await poll(Answers(1, 2, 3), lambda n: n == 3, 60) == (3, True)
    assert await poll(Answers(3), lambda n: n == 3, 60) == (3, True)


async def test_until_the_time_is_over() -> None:
    """The first answer is asked for in any case."""
    assert await poll(Answers(1), lambda n: n == 3, 0) == (1, False)


async def test_through_an_outage() -> None:
    """But not where the first call fails, or where a right is missing."""
    answers = Answers(1, outage(), outage(), 3)
    assert await poll(answers, lambda n: n == 3, 60) == (3, True)
    with pytest.raises(Refused):
        await poll(Answers(outage()), lambda n: n == 3, 60)
    with pytest.raises(Forbidden):
        await poll(Answers(1, Forbidden("no")), lambda n: n == 3, 60)


def test_durations() -> None:
    """They are read as Kubernetes writes them, and said so again."""
    kind = Duration()
    assert kind.convert("1m30s", None, None) == 90.0
    assert kind.convert(5.0, None, None) == 5.0
    with pytest.raises(click.BadParameter, match="not a duration"):
        kind.convert("soon", None, None)
    for seconds, text in ((90, "1m30s"), (60, "1m"), (0.5, "0.5s"), (0, "0s")):
        assert spoken(seconds) == text
