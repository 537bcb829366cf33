"""What `Repairs` does after each periodic LIST while there is nothing to repair."""

from support.virtual_time import run
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.engine.calls.repairs import Repairs


def test_nobody_looks_at_all_policies_while_no_contradiction_waits() -> None:
    """That took 0.7 s with 100,000 policies, in which nothing else happened."""
    asked: list[str] = []

    def wanted() -> set[Target]:
        asked.append("wanted")
        return set()

    async def lived() -> None:
        Repairs(wanted, asked.append).keep(lambda _: True)

    run(lived())
    assert asked == []
