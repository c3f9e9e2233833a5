"""Ask a build backend for metadata (PEP 517). Runs under the target's Python, in a copy of the project.

Usage: metadata_hook.py BACKEND BACKEND_PATH OUTPUT INSTALLED, each as JSON, run in the project's directory.
Writes JSON to OUTPUT: either `{"needs": [...]}`, further requirements that the backend wants installed first, or
`{"metadata": "…"}`, the text of METADATA. It must run on every Python that a target may have, with only the
backend installed.
"""

import importlib
import json
import os
import sys
import tempfile
import zipfile


def main() -> None:
    """Call the backend's hooks and write their results to OUTPUT."""
    backend_name, backend_path, output, installed = (json.loads(argument) for argument in sys.argv[1:5])
    sys.path[:0] = [os.path.abspath(entry) for entry in backend_path]  # noqa: PTH100  (any Python, no Path needed)
    module, _, attribute = backend_name.partition(":")
    backend = importlib.import_module(module)
    for part in attribute.split(".") if attribute else ():
        backend = getattr(backend, part)
    requires = getattr(backend, "get_requires_for_build_wheel", no_requirements)
    needs = [need for need in requires(None) if need not in installed]
    answer = {"needs": needs} if needs else {"metadata": metadata(backend)}
    with open(output, "w", encoding="utf-8") as stream:  # noqa: PTH123  (the same)
        json.dump(answer, stream)


def no_requirements(_settings: object) -> list:  # type: ignore[type-arg]  # Python 3.8 knows no list[str]
    """Stands in for the optional hook `get_requires_for_build_wheel`."""
    return []


def metadata(backend: object) -> str:
    """The text of METADATA, from the backend's metadata hook or, if it has none, from a wheel that it builds."""
    with tempfile.TemporaryDirectory() as directory:
        prepare = getattr(backend, "prepare_metadata_for_build_wheel", None)
        if prepare is not None:
            name = prepare(directory, None)
            with open(os.path.join(directory, name, "METADATA"), encoding="utf-8") as stream:  # noqa: PTH118, PTH123
                return stream.read()
        name = backend.build_wheel(directory)  # type: ignore[attr-defined]  # every PEP 517 backend has this hook
        with zipfile.ZipFile(os.path.join(directory, name)) as wheel:  # noqa: PTH118
            (member,) = (
                name for name in wheel.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1
            )
            return wheel.read(member).decode("utf-8")


if __name__ == "__main__":
    main()
