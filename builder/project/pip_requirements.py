"""Pip's own parser of requirements files, which is bundled and pinned with the builder."""

from __future__ import annotations

import functools
import optparse
import os
import re
import shlex
from collections.abc import Iterator
from optparse import Values
from pathlib import Path
from typing import Final, NoReturn

from pip._internal.exceptions import PipError, RequirementsFileParseError
from pip._internal.req.req_file import (
    OptionParsingError,
    ParsedLine,
    RequirementsFileParser,
    _decode_req_file,
    break_args_options,
    build_parser,
    get_file_content,
    ignore_comments,
    join_lines,
)

from builder.errors import Origin, ProjectError
from builder.project.bounds import check_requirements_file
from builder.project.limited_text import read_limited_bytes
from builder.project.lines import line_of_text, line_where
from builder.project.meant_requirements import likely, remedy_for
from builder.project.requirements_txt import RequirementLine, RequirementsFile
from builder.project.variables import expand
from builder.system.git import find_repository

_MOST_BYTES: Final = 5_000_000
"""Maximum size of a file with its includes; a lock of 300 distributions with hashes has a tenth of it."""

_MOST_FILES: Final = 200
"""Maximum number of included files."""


def parse_requirements_txt(path: Path) -> RequirementsFile:
    """Implementation of `read_requirements_txt`."""
    parser = _Parser(path)
    lines: list[RequirementLine] = []
    options: list[str] = []
    try:
        parsed_lines = list(parser.parse(str(path), constraint=False))
    except PipError as error:
        raise _refusal(path, error) from error
    except (OSError, ValueError, LookupError) as error:
        # LookupError: an unknown encoding in a comment.
        remedy = "Make it a readable UTF-8 text file"
        raise ProjectError(f"`{path}` cannot be read: {error}", remedy=remedy) from error
    for parsed in parsed_lines:
        origin = Origin(Path(parsed.filename), parsed.lineno)
        if parsed.requirement is None:
            options.extend(_options(parsed, origin))
        else:
            lines.append(_line(parsed, parsed.requirement, origin))
    return RequirementsFile(tuple(lines), tuple(options))


