"""The pytest fixtures `zitadel` and `zitadel_server`.

pytest loads this module in each run, so it imports nothing but pytest. The first test
that uses a fixture starts an emulator, which serves all tests of the run (with
pytest-xdist: of the worker).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from zitadel_emulator.testing import EmulatedZitadel


@pytest.fixture(scope="session")
def zitadel_server() -> "Iterator[EmulatedZitadel]":
    """The emulated ZITADEL of this run, for fixtures that live longer than a test.

    URL and token stay the same for the whole run. What a test changes stays until the
    next test that uses `zitadel`.
    """
    from zitadel_emulator.testing import start

    with start() as running:
        yield running


@pytest.fixture
def zitadel(zitadel_server: "EmulatedZitadel") -> "EmulatedZitadel":
    """An emulated ZITADEL that is as new: nothing of other tests is left in it."""
    zitadel_server.reset()
    return zitadel_server
