"""Package indexes: the configuration of pip, uv and the project, merged into one.

1. Index options of the requirements file take precedence over both configurations, as with pip: `--index-url`
   replaces the configured index, all other options are added.
2. If uv is configured with any index, uv's configuration is used, and pip's only for how hosts are reached (proxy,
   certificates).
3. Otherwise pip's configuration is translated.

A package is taken from the first index that has it, whatever versions the others have. The order is: extra
indexes, the default index, and the public index last. So nobody can replace a private package by publishing a
higher version on the public index. Local directories (`--find-links`, and extra indexes that are `file:` URLs) add
to what the index has, and the best version of both is taken, as with pip.
"""

from __future__ import annotations

import os
import shlex
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import tomli_w
from pip._internal.models.index import PyPI

from builder.errors import Notice, Origin, ProjectError
from builder.resolution.pip_configuration import PipConfiguration, read_pip_configuration
from builder.resolution.shared_pages import sharing_pages
from builder.resolution.transport import Transport
from builder.resolution.uv_configuration import (
    ENVIRONMENT,
    NamedIndex,
    UvConfiguration,
    read_uv_configuration,
)

_OPTIONS: Final = ("--index-url", "--extra-index-url", "--find-links", "--no-index")


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """The package indexes of a project, and how they are reached.

    :param options: lines of a requirements file for uv, with what uv does not read itself.
    :param environment: variables for uv when it resolves or builds; an empty value overrides the user's.
    :param settings: a `uv.toml` for runs of uv outside the project, which build wheels.
    :param remote: whether an index is configured that is neither the public one nor a local directory.
    :param local: local directories and constraint files that affect the resolution.
    """

    options: tuple[str, ...] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    settings: Mapping[str, object] = field(default_factory=dict, repr=False)
    transport: Transport = field(default_factory=Transport)
    remote: bool = False
    local: tuple[Path, ...] = ()
    notices: tuple[Notice, ...] = ()

    def addresses(self) -> list[str]:
        """Where distributions are looked for, without those that serve only what names them."""
        listed = self.settings.get("index")
        entries = [entry for entry in (listed if isinstance(listed, list) else []) if isinstance(entry, dict)]
        explicit = {entry.get("url") for entry in entries if entry.get("explicit")}
        own = any(option.startswith("--index-url") for option in self.options)
        left_out = explicit | ({_default_of_uv()} if own else set())
        urls = [index.url for index in self.transport.indexes if index.url and index.url not in left_out]
        replaced = (
            _default_of_uv()
            or "index-url" in self.settings
            or self.settings.get("no-index")
            or any(entry.get("default") for entry in entries)
            or own
            or "--no-index" in self.options
        )
        return list(dict.fromkeys([*urls, *map(str, self.local), *([] if replaced else [_public_index()])]))

    def variables(self) -> Mapping[str, str]:
        """The environment for uv when it resolves."""
        return {**self.transport.variables(), **self.environment}

    def variables_outside(self, scratch: Path, *, often: bool = False) -> Mapping[str, str]:
        """The environment for uv when it builds outside the project; its settings are written to `scratch`.

        :param often: whether the command runs uv many times, which then share what they read from the indexes.
        """
        path = scratch / "uv.toml"
        settings = sharing_pages(self.settings) if often else self.settings
        path.write_text(tomli_w.dumps(settings), encoding="utf-8")
        return {**self.variables(), "UV_CONFIG_FILE": str(path)}


def is_index_option(option: str) -> bool:
    """Whether an option of a requirements file configures indexes, so that `Indexes` includes it."""
    return option.partition(" ")[0] in _OPTIONS


def read_indexes(directory: Path, options: Sequence[str] = ()) -> Indexes:
    """Read the index configuration of the project in `directory`.

    :param options: the options in its requirements file, one per string.

    Raises ToolError or ProjectError for a configuration file that cannot be read.
    """
    try:
        return _read_indexes(directory, options)
    except ValueError as error:
        # Of `urllib.parse`, for a URL such as `http://[::/`.
        raise ProjectError(
            f"the URL of an index is invalid: {error}",
            where=Origin(directory),
            remedy="Correct it in the project's files, or in the configuration of pip or uv",
        ) from error


