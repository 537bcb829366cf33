"""The image, which is built once for all its tests."""

import pytest

from image.building import Image, build
from image.jail import require_namespaces


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The result of `docker build`, except for the base images."""
    require_namespaces(tmp_path_factory.mktemp("empty"))
    return build(tmp_path_factory.mktemp("image"))
