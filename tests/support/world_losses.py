"""What the read side misses in random stories: plain values, as other commands."""

from dataclasses import dataclass

from support.world import World
from support.world_choices import PLACES


@dataclass(frozen=True)
class Lose:
    """ZITADEL's read side misses the next event of a kind, whoever makes it."""

    place: int
    kind: str
    org: str

    def run(self, world: World) -> None:
        """Plan it; the instance's policy knows changes alone."""
        zitadel = world.zitadels[PLACES[self.place]]
        kind = self.kind if self.org else "changed"
        if (kind, self.org) not in zitadel.to_lose:
            zitadel.to_lose.append((kind, self.org))


@dataclass(frozen=True)
class ReadSide:
    """ZITADEL's read side stands still, or takes all that it has missed."""

    place: int
    stopped: bool = False

    def run(self, world: World) -> None:
        """Set it."""
        zitadel = world.zitadels[PLACES[self.place]]
        if self.stopped:
            zitadel.stopped = True
        else:
            zitadel.catch_up()
