"""Projects of many requirements: how often a manifest is read does not depend on their number."""

from __future__ import annotations

import builtins
import io
from pathlib import Path

import pytest

from builder.project.metadata import Metadata
from builder.project.requirements import RequestedExtras, read_requirements
from builder.resolution.target import serverless_target

HEADS = {
    "project": '[project]\nname = "shop"\nversion = "1"\ndependencies = [{}]\n',
    "group": '[project]\nname = "shop"\nversion = "1"\n[dependency-groups]\ng = [{}]\n',
    "poetry": (
        '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
        '[tool.poetry]\nname = "shop"\nversion = "1"\ndescription = ""\nauthors = []\n'
        "[tool.poetry.dependencies]\n{}\n"
    ),
    "sources": (
        '[project]\nname = "shop"\nversion = "1"\ndependencies = [{}]\n'
        '[[tool.uv.index]]\nname = "own"\nurl = "https://example.com"\n'
        '[tool.uv.sources]\nd0 = {{ index = "own" }}\n'
    ),
}


def no_backend(directory: Path) -> Metadata:
    raise AssertionError(directory)


def opened(directory: Path, head: str, count: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a file of a project with so many requirements is opened."""
    lines = [f"d{n} = '*'" if "poetry" in head else f"'d{n}'," for n in range(count)]
    directory.mkdir()
    (directory / "pyproject.toml").write_text(head.format("\n".join(lines)))
    wanted = RequestedExtras((), ("g",) if "[dependency-groups]" in head else ())
    seen: list[object] = []
    really = io.open

    def counting(file: object, *arguments: object, **more: object) -> object:
        seen.append(file)
        return really(file, *arguments, **more)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(io, "open", counting)
        patch.setattr(builtins, "open", counting)
        requirements = read_requirements(directory, serverless_target("3.11").markers, no_backend, wanted)
    assert [line.origin.line for line in requirements.lines][-1] is not None
    return sum(Path(str(file)).is_relative_to(directory) for file in seen)


@pytest.mark.parametrize("kind", HEADS)
def test_a_manifest_is_not_read_for_each_requirement(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = opened(tmp_path / "few", HEADS[kind], 3, monkeypatch)
    assert few > 0
    assert opened(tmp_path / "many", HEADS[kind], 30, monkeypatch) == few
