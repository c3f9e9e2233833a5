"""What the tests of packages' images share: the yard, in which one image is built and pushed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from builder.system import storage
from tests.support.container_registry import serving_containers
from tests.support.containers import container_settings, push_base, require_programs
from tests.support.image_yard import Yard, make_shelf, make_wheelhouse
from tests.support.index import serving


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Yard]:
    """A yard in which the image of `dagster-webserver` is built and pushed."""
    require_programs()
    assert pytestconfig.cache is not None
    root = tmp_path_factory.mktemp("images")
    make_wheelhouse(root / "wheelhouse", make_shelf(root / "shelf"))
    (root / "registry").mkdir()
    with serving(root / "shelf") as index, serving_containers(root / "registry") as registry:
        push_base(registry, pytestconfig.cache.mkdir("container-base"))
        with container_settings(root, registry) as containers:
            place = Yard(root, index, registry, containers, storage.cache_directory())
            place.image("dagster-webserver").succeeded()
            place.push("dagster-webserver").succeeded()
            yield place