def _read_indexes(directory: Path, options: Sequence[str]) -> Indexes:
    uv = read_uv_configuration(directory)
    pip = read_pip_configuration()
    places = _places(options, PipConfiguration() if uv.decides else pip, uv)
    replaced = any(option.startswith("--index-url ") for option in options)
    environment = {name: "" for name in ENVIRONMENT[:4] if replaced and name in os.environ}
    extra = (option.partition(" ")[2] for option in options if option.startswith("--extra-index-url "))
    if not replaced and _default_of_uv() and any(map(_is_public, extra)):
        # uv tries the default index last, so the public index has to be the default; see `_public_last`.
        indexes = f"{os.environ.get('UV_INDEX', '')} {_default_of_uv()}".strip()
        environment |= {"UV_INDEX": indexes, "UV_DEFAULT_INDEX": "", "UV_INDEX_URL": ""}
    remote = uv.decides
    lines = tuple(places.lines())
    constraints = () if uv.decides else pip.constraints
    if not uv.decides:
        lines += pip.options
        remote = any(_is_remote(place) and not _is_public(place) for place in (*places.all, *constraints))
        if pip.uploaded_before and not (os.environ.get("UV_EXCLUDE_NEWER") or "exclude-newer" in uv.settings):
            environment["UV_EXCLUDE_NEWER"] = pip.uploaded_before
    if places.merged and not (os.environ.get("UV_INDEX_STRATEGY") or "index-strategy" in uv.settings):
        environment["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    transport = _transport(uv, pip, places)
    _check(transport, uv.insecure_hosts, directory)
    warnings = [
        Notice(
            f"the password of the index {address} is sent unencrypted; use https, or check who named that address"
        )
        for address in dict.fromkeys(transport.unencrypted())
    ]
    return Indexes(
        options=lines,
        environment=environment,
        settings=_settings(uv, places),
        transport=transport,
        remote=remote,
        local=tuple(path for place in (*places.all, *constraints) if (path := local_path(place)) is not None),
        notices=(*warnings, *(() if uv.decides else pip.notices)),
    )


def local_path(place: str) -> Path | None:
    """The directory of a `file:` URL or a path; None for the URL of a remote host."""
    parts = urllib.parse.urlsplit(place)
    if parts.scheme == "file":
        return Path(urllib.parse.unquote(parts.path))
    return None if parts.scheme else Path(place)


@dataclass(frozen=True, slots=True, kw_only=True)
class _IndexUrls:
    """The indexes and find-links locations to pass to uv.

    :param default: empty for uv's own default.
    """

    default: str
    extra: tuple[str, ...]
    find_links: tuple[str, ...]
    no_index: bool
    merged: bool

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.extra, *((self.default,) if self.default else ()), *self.find_links)

    def lines(self) -> Iterator[str]:
        if self.no_index:
            yield "--no-index"
        yield from (f"--extra-index-url {shlex.quote(url)}" for url in self.extra)
        if self.default:
            yield f"--index-url {shlex.quote(self.default)}"
        yield from (f"--find-links {shlex.quote(link)}" for link in self.find_links)


def _places(options: Sequence[str], pip: PipConfiguration, uv: UvConfiguration) -> _IndexUrls:
    said: dict[str, list[str]] = {name: [] for name in _OPTIONS}
    for option in filter(is_index_option, options):
        name, _, value = option.partition(" ")
        said[name] += shlex.split(value) if name == "--find-links" else [value]
    find_links = tuple(dict.fromkeys([*said["--find-links"], *pip.find_links]))
    if said["--no-index"] or (pip.no_index and not said["--index-url"]):
        return _IndexUrls(default="", extra=(), find_links=find_links, no_index=True, merged=False)
    own = next(reversed(said["--index-url"]), "")
    default = own or pip.index_url
    extra = tuple(dict.fromkeys([*said["--extra-index-url"], *(() if own else pip.extra_index_urls)]))
    if not uv.decides or own or _default_of_uv():
        default, extra = _public_last(default, extra)
    merged = bool(extra) and not any(map(_is_remote, extra)) and (not uv.decides or bool(own))
    if merged:
        # uv takes equal versions from the first index, and a lock should name a URL rather than a local path.
        default, extra = extra[-1], (default or _public_index(), *extra[:-1])
    return _IndexUrls(default=default, extra=extra, find_links=find_links, no_index=False, merged=merged)


