"""YAML files with the line of each value, safe to read even if they are hostile."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from builder.errors import Origin, ProjectError
from builder.project.limited_text import read_limited

if TYPE_CHECKING:
    import yaml

_MOST_BYTES: Final = 256_000
"""Maximum size; parsed in two seconds. A workspace of a thousand locations is smaller."""

_DEEPEST: Final = 200
"""Maximum nesting of brackets."""

_MOST_VALUES: Final = 100_000
"""Maximum number of values with all aliases expanded; a workspace of a thousand locations has fewer."""


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A YAML file that was read.

    :param node: the parsed text; None if the file is empty.
    """

    path: Path
    node: yaml.Node | None
    data: object

    @classmethod
    def load(cls, path: Path) -> YamlFile:
        """Read a file; raises ProjectError, with the line, if it is unreadable, not YAML, or harmful."""
        # Importing PyYAML takes 15 ms, and a project of `dg` has no YAML file.
        from builder.project.yaml_loader import Loader, yaml  # noqa: PLC0415

        text = read_limited(path, _MOST_BYTES, missing="Give the path of your dagster_cloud.yaml")
        _check_depth(text, path)
        try:
            # PyYAML accepts a byte order mark at the beginning.
            loader = Loader(text)
            node = loader.get_single_node()
            if node is not None:
                _check_aliases(node, path)
                _check_nodes(node, path)
            data = loader.construct_document(node) if node is not None else None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = Origin(path, mark.line + 1 if mark else None)
            problem = re.sub(r"\s+", " ", error.problem or "it cannot be parsed")
            raise ProjectError(
                f"the file is not valid YAML: {problem}", where=where, remedy=_remedy(text, mark, problem)
            ) from error
        except (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError) as error:
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            if isinstance(error, RecursionError):
                problem = "it is nested too deeply"
            elif isinstance(error, LookupError | AttributeError):
                # PyYAML raises these for values such as `!!bool x`.
                problem = "a value does not fit the tag that is written before it"
            raise ProjectError(
                f"the file is not valid YAML: {problem}", where=Origin(path), remedy="Correct it"
            ) from error
        return cls(path, node, data)

    def mapping(self, key: tuple[str | int, ...], what: str, remedy: str) -> Mapping[str, object]:
        """The mapping at `key`; raises ProjectError if the value is something else.

        :param what: its name in the error.
        :param remedy: of the error.
        """
        value = self.data
        for part in key:
            value = value[part]  # type: ignore[index]  # callers have checked the levels above
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            where = self.origin(*key)
            raise ProjectError(f"{what} is not a mapping of names to values", where=where, remedy=remedy)
        return value

    def has(self, *key: str | int) -> bool:
        """Whether there is a value other than null at `key`."""
        value = self.data
        try:
            for part in key:
                value = value[part]  # type: ignore[index]  # what cannot be asked is an error
        except (KeyError, IndexError, TypeError):
            return False
        return value is not None

    def origin(self, *key: str | int) -> Origin:
        """The line of the node at `key`, or of its deepest existing parent."""
        node = self.node
        line = node.start_mark.line + 1 if node else None
        for part in key:
            # The nodes of a sequence, or the pairs of nodes of a mapping.
            children = node.value if node is not None and isinstance(node.value, list) else []
            pairs = [child for child in children if isinstance(child, tuple)]
            if isinstance(part, int) and not pairs and part < len(children):
                node = children[part]
                line = node.start_mark.line + 1
                continue
            match = next(((name, value) for name, value in pairs if name.value == part), None)
            if match is None:
                break
            line, node = match[0].start_mark.line + 1, match[1]
        return Origin(self.path, line)


def _remedy(text: str, mark: yaml.Mark | None, problem: str) -> str:
    """The remedy for a syntax error, for readers who do not know YAML's grammar."""
    line = text.splitlines()[mark.line].strip() if mark and mark.line < len(text.splitlines()) else ""
    if "'\\t'" in problem:
        return "Indent that line with spaces; YAML takes no tabs"
    if "constructor for the tag" in problem and (tag := re.search(r"!\S+", line)):
        return f"Write the value without `{tag[0]}`"
    if "block end" in problem and line:
        return f"Indent `{line[:60]}` as far as the lines that it belongs to"
    return "Correct that line"


def _check_depth(text: str, path: Path) -> None:
    """Refuse deeply nested brackets before parsing: PyYAML takes seconds for a few thousand."""
    depth = 0
    for match in re.finditer(r"[\[{\]}]", text):
        depth += 1 if match[0] in "[{" else -1
        if depth > _DEEPEST:
            line = text.count("\n", 0, match.start()) + 1
            raise ProjectError(
                "the file is not valid YAML: it is nested too deeply",
                where=Origin(path, line),
                remedy="Correct that line",
            )


def _check_aliases(root: yaml.Node, path: Path) -> None:
    """Refuse circular aliases, and aliases that expand a short file to a huge one."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            known = sizes[id(node)]
            if known is None:
                where = Origin(path, node.start_mark.line + 1)
                raise ProjectError("a value in the file contains itself", where=where, remedy="Remove its alias")
            return known
        sizes[id(node)] = None
        children = node.value if isinstance(node.value, list) else ()
        pairs = (child if isinstance(child, tuple) else (child,) for child in children)
        total = 1 + sum(size(child) for pair in pairs for child in pair)
        sizes[id(node)] = total
        return total

    if size(root) > _MOST_VALUES:
        raise ProjectError(
            f"the aliases in the file multiply it to more than {_MOST_VALUES} values",
            where=Origin(path),
            remedy="Write the values where they are needed, or use fewer aliases",
        )


def _check_text(node: yaml.Node, path: Path) -> None:
    """Refuse surrogates, such as `\ud800`, which no file and no request can contain."""
    if not node.value.isascii() and re.search("[\ud800-\udfff]", node.value):
        where = Origin(path, node.start_mark.line + 1)
        raise ProjectError("a text has an unpaired surrogate in it", where=where, remedy="Correct that line")


def _check_nodes(root: yaml.Node, path: Path) -> None:
    """Refuse surrogates and duplicate keys of a mapping, of which PyYAML would use the last.

    A failed merge in git leaves such keys.
    """
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if isinstance(node.value, str):
            _check_text(node, path)
        if id(node) in seen or not isinstance(node.value, list):
            continue
        seen.add(id(node))
        lines: dict[tuple[str, str], int] = {}
        for child in node.value:
            if not isinstance(child, tuple):
                pending.append(child)
                continue
            key, value = child
            pending += [key, value]
            # Several `<<` are several merges.
            if not isinstance(key.value, str) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            first = lines.get((key.tag, key.value))
            lines[key.tag, key.value] = line
            if first is not None:
                raise ProjectError(
                    f"`{key.value}` is written twice in one mapping, in line {first} and in line {line}",
                    where=Origin(path, line),
                    remedy="Put both together under one key, or remove one of them",
                )
