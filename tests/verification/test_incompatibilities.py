"""Versions that do not work together, by what was raised when they were installed side by side on Python 3.11."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder.project.location import CodeSource
from builder.system.tracebacks import Frame, RaisedError, cut
from builder.verification.explanation import FailureContext
from builder.verification.hints import explain
from builder.verification.incompatibilities import KNOWN
from builder.verification.load import Raised

NUMPY_BOOL = (
    "AttributeError: module 'numpy' has no attribute 'bool'.\n"
    "`np.bool` was a deprecated alias for the builtin `bool`. To avoid this error in existing code, use `bool`"
)
NUMPY_C = (
    "ValueError: numpy.dtype size changed, may indicate binary incompatibility."
    " Expected 96 from C header, got 88 from PyObject"
)
PROTOBUF = (
    "google.protobuf.runtime_version.VersionError: Detected incompatible Protobuf Gencode/Runtime versions when"
    " loading x.proto: gencode 6.31.1 runtime 5.29.6. Runtime version cannot be older than the linked gencode"
)
SEEN = {
    "dagster==1.4.0 pendulum==3.2.0": ("AttributeError: Pendulum. Did you mean: '_pendulum'?", "pendulum<3"),
    "numpy==2.4.1 pandas==2.0.3": (NUMPY_C, "numpy<2"),
    "numpy==2.4.2": (
        "AttributeError: `np.float_` was removed in the NumPy 2.0 release. Use `np.float64`",
        "numpy<2",
    ),
    "numpy==1.26.4": (NUMPY_BOOL, "numpy<1.24"),
    "marshmallow==4.0.0 environs==9.5.0": (
        "AttributeError: module 'marshmallow' has no attribute '__version_info__'",
        "marshmallow<4",
    ),
    "setuptools==84.2.1": ("ModuleNotFoundError: No module named 'pkg_resources'", "setuptools<82"),
    "protobuf==5.29.6": (PROTOBUF, "protobuf>=6.31.1"),
}


def explained(directory: Path, installed: str, message: str) -> tuple[str, str | None]:
    for name in installed.split():
        (directory / f"{name.replace('==', '-')}.dist-info").mkdir()
    (directory / "requirements.txt").touch()
    context = FailureContext(
        code=CodeSource("module_name", "app"),
        python_version="3.11",
        directory=directory,
        project=directory,
        declared=None,
        names=frozenset(),
        lines={},
        source=directory / "source",
        deps=directory,
    )
    kind = message.partition(":")[0].rpartition(".")[2]
    module = {"module": message.split("'")[1]} if kind == "ModuleNotFoundError" else {}
    frames = (Frame(f"{directory}/dagster/_seven/compat/pendulum.py", 31, "<module>", "pendulum.Pendulum"),)
    error = RaisedError(kind=kind, message=message, frames=frames, attributes=module)
    found = explain(Raised(error, of_dagster=False, loadable=()), cut(error, str(context.source)), context)
    return found.what, found.remedy


@pytest.mark.parametrize("installed", SEEN)
def test_versions_that_do_not_work_together_are_named_with_the_pin_that_helps(
    tmp_path: Path, installed: str
) -> None:
    message, pin = SEEN[installed]
    what, remedy = explained(tmp_path, installed, message)
    assert what.startswith(installed.partition("=")[0])
    assert remedy == f"Add `{pin}` to `requirements.txt`; then build again"


def test_other_versions_have_another_cause(tmp_path: Path) -> None:
    message, _ = SEEN["dagster==1.4.0 pendulum==3.2.0"]
    assert explained(tmp_path, "dagster==1.4.0 pendulum==2.1.2", message) == (
        f"its code does not load: {message}",
        None,
    )


def test_every_known_case_was_seen() -> None:
    pins = {pin for _, pin in SEEN.values()}
    assert {replace(known, pin=known.pin.format(made="6.31.1")).pin for known in KNOWN} == pins