def _default_of_uv() -> str:
    return os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL") or ""


def _public_last(default: str, extra: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Reorder indexes so that the public one is last; returns the default index and the others."""
    others = tuple(url for url in extra if not _is_public(url))
    if _is_public(default):
        return "", others
    if default and len(others) < len(extra):
        return "", (*others, default)
    return default, others


def _public_index() -> str:
    """The index that pip and uv use if none is configured."""
    return PyPI.simple_url


def _is_public(url: str) -> bool:
    return urllib.parse.urlsplit(url).hostname == urllib.parse.urlsplit(_public_index()).hostname


def _is_remote(place: str) -> bool:
    return local_path(place) is None


def _settings(uv: UvConfiguration, places: _IndexUrls) -> Mapping[str, object]:
    """The settings in uv's files, with the indexes of the requirements file and of pip's configuration."""
    settings = dict(uv.settings)
    for key, added in (("extra-index-url", places.extra), ("find-links", places.find_links)):
        known = settings.get(key)
        if added:
            settings[key] = [*added, *(known if isinstance(known, list) else [])]
    if places.default:
        settings.setdefault("index-url", places.default)
    if places.no_index:
        settings["no-index"] = True
    return settings


def _check(transport: Transport, insecure_hosts: Sequence[str], directory: Path) -> None:
    """Refuse what a project may have in mind with passwords and programs of this machine."""
    hosts = {index.url: urllib.parse.urlsplit(index.url).netloc.rpartition("@")[2] for index in transport.indexes}
    for url, host in hosts.items():
        user = urllib.parse.unquote(urllib.parse.urlsplit(url).username or "")
        if host.startswith("-") or user.startswith("-"):
            # `keyring` would take it for an option, perhaps one that names code to load.
            raise ProjectError(
                f"the URL of an index has a host or a user that begins with a hyphen: `{host}`",
                where=Origin(directory),
                remedy="Correct it in the project's files, or in the configuration of pip or uv",
            )
    for insecure in insecure_hosts:
        urls = [url for url, host in hosts.items() if insecure in {"*", host, host.partition(":")[0]}]
        if any(login.password for url in (*urls, f"https://{insecure}/") if (login := transport.credentials(url))):
            raise ProjectError(
                f"`allow-insecure-host` of the project would send a password to `{insecure}` without a check who"
                " that is",
                where=Origin(directory),
                remedy="Set it outside the checkout (UV_INSECURE_HOST), or trust its authority with SSL_CERT_FILE",
            )


def _transport(uv: UvConfiguration, pip: PipConfiguration, places: _IndexUrls) -> Transport:
    trusted = [] if uv.decides else list(pip.trusted_hosts)
    listed = uv.settings.get("allow-insecure-host")
    insecure = [
        *os.environ.get("UV_INSECURE_HOST", "").split(),
        *(listed if isinstance(listed, list) else []),
        *trusted,
    ]
    provider = os.environ.get("UV_KEYRING_PROVIDER") or uv.settings.get("keyring-provider")
    pip_certificates = pip.certificates or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    certificates = [os.environ.get("SSL_CERT_FILE", ""), pip_certificates or ""]
    return Transport(
        indexes=(*(NamedIndex("", url) for url in places.all if _is_remote(url)), *uv.indexes),
        keyring=provider == "subprocess" if provider else pip.keyring and not uv.decides,
        certificates=tuple(dict.fromkeys(filter(None, certificates))),
        client_certificate=os.environ.get("SSL_CLIENT_CERT", "") or pip.client_certificate,
        proxy=pip.proxy,
        insecure_hosts=tuple(dict.fromkeys(map(str, insecure))),
    )
