"""What the bench computes by itself."""

from bench.run import ratios_to_floor


def test_figures_are_compared_with_the_floor_of_the_same_zitadel() -> None:
    """A figure without a floor has no ratio."""
    figures = {
        "create.seconds": 12.0,
        "floor.create.seconds": 8.0,
        "slow.create.seconds": 30.0,
        "slow.floor.create.seconds": 20.0,
        "edit.seconds": 5.0,
        "floor.delete.seconds": 5.0,
    }
    assert ratios_to_floor(figures) == {
        "create.seconds_floor": 1.5,
        "slow.create.seconds_floor": 1.5,
    }
