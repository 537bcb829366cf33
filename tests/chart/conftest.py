"""What tests of the chart share: the documents of each file of values under ci/."""

import pytest

from chart.rendering import CASES, Document, render, render_case


@pytest.fixture(params=CASES)
def documents(request: pytest.FixtureRequest) -> list[Document]:
    """What the chart renders; change none of it."""
    return render_case(request.param)


@pytest.fixture(scope="session")
def defaults() -> list[Document]:
    """What the chart renders when nothing is set; change none of it."""
    return render()
