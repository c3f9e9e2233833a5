"""Finding Jinja's templates in a `dagster_cloud.yaml`: `dagster-cloud ci template` renders them, a build does not.

The settings of an agent, `container_context`, may contain templates for other programs, such as Vault's agent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from builder.errors import Origin, ProjectError
from builder.project.yaml_file import YamlFile

_TEMPLATE: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")
_Key = tuple[str | int, ...]


def load_rendered(path: Path) -> YamlFile:
    """Read a workspace file; raises ProjectError, with the line, for an unrendered template."""
    try:
        document = YamlFile.load(path)
    except ProjectError as error:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        for number, line in enumerate(lines, start=1):
            if match := _TEMPLATE.search(re.sub(r"(^|\s)#.*", "", line)):
                raise _unrendered(match[0], Origin(path, number)) from error
        raise
    for key, text in _texts(document.data, ()):
        if match := _TEMPLATE.search(text):
            raise _unrendered(match[0], document.origin(*key))
    return document


def _texts(value: object, key: _Key) -> Iterator[tuple[_Key, str]]:
    if isinstance(value, str):
        yield key, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        if name != "container_context":
            yield from _texts(child, (*key, name))


def _unrendered(text: str, where: Origin) -> ProjectError:
    return ProjectError(
        f"`{text}` is to be rendered by Jinja, which a build does not do",
        where=where,
        remedy="Render the file first, and give the result:"
        " `dagster-cloud ci template --value NAME=VALUE > rendered.yaml`",
    )
