"""pip's configuration: its files and environment variables, as `pip config debug` lists them.

They are read here: pip's own reader needs a tenth of the time of a build whose files are all in the cache, since
importing it also imports what pip shows on a terminal.
"""

from __future__ import annotations

import configparser
import locale
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from builder.errors import Notice, Origin, ToolError
from builder.terminal.formatting import quoted

_SECTIONS: Final = ("global", "install", ":env:")
"""Sections of pip's configuration, in order of increasing precedence."""

# Options that change what `pip install` selects and have no equivalent in uv.
_WITHOUT_EQUIVALENT: Final = frozenset(
    {
        *("abi", "all-releases", "build-constraint", "config-settings", "group", "ignore-requires-python"),
        *("implementation", "no-build-isolation", "no-deps", "only-deps", "only-final", "platform"),
        *("prefer-binary", "python-version", "require-hashes", "requirement", "requirements-from-script"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipConfiguration:
    """pip's configuration. URLs may hold credentials, which must never be printed.

    :param index_url: the default index, or empty for the public one.
    :param find_links: URLs and absolute paths.
    :param options: the binary options, constraints and `--pre`, as lines of a requirements file.
    :param uploaded_before: a date or a duration; files uploaded later are ignored.
    :param proxy: a URL, or empty.
    :param certificates: a file of certificate authorities to trust, or empty.
    :param client_certificate: a file with a private key and its certificate, or empty.
    """

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    options: tuple[str, ...] = ()
    uploaded_before: str = ""
    trusted_hosts: tuple[str, ...] = ()
    keyring: bool = False
    proxy: str = ""
    certificates: str = ""
    client_certificate: str = ""
    notices: tuple[Notice, ...] = ()

    @property
    def constraints(self) -> tuple[str, ...]:
        """The constraint files among the options: URLs and absolute paths."""
        prefix = "--constraint "
        return tuple(option.removeprefix(prefix) for option in self.options if option.startswith(prefix))


def read_pip_configuration() -> PipConfiguration:
    """Read the configuration that `pip install` would use; raises ToolError if pip cannot read it."""
    values = _values()

    def words(name: str) -> tuple[str, ...]:
        return tuple(values.get(name, "").split())

    return PipConfiguration(
        index_url=values.get("index-url", values.get("pypi-url", "")),
        extra_index_urls=words("extra-index-url"),
        find_links=tuple(_absolute(link) for link in words("find-links")),
        no_index=_is_true(values, "no-index"),
        options=tuple(_options(values)),
        uploaded_before=values.get("uploaded-prior-to", ""),
        trusted_hosts=words("trusted-host"),
        keyring=values.get("keyring-provider") in {"import", "subprocess"},
        proxy=_with_scheme(values.get("proxy", "")),
        certificates=_absolute(values.get("cert", "")),
        client_certificate=_absolute(values.get("client-cert", "")),
        notices=tuple(_notices(values)),
    )


def _values() -> Mapping[str, str]:
    """Values by long option name, as pip's own option parser reads them."""
    sections: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for path in _files():
        parser = _Parser()
        try:
            parser.read(path, encoding=locale.getpreferredencoding(do_setlocale=False))
        except (configparser.Error, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from error
        for section in sections.keys() & set(parser.sections()):
            sections[section] |= parser.items(section)
    variables = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    sections[":env:"] |= {_option_name(name.removeprefix("PIP_")): value for name, value in variables.items()}
    return {name: value for section in sections.values() for name, value in section.items() if value}


def _files() -> Iterator[Path]:
    """The files that pip reads, in order of increasing precedence, whether or not they exist."""
    chosen = os.environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return
    if sys.platform == "darwin":
        directories = platformdirs.site_data_dir("pip", appauthor=False, multipath=True).split(os.pathsep)
        users = platformdirs.user_data_path("pip", appauthor=False)
        users = users if users.is_dir() else Path.home() / ".config" / "pip"
    else:
        directories = platformdirs.site_config_dir("pip", appauthor=False, multipath=True).split(os.pathsep)
        directories.append("/etc")
        users = platformdirs.user_config_path("pip", appauthor=False)
    yield from (Path(directory, "pip.conf") for directory in directories)
    if not (chosen and Path(chosen).exists()):
        yield from (Path(_absolute("~/.pip/pip.conf")), users / "pip.conf")
    yield Path(sys.prefix, "pip.conf")
    if chosen:
        yield Path(chosen)


class _Parser(configparser.RawConfigParser):
    """A parser whose names are those of long options."""

    def optionxform(self, name: str) -> str:
        return _option_name(name)


def _option_name(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _unreadable(path: Path, error: Exception) -> ToolError:
    # The message of an error quotes the line, which may hold a password: show only the file and line number.
    line = re.search(r"\bline:?\s+(\d+)", str(error))
    return ToolError(
        "pip's configuration cannot be read",
        where=Origin(path, int(line[1]) if line else None),
        remedy="Correct it: `pip config debug` lists the files that pip reads",
    )


def _options(values: Mapping[str, str]) -> Iterator[str]:
    for option in ("no-binary", "only-binary"):
        # `:none:` resets the values before it.
        names = re.split(r"[\s,]+", values.get(option, "").rpartition(":none:")[2])
        yield from (f"--{option} {name}" for name in names if name)
    for constraints in values.get("constraint", "").split():
        yield f"--constraint {_absolute(constraints)}"
    if _is_true(values, "pre"):
        yield "--pre"


def _notices(values: Mapping[str, str]) -> Iterator[Notice]:
    ignored = sorted(_WITHOUT_EQUIVALENT.intersection(values))
    if ignored:
        yield Notice(
            f"pip's configuration sets {quoted(ignored)}, which has no effect here; say what you need of it in the"
            " requirements"
        )


def _is_true(values: Mapping[str, str], name: str) -> bool:
    return values.get(name, "").lower() in {"y", "yes", "t", "true", "on", "1"}


def _absolute(place: str) -> str:
    """Make a path absolute. pip's paths are relative to the builder's working directory, uv runs in another."""
    if not place or "://" in place or place.startswith("file:"):
        return place
    return os.path.abspath(os.path.expanduser(place))  # noqa: PTH100, PTH111  (also for what is no path yet)


def _with_scheme(proxy: str) -> str:
    """Add `http://` to a proxy of the form `[user:password@]host:port`, as pip does."""
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy
