"""Running build backends: metadata and wheels of local packages, wheels of source distributions.

Backends run under the target's Python, in a copy (the user's tree gets no `build/`, no egg-info), without the
caller's secrets, with a time limit. Results are kept in the cache by content.
"""

from __future__ import annotations

import email.parser
import hashlib
import io
import json
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from builder.errors import Origin, SdistBuildError, TargetError
from builder.project.files import Selection, content_key, copy_tree, select_files
from builder.project.metadata import Metadata
from builder.project.outside import split_include
from builder.project.settings import read_settings
from builder.project.toml_file import TomlFile
from builder.resolution import pythons, uv
from builder.resolution.indexes import Indexes, read_indexes
from builder.resolution.scm_version import VARIABLE, scm_version
from builder.system import process, storage

_TIME_LIMIT: Final = 900.0
"""Seconds that one build may take; compiling a large extension takes minutes."""

_FORMAT: Final = "3"
"""Bump it when what is kept in the cache changes its form."""

_LEGACY: Final = ("setuptools.build_meta:__legacy__", ("setuptools>=40.8.0",), ())

_PARENT: Final = "/.directory-above-the-package"
"""Stands in kept metadata for where the package lies: a copy is built, and the cache goes by content."""

_REPRODUCIBLE: Final = {"SOURCE_DATE_EPOCH": "315532800", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True, slots=True)
class LocalPackage:
    """One of the user's own packages as it is on disk now.

    :param directory: where it lies.
    :param python_version: of the target, whose Python runs the backend.
    :param out_dir: where artefacts go; not part of the package where it lies inside.
    """

    directory: Path
    python_version: str
    out_dir: Path | None = None

    def selection(self) -> Selection:
        """The package's files, by the one rule of what belongs."""
        settings = read_settings(self.directory)
        return select_files(
            self.directory,
            include=split_include(settings.include)[0],
            respect_gitignore=settings.respect_gitignore,
            out_dir=self.out_dir,
        )


def local_metadata(package: LocalPackage) -> Metadata:
    """The metadata of a local package, from its backend; raises SdistBuildError in the backend's words.

    Only metadata is made, unless a wheel of the very same files is there already.
    """
    selection = package.selection()
    wheel = storage.kept(_place(package, selection, "wheel"))
    if wheel is not None:
        return wheel_metadata(wheel, package.directory)
    place = _place(package, selection, "metadata")
    kept = storage.kept(place)
    if kept is None:
        with storage.scratch_directory() as scratch:
            copy = scratch / "above" / package.directory.name
            copy_tree(selection, copy)
            text = _ask_backend(package, copy, scratch).replace(str(copy.parent), _PARENT)
        kept = storage.keep(place, "METADATA", text.encode())
    return _parse(kept.read_text(encoding="utf-8"), package.directory)


def local_wheel(package: LocalPackage) -> Path:
    """A wheel of a local package; raises SdistBuildError in the backend's words."""
    selection = package.selection()
    place = _place(package, selection, "wheel")
    kept = storage.kept(place)
    if kept is not None:
        return kept
    with storage.scratch_directory() as scratch:
        copy = scratch / "above" / package.directory.name
        copy_tree(selection, copy)
        indexes = read_indexes(package.directory)
        about, version = str(package.directory), _version(package.directory)
        wheel = build_wheel(copy, package.python_version, place, about=about, indexes=indexes, version=version)
    return wheel


def wheel_metadata(wheel: Path, directory: Path) -> Metadata:
    """The metadata of the local package in `directory`, out of its wheel."""
    with zipfile.ZipFile(wheel) as archive:
        # Not that of a distribution which the package brings along in a directory of its own.
        member = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        return _parse(archive.read(member).decode("utf-8"), directory)


def build_wheel(
    source: Path, python_version: str, place: Path, *, about: str, indexes: Indexes, version: str = ""
) -> Path:
    """Build a wheel from a package's directory with uv.

    :param place: the directory of the cache to keep it in.
    :param about: what to call the source in an error.
    :param indexes: where what the backend needs comes from.
    :param version: by the package's repository, if it takes its version from there.

    Raises SdistBuildError with the end of the backend's output, TargetError without a Python for the target.
    """
    with storage.scratch_directory() as scratch:
        arguments: list[str | Path] = ["build", "--wheel", "--python", _python_for(source, python_version)]
        arguments += ["--no-python-downloads", "--no-create-gitignore", "--out-dir", scratch / "out", source]
        try:
            variables = {**indexes.variables_outside(scratch), **_REPRODUCIBLE, **_pretended(version)}
            uv.run(arguments, cwd=scratch, extra_env=variables, timeout=_TIME_LIMIT)
        except process.ProcessFailed as error:
            raise _failed(about, error) from error
        wheel = next((scratch / "out").glob("*.whl"))
        kept = storage.keep(place, wheel.name, _canonical(wheel, built_in=source))
    return kept


def _python_for(source: Path, python_version: str) -> Path:
    """The Python that runs a backend: any will do where neither code of the project nor a compiler is run."""
    try:
        return pythons.find_python(python_version)
    except TargetError:
        if _runs_project_code(source):
            raise
        return Path(sys.executable)


