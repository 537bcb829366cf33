"""The image, made once for all tests of it."""

import pytest

from image.building import Image, build
from image.jail import require_namespaces


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What `docker build` would make, but for its bases."""
    require_namespaces(tmp_path_factory.mktemp("empty"))
    return build(tmp_path_factory.mktemp("image"))
