"""Reading pdm's index settings, `[[tool.pdm.source]]`."""

from __future__ import annotations

from pathlib import Path

from builder.project.toml_file import TomlFile


def pdm_index_options(directory: Path) -> list[str]:
    """The indexes of a project that uses pdm, as index options of pip, in order of precedence.

    A project uses pdm if it has a pdm.lock, pdm's build backend, or a `[tool.pdm]` and no `[build-system]`. The
    source called `pypi` replaces the public index.
    """
    pyproject = TomlFile.pyproject(directory)
    sources = pyproject.table("tool", "pdm").get("source")
    backend = str(pyproject.table("build-system").get("build-backend", ""))
    if backend and not backend.startswith("pdm") and not (directory / "pdm.lock").is_file():
        return []
    urls = {
        str(source.get("name", "")): str(source["url"])
        for source in (sources if isinstance(sources, list) else [])
        if isinstance(source, dict) and "url" in source
    }
    instead = urls.pop("pypi", None)
    options = [f"--extra-index-url {url}" for url in urls.values()]
    return [*options, f"--index-url {instead}"] if instead else options