class _Parser(RequirementsFileParser):
    """Pip's parser, with restrictions on the variables that `${NAME}` expands to, and on the files that are read.

    :param path: of the first file; included files must be in the same git repository.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(_NoNetwork(), _parse_line)  # type: ignore[arg-type]
        self._path = path
        self._repository = find_repository(path.parent)
        self._left = _MOST_BYTES
        self._files = 0

    def _parse_file(self, filename: str, constraint: bool) -> Iterator[ParsedLine]:  # type: ignore[override]  # noqa: FBT001
        content = self._content(filename, constraint=constraint)
        for number, line in ignore_comments(join_lines(enumerate(content.splitlines(), start=1))):
            expanded = expand(line, Origin(Path(filename), number))
            try:
                requirement, options = self._line_parser(expanded)
            except OptionParsingError as error:
                raise RequirementsFileParseError(f"Invalid requirement: {line}\n{error.msg}") from error
            yield ParsedLine(filename, number, requirement, options, constraint)

    def _content(self, filename: str, *, constraint: bool) -> str:
        if "://" in filename or not os.path.exists(filename):  # noqa: PTH110  (a Path refuses null characters)
            return get_file_content(filename, self._session, constraint=constraint)[1]
        path = Path(filename)
        check_requirements_file(path, self._repository, _including(self._path, path))
        # The total counts: files may include others twice, which include others twice.
        self._files += 1
        if self._files > _MOST_FILES:
            raise ProjectError(
                f"`{self._path.name}` includes files more than {_MOST_FILES} times",
                where=Origin(self._path),
                remedy="Include each file once",
            )
        content = read_limited_bytes(path, self._left)
        self._left -= len(content)
        return _decode_req_file(content, filename)


def _parse_line(line: str) -> tuple[str, Values]:
    """Parse a line as pip's own line parser does (`get_line_parser` without a finder), but without output.

    In pip, optparse writes its usage to stderr. Replacing `sys.stderr` meanwhile would lose the output of other
    threads.
    """
    if line.startswith("- "):
        # Pip ignores the rest of the line.
        raise OptionParsingError("a list's hyphen")
    requirement, options = break_args_options(line)
    if not options:
        return requirement, _no_options()
    parser = build_parser()
    parser.set_usage(optparse.SUPPRESS_USAGE)
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise OptionParsingError(f"Could not split options: {options}") from error
    return requirement, parser.parse_args(words, _defaults(parser))[0]


@functools.cache
def _no_options() -> Values:
    """The options of a line without any; creating a parser for each line would dominate the time."""
    return _defaults(build_parser())


def _defaults(parser: optparse.OptionParser) -> Values:
    # Pip's default is the public index, so a line without an index would seem to name it.
    defaults = parser.get_default_values()
    defaults.index_url = None
    return defaults


def _line(parsed: ParsedLine, text: str, origin: Origin) -> RequirementLine:
    hashes = tuple(
        f"{name}:{digest}" for name, digests in (parsed.opts.hashes or {}).items() for digest in digests
    )
    return RequirementLine(
        text=text.strip(), origin=origin, hashes=hashes, editable=parsed.is_editable, constraint=parsed.constraint
    )


def _options(parsed: ParsedLine, origin: Origin) -> Iterator[str]:
    """The options of a line that apply to all requirements."""
    opts = parsed.opts
    if opts.index_url:
        yield f"--index-url {opts.index_url}"
    for url in opts.extra_index_urls or ():
        yield f"--extra-index-url {url}"
    if opts.no_index:
        yield "--no-index"
    for link in opts.find_links or ():
        yield f"--find-links {_link(link, origin)}"
    for name in sorted(opts.format_control.no_binary):
        yield f"--no-binary {name}"
    for name in sorted(opts.format_control.only_binary):
        yield f"--only-binary {name}"
    if opts.pre:
        yield "--pre"
    if opts.require_hashes:
        yield "--require-hashes"


def _link(link: str, origin: Origin) -> str:
    """A find-links location; pip first tries a path next to the file. Raises ProjectError if it is missing.

    pip would ignore it, and install its distributions from an index.
    """
    if "://" in link or link.startswith("file:"):
        return link
    places = (origin.path.parent / link, Path(link).absolute())
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise ProjectError(
            f"`--find-links` names `{link}`, which does not exist",
            where=origin,
            remedy="Correct the path, add the directory, or remove the line",
        )
    return shlex.quote(os.path.normpath(path))


def _refusal(path: Path, error: Exception) -> ProjectError:
    """The ProjectError for an error of pip's parser, in one line without its usage text."""
    problem = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    place = re.search(r"line (\d+) of (\S+)", str(error))
    missing = re.search(r"requirements file: .*No such file or directory: '(.+)'", str(error))
    if missing and missing[1] != str(path):
        what = f"`{path.name}` includes `{missing[1]}`, which does not exist"
        where = _including(path, Path(missing[1]))
        return ProjectError(what, where=where, remedy="Correct the path or add the file")
    refused = re.search(r"Invalid requirement: (.+)", str(error))
    if place:
        where = Origin(Path(place[2]), int(place[1]))
    else:
        where = line_of_text(refused[1].strip(), path) if refused else Origin(path)
    if refused and likely(refused[1]):
        what = f"`{refused[1].strip()}` is not a valid requirement: it has options in it"
        return ProjectError(what, where=where, remedy=remedy_for(refused[1]))
    what = f"the requirements file cannot be read: {problem.strip()}"
    return ProjectError(what, where=where, remedy="Write it as pip's requirements file format says")


def _including(path: Path, included: Path) -> Origin:
    """The line of a requirements file that includes another."""
    return line_where(path, lambda line: included.name in line and line.lstrip().startswith("-"))


class _NoNetwork:
    """Replaces the network session of pip's parser: an included URL is an error."""

    def get(self, url: str, **_arguments: object) -> NoReturn:
        raise ProjectError(
            f"a requirements file includes `{url}`, which is not a file of the project",
            remedy="Put the included file into the project, so that builds stay reproducible",
        )
