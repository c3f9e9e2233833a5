"""The names of distributions in requirements and in file names."""

from __future__ import annotations

import pytest

from builder.project.names import archive_name, required_name


@pytest.mark.parametrize(
    "requirement, name",
    [
        ("Foo_Bar.baz", "foo-bar-baz"),
        ("foo>=1", "foo"),
        ("  foo [extra, other] ; python_version > '3'", "foo"),
        ("foo @ https://example.invalid/foo-1-py3-none-any.whl", "foo"),
        ("six (>=1.*)", "six"),
        ("a", "a"),
        ("git+https://example.invalid/foo", ""),
        ("https://example.invalid/foo-1-py3-none-any.whl", ""),
        ("file:../foo", ""),
        ("./foo", ""),
        ("foo/bar", ""),
        ("foo_ ; python_version > '3'", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_requirement(requirement: str, name: str) -> None:
    assert required_name(requirement) == name


@pytest.mark.parametrize(
    "filename, name",
    [
        ("Foo_Bar-1.0-py3-none-any.whl", "foo-bar"),
        ("foo-bar-1.0.tar.gz", "foo-bar"),
        ("Foo_Bar-1.0.zip", "foo-bar"),
    ],
)
def test_the_name_of_an_archive(filename: str, name: str) -> None:
    assert archive_name(filename) == name