def _runs_project_code(directory: Path) -> bool:
    """Whether the backend runs code of the project, or compiles, so that the interpreter's version matters."""
    backend, _, path = _build_system(directory)
    pure = backend.partition(".")[0] in {"hatchling", "flit_core", "uv_build", "pdm"}
    return bool(path) or not pure or (directory / "hatch_build.py").is_file()


def _ask_backend(package: LocalPackage, copy: Path, scratch: Path) -> str:
    backend, requires, path = _build_system(copy)
    python = pythons.find_python(package.python_version)
    hook = resources.files("builder.resolution") / "metadata_hook.py"
    script = scratch / "metadata_hook.py"
    script.write_text(hook.read_text(encoding="utf-8"), encoding="utf-8")
    output = scratch / "answer.json"
    needs: Sequence[str] = requires
    variables = {**read_indexes(package.directory).variables_outside(scratch), **_REPRODUCIBLE}
    variables |= _pretended(_version(package.directory))
    # The backend may want more installed once it has seen the project (PEP 517), but not for ever.
    for _round in range(3):
        arguments: list[str | Path] = ["run", "--no-project", "--isolated", "--no-python-downloads", "--quiet"]
        arguments += ["--python", python]
        for need in needs:
            arguments += ["--with", need]
        arguments += ["python", script]
        arguments += [json.dumps(value) for value in (backend, list(path), str(output), list(needs))]
        try:
            uv.run(arguments, cwd=copy, extra_env=variables, timeout=_TIME_LIMIT)
        except process.ProcessFailed as error:
            raise _failed(str(package.directory), error, manifest=_manifest(package.directory)) from error
        answer: Mapping[str, object] = json.loads(output.read_text(encoding="utf-8"))
        if isinstance(answer.get("metadata"), str):
            return str(answer["metadata"])
        more = answer.get("needs")
        needs = [*needs, *(str(need) for need in more)] if isinstance(more, list) else needs
    raise SdistBuildError(
        f"the build backend of `{package.directory}` asks for ever more requirements",
        where=Origin(_manifest(package.directory)),
        remedy="Check `[build-system]` in pyproject.toml",
    )


def _build_system(directory: Path) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Backend, requirements and backend path; the legacy setuptools one where none is declared (PEP 517)."""
    system = TomlFile.pyproject(directory).data.get("build-system")
    if not isinstance(system, dict):
        return _LEGACY
    requires, path = system.get("requires", []), system.get("backend-path", [])
    backend = system.get("build-backend", _LEGACY[0])
    return str(backend), tuple(map(str, requires)), tuple(map(str, path))


def _version(directory: Path) -> str:
    return scm_version(directory, _build_system(directory)[1])


def _pretended(version: str) -> dict[str, str]:
    return {VARIABLE: version} if version else {}


def _place(package: LocalPackage, selection: Selection, what: str) -> Path:
    """The cache's place for something made of a local package: it changes with any file of it."""
    version = _version(package.directory)
    key = hashlib.sha256(
        f"{_FORMAT} {package.python_version} {version} {content_key(selection)}".encode()
    ).hexdigest()
    return storage.cache_directory() / "local" / what / key[:2] / key


def _parse(text: str, directory: Path) -> Metadata:
    message = email.parser.HeaderParser().parsestr(text.replace(_PARENT, str(directory.parent)))
    requires = tuple(" ".join(value.split()) for value in message.get_all("Requires-Dist", []))
    extras = tuple(message.get_all("Provides-Extra", []))
    return Metadata(message["Name"], requires, message.get("Requires-Python", ""), _manifest(directory), extras)


def _manifest(directory: Path) -> Path:
    """The file that declares a package's requirements."""
    legacy = directory / "setup.py"
    pyproject = TomlFile.pyproject(directory)
    return legacy if legacy.is_file() and "project" not in pyproject.data else pyproject.path


def _failed(about: str, error: process.ProcessFailed, manifest: Path | None = None) -> SdistBuildError:
    # The end of a backend's output says what went wrong; the beginning is its progress.
    # What uv adds says where in a scratch directory the build failed, and hints at options that the user has not.
    output = re.sub(r"(?m)^(error: Failed to build `.*|  cause: .*|hint: .*)$", "", error.stderr) + error.stdout
    lines = [line for line in output.splitlines() if line.strip()] or error.stderr.splitlines()
    how = f"took longer than {_TIME_LIMIT:.0f} s" if error.code is None else "failed"
    return SdistBuildError(
        f"building `{about}` {how}",
        where=Origin(manifest) if manifest else None,
        detail="\n".join(lines[-15:]),
        remedy=(
            f"Set {VARIABLE}, since the package is built in a copy without version control"
            if re.search(r"setuptools[-_]scm", output)
            else "Correct what the build complains about; it ran without tokens and other secrets"
        ),
    )


def _canonical(wheel: Path, *, built_in: Path) -> bytes:
    """A wheel that was built here, in one form: sorted, undated, uncompressed, so independent of zlib.

    Requirements of its metadata that are paths beside the package name the place of the copy, which is taken out.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(source.namelist()):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = source.getinfo(name).external_attr
            entry.create_system = 3
            data = source.read(name)
            if name.endswith(".dist-info/METADATA"):
                data = data.replace(str(built_in.parent).encode(), _PARENT.encode())
            target.writestr(entry, data)
    return content.getvalue()
