"""Network settings for package indexes: credentials, certificates, proxy, for uv and for downloads."""

from __future__ import annotations

import contextlib
import hashlib
import netrc
import os
import posixpath
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from builder.errors import ToolError
from builder.resolution.uv_configuration import NamedIndex
from builder.resolution.uv_credentials import STORE, store_text
from builder.system import process, storage
from builder.system.loopback import is_loopback


class Credentials(NamedTuple):
    """A user name and a password, which must never be printed."""

    username: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Network settings for package indexes.

    :param indexes: the indexes, whose credentials are also used for other URLs of the same hosts.
    :param keyring: whether to look up passwords with the program `keyring`.
    :param certificates: files or directories of certificate authorities to trust instead of the system's.
    :param client_certificate: a file with a private key and its certificate, or empty.
    :param proxy: a URL, perhaps with credentials; empty to use the environment's proxies.
    :param insecure_hosts: `host` or `host:port` whose certificates are not checked.
    """

    indexes: tuple[NamedIndex, ...] = ()
    keyring: bool = False
    certificates: tuple[str, ...] = ()
    client_certificate: str = ""
    proxy: str = field(default="", repr=False)
    insecure_hosts: tuple[str, ...] = ()

    def variables(self) -> Mapping[str, str]:
        """The environment variables that give uv these settings."""
        variables = {"UV_INSECURE_HOST": " ".join(self.insecure_hosts)} if self.insecure_hosts else {}
        if self.keyring:
            variables["UV_KEYRING_PROVIDER"] = "subprocess"
        files = [file for file in self.certificates if not Path(file).is_dir()]
        if files:
            variables["SSL_CERT_FILE"] = _bundle(files)
        elif self.certificates:
            variables["SSL_CERT_DIR"] = os.pathsep.join(self.certificates)
        if self.client_certificate:
            variables["SSL_CLIENT_CERT"] = self.client_certificate
        if self.proxy:
            names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
            # pip's proxy setting applies to every host.
            variables.update({**dict.fromkeys(names, self.proxy), "NO_PROXY": "", "no_proxy": ""})
        logins = [(index.url, *login) for index in self.indexes if (login := _of_index(index)) and any(login)]
        # For a user name without a password, keyring may have the password.
        logins = [login for login in logins if login[2] or not self.keyring]
        variables[STORE] = store_text(logins)
        return variables

    def unencrypted(self) -> list[str]:
        """The URLs, without credentials, of indexes whose password would be sent unencrypted."""
        return [
            urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
            for index in self.indexes
            if (parts := urllib.parse.urlsplit(index.url)).scheme == "http"
            and not is_loopback(parts.hostname or "")
            and (login := _of_index(index))
            and login.password
        ]

    def credentials(self, url: str) -> Credentials | None:
        """The credentials for a URL: from the URL itself, its index, `~/.netrc`, or the keyring."""
        own = _split(url)
        if own and own.password:
            return own
        serving = sorted(
            (index for index in self.indexes if _origin(index.url) == _origin(url)),
            key=lambda index: -len(posixpath.commonprefix([_bare(index.url), _bare(url)])),
        )
        known = [credentials for index in serving if (credentials := _of_index(index))]
        if complete := next((credentials for credentials in known if credentials.password), None):
            return complete
        if written := _netrc(urllib.parse.urlsplit(url).hostname or ""):
            return written
        if self.keyring:
            for index in serving:
                if (credentials := _of_index(index)) and (
                    password := _ask_keyring(index.url, credentials.username)
                ):
                    return Credentials(credentials.username, password)
        return next(iter(known), own)


def _bundle(certificates: Sequence[str]) -> str:
    """Join all certificates into one file, since uv accepts only one."""
    if len(certificates) == 1:
        return certificates[0]
    content = b"\n".join(Path(file).read_bytes() for file in certificates if Path(file).is_file())
    path = storage.cache_directory() / "certificates" / f"{hashlib.sha256(content).hexdigest()}.pem"
    if not path.is_file() or path.read_bytes() != content:
        with storage.atomic_write(path) as stream:
            stream.write(content)
    return str(path)


def _of_index(index: NamedIndex) -> Credentials | None:
    """The credentials in an index's URL, completed by `UV_INDEX_NAME_USERNAME` and `…_PASSWORD`."""
    prefix = "UV_INDEX_" + re.sub(r"[^A-Z0-9]", "_", index.name.upper())
    in_url = _split(index.url)
    username = os.environ.get(f"{prefix}_USERNAME") if index.name else None
    password = os.environ.get(f"{prefix}_PASSWORD") if index.name else None
    if username is None and password is None:
        return in_url
    return Credentials(username or "", password or "")


def _netrc(host: str) -> Credentials | None:
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        # Ignore an invalid netrc file: if credentials are required, the host's response says so.
        with contextlib.suppress(OSError, UnicodeDecodeError, netrc.NetrcParseError):
            if entry := netrc.netrc(str(path)).authenticators(host):
                return Credentials(entry[0], entry[2] or "")
    return None


def _ask_keyring(url: str, username: str) -> str:
    """The password for an index from the program `keyring`, looked up as uv does: by URL, then by host."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    for service in (urllib.parse.urlunsplit(parts._replace(netloc=host)), host):
        with contextlib.suppress(ToolError):
            finished = process.run(
                ["keyring", "get", service, username], env=process.credential_environment(), timeout=30
            )
            if password := finished.stdout.rstrip("\r\n"):
                return password
    return ""


def _split(url: str) -> Credentials | None:
    userinfo, _, _ = urllib.parse.urlsplit(url).netloc.rpartition("@")
    if not userinfo:
        return None
    username, _, password = userinfo.partition(":")
    return Credentials(urllib.parse.unquote(username), urllib.parse.unquote(password))


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return parts.scheme, host.removesuffix({"http": ":80", "https": ":443"}.get(parts.scheme, ":"))


def _bare(url: str) -> str:
    return urllib.parse.urlsplit(url).path
