"""Several package indexes: which one a package is taken from, and which settings stand above others."""

from __future__ import annotations

import pytest
from pip._internal.models.index import PyPI

from builder.errors import ResolutionError
from builder.resolution.indexes import read_indexes
from tests.support.commands import make_sdist, write_tree
from tests.support.indexed_project import SECRET, IndexedProject, index_table, project_of, put, put_dagster
from tests.support.wheels import make_wheel


@pytest.mark.parametrize("how", ["environment", "pip.conf", "requirements.txt", "uv"])
def test_a_private_package_is_never_taken_from_where_everybody_can_publish(
    indexed: IndexedProject, how: str
) -> None:
    put(indexed.private, "acme", "1.0")
    put(indexed.public, "acme", "99.0")
    public, private = indexed.public.url, indexed.private.full_url
    if how == "environment":
        indexed.configure(PIP_INDEX_URL=public, PIP_EXTRA_INDEX_URL=private)
    elif how == "pip.conf":
        indexed.pip_conf(f"index-url = {public}\nextra-index-url =\n    {private}")
    elif how == "uv":
        indexed.configure(UV_DEFAULT_INDEX=public, UV_INDEX=private)
    options = f"--index-url {public}\n--extra-index-url {private}\n" if how == "requirements.txt" else ""
    assert indexed.versions(f"{options}acme\n") == {"acme": "1.0"}
    assert not indexed.public.asked_for("acme")


def test_a_public_package_is_shadowed_by_a_private_one(indexed: IndexedProject) -> None:
    put(indexed.public, "lib", "2.0")
    put(indexed.private, "lib", "1.5")
    put(indexed.public, "other", "1.0")
    indexed.configure(PIP_INDEX_URL=indexed.public.url, PIP_EXTRA_INDEX_URL=indexed.private.full_url)
    assert indexed.versions("lib\nother\n") == {"lib": "1.5", "other": "1.0"}


@pytest.mark.parametrize("how", ["configured", "requirements.txt"])
def test_the_public_index_comes_last_although_it_is_the_extra_one(indexed: IndexedProject, how: str) -> None:
    ours = "https://index.example.invalid/simple"
    options = [f"--index-url {ours}", f"--extra-index-url {PyPI.simple_url}/"] if how != "configured" else []
    if not options:
        indexed.configure(PIP_INDEX_URL=ours, PIP_EXTRA_INDEX_URL=PyPI.simple_url)
    assert read_indexes(indexed.root, options).options == (f"--extra-index-url {ours}",)


def test_the_public_index_comes_last_although_requirements_txt_adds_it_to_one_of_uv(
    indexed: IndexedProject,
) -> None:
    indexed.configure(UV_DEFAULT_INDEX="ours=https://index.example.invalid/simple")
    found = read_indexes(indexed.root, [f"--extra-index-url {PyPI.simple_url}"])
    assert found.options == ()
    assert found.environment["UV_INDEX"] == "ours=https://index.example.invalid/simple"
    assert found.environment["UV_DEFAULT_INDEX"] == ""


def test_what_only_another_index_has_is_an_error_that_names_the_setting(indexed: IndexedProject) -> None:
    put(indexed.public, "lib", "2.0")
    put(indexed.private, "lib", "1.5")
    indexed.configure(PIP_INDEX_URL=indexed.public.url, PIP_EXTRA_INDEX_URL=indexed.private.full_url)
    with pytest.raises(ResolutionError) as caught:
        indexed.resolve("lib>=2\n")
    remedy = str(caught.value.remedy)
    assert f"`lib` is taken from {indexed.private.url} only" in remedy
    assert "UV_INDEX_STRATEGY=unsafe-best-match" in remedy
    assert SECRET not in str(vars(caught.value))
    indexed.configure(UV_INDEX_STRATEGY="unsafe-best-match")
    assert indexed.versions("lib>=2\n") == {"lib": "2.0"}


def test_what_uv_is_told_stands_above_what_pip_is_told(indexed: IndexedProject) -> None:
    put(indexed.public, "lib", "1.0")
    put(indexed.private, "lib", "2.0")
    indexed.configure(UV_DEFAULT_INDEX=indexed.public.url, PIP_EXTRA_INDEX_URL=indexed.private.full_url)
    assert indexed.versions("lib\n") == {"lib": "1.0"}
    assert indexed.private.requests == []


