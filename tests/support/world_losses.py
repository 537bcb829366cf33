"""The commands by which the read side misses events in random stories."""

from dataclasses import dataclass

from support.world import World
from support.world_choices import PLACES


@dataclass(frozen=True)
class Lose:
    """ZITADEL's read side misses the next event of a kind, whoever causes it."""

    place: int
    kind: str
    org: str

    def run(self, world: World) -> None:
        """Plan the loss; the instance's policy only has events of kind `changed`."""
        zitadel = world.zitadels[PLACES[self.place]]
        kind = self.kind if self.org else "changed"
        if (kind, self.org) not in zitadel.to_lose:
            zitadel.to_lose.append((kind, self.org))


@dataclass(frozen=True)
class ReadSide:
    """ZITADEL's read side stops, or projects all that it has missed."""

    place: int
    stopped: bool = False

    def run(self, world: World) -> None:
        """Stop the read side or let it catch up."""
        zitadel = world.zitadels[PLACES[self.place]]
        if self.stopped:
            zitadel.stopped = True
        else:
            zitadel.catch_up()
