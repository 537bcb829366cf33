"""Fixtures of the chart's tests: the documents of each file of values in ci/."""

import pytest

from chart.rendering import CASES, Document, render, render_case


@pytest.fixture(params=CASES)
def documents(request: pytest.FixtureRequest) -> list[Document]:
    """The rendered documents, which a test must not change."""
    return render_case(request.param)


@pytest.fixture(scope="session")
def defaults() -> list[Document]:
    """The documents that are rendered without values, which a test must not change."""
    return render()
