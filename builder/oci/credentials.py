"""Reading the credentials that `docker login` and `podman login` store for container registries."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from builder.errors import Origin, PublishError, ToolError
from builder.resolution.transport import Credentials
from builder.system import process


def stored_credentials(host: str, repository: str) -> Credentials | None:
    """The credentials for a repository of a registry, from the first file that has any; None if none has.

    The files are those of containers-auth.json(5): `$REGISTRY_AUTH_FILE`, else podman's and buildah's, then
    Docker's. Credential helpers are run. Raises PublishError for an invalid file.
    """
    for path in _files():
        document = _read(path)
        for key in _keys(host, repository):
            if credentials := _of(document, key, path):
                return credentials
    return None


def _files() -> Iterator[Path]:
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
        return
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    else:
        yield Path("/run/containers") / str(os.getuid()) / "auth.json"
    configuration = os.environ.get("XDG_CONFIG_HOME")
    yield (Path(configuration) if configuration else Path.home() / ".config") / "containers" / "auth.json"
    docker = os.environ.get("DOCKER_CONFIG")
    yield (Path(docker) if docker else Path.home() / ".docker") / "config.json"


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PublishError(f"`{path}`, which holds registry credentials, cannot be read: {error}") from error
    return document if isinstance(document, dict) else {}


def _keys(host: str, repository: str) -> Iterator[str]:
    """The keys under which a repository's credentials may be stored, the most specific first."""
    parts = [host, *repository.split("/")]
    for count in range(len(parts), 0, -1):
        yield "/".join(parts[:count])
    yield f"https://{host}"
    if host == "docker.io":
        yield "https://index.docker.io/v1/"


def _of(document: Mapping[str, Any], key: str, path: Path) -> Credentials | None:
    helper = (document.get("credHelpers") or {}).get(key)
    written = (document.get("auths") or {}).get(key)
    if helper is None and written is not None and not written.get("auth"):
        helper = document.get("credsStore")
    if helper:
        return _ask(str(helper), key)
    if not written or not written.get("auth"):
        return None
    try:
        username, _, password = base64.b64decode(written["auth"]).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, TypeError) as error:
        what = f"the credentials for `{key}` are not written as they should be"
        raise PublishError(what, where=Origin(path), remedy=f"Run `docker login {key}` again") from error
    return Credentials(username, password)


def _ask(helper: str, key: str) -> Credentials | None:
    """Run a credential helper (docker-credential-helpers, "get")."""
    command = [f"docker-credential-{helper}", "get"]
    try:
        answer = json.loads(
            process.run(command, env=process.credential_environment(), stdin=key, timeout=30).stdout
        )
        return Credentials(answer["Username"], answer["Secret"])
    except (ToolError, ValueError, KeyError, TypeError):
        # If credentials are required, the registry's response says so.
        return None
