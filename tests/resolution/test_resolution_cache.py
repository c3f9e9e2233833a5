"""When a resolution that the cache remembers is used again."""

from __future__ import annotations

from pathlib import Path

from builder.project.requirements import Requirements
from builder.resolution import resolution_cache
from builder.resolution.indexes import read_indexes
from tests.support.indexed_project import TARGET, IndexedProject, put


def test_a_resolution_is_used_again_only_while_nothing_but_the_public_index_and_this_machine_has_a_say(
    indexed: IndexedProject,
) -> None:
    requirements = Requirements(directory=indexed.root / "project")

    def remembered() -> Path | None:
        return resolution_cache.entry_path(requirements, TARGET, read_indexes(requirements.directory))

    indexed.monkeypatch.delenv("UV_HTTP_RETRIES")
    plain = remembered()
    assert plain
    indexed.configure(PIP_FIND_LINKS=str(indexed.public.directory))
    before = remembered()
    assert before == remembered() != plain
    put(indexed.public, "lib", "1.0")
    assert remembered() not in {None, plain, before}
    limits = indexed.root / "limits.txt"
    limits.write_text("lib<2\n")
    indexed.configure(PIP_CONSTRAINT=str(limits))
    limited = remembered()
    assert limited == remembered() != before
    limits.write_text("lib<2.1\n")
    assert remembered() not in {None, limited}
    for includes in ("-c more.txt\n", "lib @ https://index.example.invalid/lib-1.0-py3-none-any.whl\n"):
        limits.write_text(includes)
        assert remembered() is None
    limits.write_text("lib<2\n")
    indexed.configure(PIP_EXTRA_INDEX_URL="https://index.example.invalid/simple")
    assert remembered() is None