@pytest.mark.parametrize("configured", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX"])
def test_an_index_in_requirements_txt_stands_above_what_is_configured(
    indexed: IndexedProject, configured: str
) -> None:
    put_dagster(indexed.private)
    indexed.configure(**{configured: indexed.public.url})
    assert indexed.versions(f"--index-url {indexed.private.full_url}\n") == {}
    assert indexed.public.requests == []


def test_an_extra_index_in_requirements_txt_is_added_to_what_is_configured(indexed: IndexedProject) -> None:
    put(indexed.private, "acme", "1.0")
    indexed.configure(PIP_INDEX_URL=indexed.public.url)
    assert indexed.versions(f"--extra-index-url {indexed.private.full_url}\nacme\n") == {"acme": "1.0"}


@pytest.mark.parametrize("how", ["find-links", "extra index"])
def test_directories_of_this_machine_add_to_what_the_index_has(indexed: IndexedProject, how: str) -> None:
    directory = indexed.root / "räder und mehr"
    directory.mkdir()
    put(indexed.public, "lib", "2.0")
    put(directory, "lib", "1.5")
    put(directory, "acme", "1.0")
    put(indexed.public, "tool", "1.0")
    put(directory, "tool", "1.1")
    for where in (indexed.public, directory):
        put(where, "both", "1.0")
    for name in ("lib", "acme", "tool", "both"):
        links = "".join(f'<a href="../{wheel.name}">{wheel.name}</a>' for wheel in directory.glob(f"{name}-*.whl"))
        write_tree(directory / name, {"index.html": f"<!DOCTYPE html><html><body>{links}</body></html>"})
    indexed.configure(PIP_INDEX_URL=indexed.public.url)
    requirements = f"--find-links '{directory}'\nacme\nlib\ntool\n"
    if how == "extra index":
        indexed.configure(PIP_EXTRA_INDEX_URL=directory.as_uri())
        requirements = "acme\nlib\ntool\nboth\n"
    versions = indexed.versions(requirements)
    assert (versions["acme"], versions["lib"], versions["tool"]) == ("1.0", "2.0", "1.1")
    text = indexed.resolve(requirements).text
    assert 'path = "../räder und mehr/acme-1.0-py3-none-any.whl"' in text
    assert "räder und mehr/both" not in text
    assert str(indexed.root) not in text


def test_find_links_without_an_index(indexed: IndexedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(indexed.root)
    indexed.configure(PIP_FIND_LINKS="public", PIP_NO_INDEX="1")
    put(indexed.public, "acme", "1.0")
    assert indexed.versions("acme\n") == {"acme": "1.0"}
    assert indexed.public.requests == []


BACKEND = """
import os, zipfile

def build_wheel(directory, settings=None, metadata=None):
    assert not [name for name, value in os.environ.items() if "s3cr3t" in value]
    with zipfile.ZipFile(os.path.join(directory, "built-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("built-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: built\\nVersion: 1.0\\n")
        wheel.writestr("built-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n")
        wheel.writestr("built-1.0.dist-info/RECORD", "")
    return "built-1.0-py3-none-any.whl"
"""


@pytest.mark.parametrize("how", ["environment", "pip.conf", "pyproject.toml", "requirements.txt"])
def test_what_builds_need_comes_from_the_same_indexes(indexed: IndexedProject, how: str) -> None:
    make_wheel(indexed.private.directory, {"ourbackend.py": BACKEND}, name="ourbackend", version="1.0")
    build_system = '[build-system]\nrequires = ["ourbackend"]\nbuild-backend = "ourbackend"\n'
    make_sdist(indexed.private.directory, {"pyproject.toml": build_system}, name="built")
    put(indexed.public, "ourbackend", "99.0")
    put_dagster(indexed.private)
    files, options = {}, ""
    if how == "environment":
        indexed.configure(PIP_INDEX_URL=indexed.public.url, PIP_EXTRA_INDEX_URL=indexed.private.full_url)
    elif how == "pip.conf":
        indexed.pip_conf(f"index-url = {indexed.public.url}\nextra-index-url = {indexed.private.full_url}")
    elif how == "pyproject.toml":
        files = project_of("", index_table(indexed.private.full_url, "default = true"))
    else:
        options = f"--index-url {indexed.private.full_url}\n"
    assert indexed.versions(f"{options}built\n", files) == {"built": "1.0"}
    assert not indexed.public.asked_for("ourbackend")
