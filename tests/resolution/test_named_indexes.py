"""The named indexes of a project, and what uses their passwords."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import ResolutionError
from builder.resolution.indexes import read_indexes
from tests.support.index import USER
from tests.support.indexed_project import SECRET, IndexedProject, index_table, project_of, put


def test_a_source_that_names_an_index_is_obeyed(indexed: IndexedProject) -> None:
    put(indexed.private, "acme", "1.0")
    put(indexed.public, "acme", "99.0")
    put(indexed.public, "lib", "2.0")
    put(indexed.private, "lib", "1.0")
    indexed.configure(
        PIP_INDEX_URL=indexed.public.url, UV_INDEX_OUR_OWN_USERNAME=USER, UV_INDEX_OUR_OWN_PASSWORD=SECRET
    )
    table = index_table(indexed.private.url, 'explicit = true\n[tool.uv.sources]\nacme = { index = "our-own" }')
    assert indexed.versions("lib\n", project_of('"acme"', table)) == {"acme": "1.0", "lib": "2.0"}
    assert not indexed.public.asked_for("acme")
    assert not indexed.private.asked_for("lib")


def test_a_requirement_that_its_index_cannot_satisfy_is_named(indexed: IndexedProject) -> None:
    put(indexed.private, "acme", "1.0")
    indexed.configure(UV_DEFAULT_INDEX=indexed.public.url)
    table = index_table(
        indexed.private.full_url, 'explicit = true\n[tool.uv.sources]\nacme = { index = "our-own" }'
    )
    with pytest.raises(ResolutionError) as caught:
        indexed.resolve("", project_of('"acme>=2"', table))
    assert str(caught.value.where) == f"{indexed.root / 'project' / 'pyproject.toml'}:4"


@pytest.mark.parametrize(
    "url, warnings",
    [
        ("http://index.test/simple", 1),
        ("https://index.test/simple", 0),
        ("http://127.0.0.1:1/simple", 0),
    ],
)
def test_a_password_that_goes_unencrypted_to_another_machine_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, warnings: int
) -> None:
    """A pull request may change the URL of a private index."""
    (tmp_path / "pyproject.toml").write_text(f'[[tool.uv.index]]\nname = "priv"\nurl = "{url}"\n')
    assert not read_indexes(tmp_path).notices
    monkeypatch.setenv("UV_INDEX_PRIV_PASSWORD", "x")
    texts = [notice.text for notice in read_indexes(tmp_path).notices]
    assert len(texts) == warnings
    assert all(url in text for text in texts)
